//! Every cell and block, with the parameters that a configuration gives it.
//!
//! Tests that hold for any block (lint, other tools, snapshots of names) walk through this list.

use crate::cells::fifo::Fifo;
use crate::cells::spill_register::SpillRegister;
use crate::cells::sram::{SinglePortSram, Sram};
use crate::cells::sram_fifo::SramFifo;
use crate::config::Config;
use crate::hdl::Block;

/// All blocks of a configuration, cells first, then the stages in dataflow order.
pub fn blocks(config: &Config) -> Vec<Box<dyn Block>> {
    let mut blocks: Vec<Box<dyn Block>> = Vec::new();
    stream_cells(config, &mut blocks);
    blocks
}

fn stream_cells(config: &Config, blocks: &mut Vec<Box<dyn Block>>) {
    let score_line = config.score_line_bits();
    let rows = config.schedule.rows_in_flight;
    blocks.push(Box::new(SpillRegister { width: score_line }));
    for count in [false, true] {
        blocks.push(Box::new(Fifo {
            width: score_line,
            depth: rows,
            count,
        }));
    }
    blocks.push(Box::new(Sram {
        width: config.key_line_bits(),
        depth: config.buffers.key_lines,
    }));
    blocks.push(Box::new(SinglePortSram {
        width: config.key_line_bits(),
        depth: config.buffers.key_lines,
    }));
    blocks.push(Box::new(SramFifo {
        width: score_line,
        depth: config.buffers.score_lines,
    }));
}
