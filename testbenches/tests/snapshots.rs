//! The emitted Verilog of every cell and block at a small size, held by snapshots: `cargo insta review` shows changes.

use spatten::cells::fifo::Fifo;
use spatten::cells::spill_register::SpillRegister;
use spatten::cells::sram::{SinglePortSram, Sram};
use spatten::cells::sram_fifo::SramFifo;
use spatten::hdl::{Block, elaborate, verilog};

/// Compares the text of `block` alone (not of its children) with the snapshot `name`.
fn holds(name: &str, block: &dyn Block) {
    let text = verilog(&elaborate(block), "Snapshot.");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn spill_register() {
    holds("spill_register", &SpillRegister { width: 8 });
}

#[test]
fn fifo() {
    let block = Fifo {
        width: 8,
        depth: 5,
        count: true,
    };
    holds("fifo", &block);
    holds("fifo_depth_1", &Fifo::new(8, 1));
}

#[test]
fn sram() {
    holds("sram_1r1w", &Sram { width: 8, depth: 6 });
    holds("sram_1rw", &SinglePortSram { width: 8, depth: 6 });
}

#[test]
fn sram_fifo() {
    holds("sram_fifo", &SramFifo { width: 8, depth: 6 });
}
