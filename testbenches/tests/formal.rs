//! Proofs about the stream cells, for all inputs and all time: Yosys turns cell and properties into an and-inverter
//! graph, and its model checker (ABC's property-directed reachability) proves that no reachable state breaks one.
//!
//! The properties stand in `testbenches/formal/*.v`. Every proof is made again with a fault in the cell's Verilog and must
//! then fail, so that no property holds by accident.

use std::fs;
use std::process::Command;

use spatten::accelerator::shape::ArrayShape;
use spatten::cells::arbiter::Arbiter;
use spatten::cells::banked_fifo::BankedFifo;
use spatten::cells::fifo::Fifo;
use spatten::cells::fork::Fork;
use spatten::cells::join::Join;
use spatten::cells::lane_packer::LanePacker;
use spatten::cells::lane_unpacker::LaneUnpacker;
use spatten::cells::spill_register::SpillRegister;
use spatten::cells::zero_eliminator::ZeroEliminator;
use spatten::hdl::{Block, elaborate, verilog};

/// What the model checker said.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Proved,
    Refuted,
}

/// Proves the properties of `checker` about `block`, after replacing `fault.0` by `fault.1` in its Verilog.
fn judge(block: &dyn Block, checker: &str, fault: Option<(&str, &str)>) -> Verdict {
    let top = elaborate(block);
    let mut sources: String = top.hierarchy().iter().map(|m| verilog(m, "")).collect();
    if let Some((from, to)) = fault {
        assert!(sources.contains(from), "no `{from}` in {sources}");
        sources = sources.replacen(from, to, 1);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("dut.v"), sources).expect("the folder is writable");
    let checker = checker.replace("@DUT@", &top.name);
    fs::write(path("check.v"), checker).expect("the folder is writable");
    // `-zinit` gives every register without an initial value a free one.
    let script = "read_verilog dut.v; read_verilog -formal check.v; prep -top check -flatten; async2sync; \
                  memory_map; opt -full; techmap; opt -full; dffunmap; aigmap; write_aiger -zinit check.aig";
    run(folder.path(), "yosys", &["-q", "-p", script]);
    let output = run(
        folder.path(),
        "yosys-abc",
        &["-c", "read_aiger check.aig; fold; strash; pdr -T 600"],
    );
    match (
        output.contains("Property proved"),
        output.contains("was asserted"),
    ) {
        (true, false) => Verdict::Proved,
        (false, true) => Verdict::Refuted,
        _ => panic!("{}: no verdict:\n{output}", top.name),
    }
}

fn run(folder: &std::path::Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; scripts/setup installs it"));
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} failed:\n{text}");
    text
}

/// The queue checker for a cell that holds up to `capacity` words and offers one after at most `latency` cycles.
fn queue(width: usize, capacity: usize, latency: u64) -> String {
    include_str!("../formal/queue.v")
        .replace("WIDTH = 3", &format!("WIDTH = {width}"))
        .replace("CAPACITY = 2", &format!("CAPACITY = {capacity}"))
        .replace("LATENCY = 1", &format!("LATENCY = {latency}"))
}

#[test]
fn a_spill_register_keeps_every_word_once_in_order() {
    let block = SpillRegister { width: 2 };
    let checker = queue(2, 2, SpillRegister::LATENCY);
    assert_eq!(judge(&block, &checker, None), Verdict::Proved);
    let fault = ("take & !room", "take & room");
    assert_eq!(judge(&block, &checker, Some(fault)), Verdict::Refuted);
}

#[test]
fn a_fifo_keeps_every_word_once_in_order() {
    for depth in 1..=3 {
        let block = Fifo::new(3, depth);
        let checker = queue(3, depth, Fifo::LATENCY);
        assert_eq!(
            judge(&block, &checker, None),
            Verdict::Proved,
            "depth {depth}"
        );
        let fault = ("push ? (count_q + ", "push ? (count_q - ");
        let fault = if depth == 1 {
            ("in_valid_i &", "in_valid_i |")
        } else {
            fault
        };
        let verdict = judge(&block, &checker, Some(fault));
        assert_eq!(verdict, Verdict::Refuted, "depth {depth}");
    }
}

#[test]
fn a_fifos_count_is_the_words_held() {
    for (depth, fault) in [
        (1, ("count_o = count_q", "count_o = in_valid_i")),
        (2, ("count_o = count_q", "count_o = count_q & 2'd1")),
        (3, ("count_o = count_q", "count_o = count_q ^ (&count_q)")),
    ] {
        let block = Fifo {
            count: true,
            ..Fifo::new(3, depth)
        };
        let bits = block.count_bits();
        let checker = queue(3, depth, Fifo::LATENCY);
        let checker = format!("`define COUNT_BITS {bits}\n{checker}");
        let what = format!("depth {depth}");
        assert_eq!(judge(&block, &checker, None), Verdict::Proved, "{what}");
        let verdict = judge(&block, &checker, Some(fault));
        assert_eq!(verdict, Verdict::Refuted, "{what}");
    }
}

#[test]
fn a_banked_fifo_keeps_every_word_once_in_order() {
    // Two rows of banks: in one, a write never meets a read, because the ring is full then.
    let block = BankedFifo::new(4, 8);
    // A write that meets the read of a held word in its bank makes it a cycle later.
    let checker = queue(4, block.capacity(), BankedFifo::LATENCY + 1);
    assert_eq!(judge(&block, &checker, None), Verdict::Proved);
    for fault in [
        ("wanted & !blocked", "wanted"),
        ("reserved_q != 3'd4", "reserved_q != 3'd5"),
        ("write_bank == 2'd2", "write_bank == 2'd3"),
    ] {
        assert_eq!(
            judge(&block, &checker, Some(fault)),
            Verdict::Refuted,
            "{fault:?}"
        );
    }
}

#[test]
fn a_fork_gives_every_branch_every_word_once() {
    let block = Fork { branches: 3 };
    let checker = include_str!("../formal/fork.v");
    assert_eq!(judge(&block, checker, None), Verdict::Proved);
    let fault = ("all ? ", "!all ? ");
    assert_eq!(judge(&block, checker, Some(fault)), Verdict::Refuted);
}

#[test]
fn a_join_takes_all_branches_together() {
    let block = Join { branches: 3 };
    let checker = include_str!("../formal/join.v");
    assert_eq!(judge(&block, checker, None), Verdict::Proved);
    let fault = (
        "assign in1_ready_o = transfer",
        "assign in1_ready_o = out_ready_i",
    );
    assert_eq!(judge(&block, checker, Some(fault)), Verdict::Refuted);
}

#[test]
fn an_arbiter_serves_every_branch_in_turn_and_holds_its_offers() {
    let block = Arbiter {
        branches: 3,
        width: 2,
    };
    let checker = include_str!("../formal/arbiter.v");
    assert_eq!(judge(&block, checker, None), Verdict::Proved);
    for fault in [
        ("standing_q <= offer & !out_ready_i", "standing_q <= 1'b0"),
        ("behind_q <= ~(grant", "behind_q <= (grant"),
    ] {
        assert_eq!(
            judge(&block, checker, Some(fault)),
            Verdict::Refuted,
            "{fault:?}"
        );
    }
}

#[test]
fn a_zero_eliminator_packs_every_word_once_in_order() {
    let block = ZeroEliminator { lanes: 3, width: 1 };
    let checker = include_str!("../formal/zero_eliminator.v");
    assert_eq!(judge(&block, checker, None), Verdict::Proved);
    let fault = ("out_ready_i | !packed_q", "1'b1");
    assert_eq!(judge(&block, checker, Some(fault)), Verdict::Refuted);
}

/// An array whose lines make groups of 4, 2 and 1 lanes.
fn groups_of_4_2_and_1() -> ArrayShape {
    ArrayShape {
        multipliers: 4,
        head_dims: vec![1, 2, 4],
    }
}

#[test]
fn a_lane_packer_keeps_every_lane_once_in_order() {
    for lanes in [1, 2, 4] {
        let block = LanePacker {
            shape: groups_of_4_2_and_1(),
            lanes,
            width: 1,
        };
        let checker = include_str!("../formal/lane_packer.v");
        let checker = checker.replace("LANES = 2", &format!("LANES = {lanes}"));
        let judge = |fault| judge(&block, &checker, fault);
        assert_eq!(judge(None), Verdict::Proved, "{lanes} lanes");
        for fault in [
            // A held line is overwritten, a row's end is lost, a group is taken too early or put in a wrong place.
            ("out_ready_i | !full_q", "1'b1"),
            ("last_q <= in_last_i", "last_q <= 1'b0"),
            match lanes {
                4 => ("part_q + 2'd1", "part_q - 2'd1"),
                _ => ("in_ready_o = room & group_done", "in_ready_o = room"),
            },
        ] {
            let verdict = judge(Some(fault));
            assert_eq!(verdict, Verdict::Refuted, "{lanes} lanes, {fault:?}");
        }
    }
}

#[test]
fn a_lane_unpacker_keeps_every_lane_once_in_order() {
    for lanes in [1, 2, 4] {
        let block = LaneUnpacker {
            shape: groups_of_4_2_and_1(),
            lanes,
            width: 1,
        };
        let checker = include_str!("../formal/lane_unpacker.v");
        let checker = checker.replace("LANES = 2", &format!("LANES = {lanes}"));
        let judge = |fault| judge(&block, &checker, fault);
        assert_eq!(judge(None), Verdict::Proved, "{lanes} lanes");
        let mut faults = vec![("in_valid_i & (out_ready_i | !offer)", "in_valid_i")];
        faults.push(match lanes {
            // No line has a rest there.
            1 => ("part_q == 2'd0", "part_q == 2'd1"),
            _ => ("collects | at_end | finish_i", "collects | at_end"),
        });
        for fault in faults {
            let verdict = judge(Some(fault));
            assert_eq!(verdict, Verdict::Refuted, "{lanes} lanes, {fault:?}");
        }
    }
}
