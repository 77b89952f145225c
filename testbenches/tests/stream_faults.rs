//! Faults in stream cells and memories that their benches must find.

use spatten::cells::arbiter::Arbiter;
use spatten::cells::banked_fifo::BankedFifo;
use spatten::cells::fifo::Fifo;
use spatten::cells::prefix_sum::PrefixSum;
use spatten::cells::spill_register::SpillRegister;
use spatten::cells::sram::{SinglePortSram, Sram};
use spatten::cells::zero_eliminator::ZeroEliminator;
use spatten::testbenches::queue::Queue;
use spatten::testbenches::{Options, arbiter, banked_fifo, prefix_sum, sram, zero_eliminator};

use super::seeded::{caught, faulty};

const OPTIONS: Options = Options {
    cases: 5000,
    seed: 3,
    trace: None,
};

#[test]
fn a_spill_register_that_drops_its_spare_word_is_found() {
    let block = SpillRegister { width: 9 };
    let design = faulty(
        &block,
        "spatten_spill_register",
        "spare_full_q ? spare_q : in_data_i",
        "in_data_i | (spare_q & 9'd0)",
    );
    caught(
        Queue::new(&block, (1, 9), 1, 1, 2).check(&design, &OPTIONS),
        &[],
    );
}

#[test]
fn a_fifo_that_miscounts_or_takes_too_many_words_is_found() {
    let block = Fifo {
        width: 9,
        depth: 5,
        count: true,
    };
    for (from, to, expected) in [
        (
            "count_o = count_q",
            "count_o = count_q & 3'd3",
            "count_o is 0 with 4 words held",
        ),
        (
            "ready = count_q != 3'd5",
            "ready = count_q != 3'd6",
            "holds 6 words, documented 5",
        ),
    ] {
        let design = faulty(&block, "spatten_fifo", from, to);
        let outcome = Queue::new(&block, (1, 9), 1, 1, 5).check(&design, &OPTIONS);
        caught(outcome, &[expected]);
    }
}

#[test]
fn a_banked_fifo_that_mixes_up_banks_or_loses_cycles_is_found() {
    let block = BankedFifo::new(9, 10);
    for (from, to, expected) in [
        // The words of two banks.
        (
            "2'd1: word = place1_q",
            "2'd1: word = place1_q | place2_q",
            &[][..],
        ),
        // A read where the memory writes, and one that is late for no reason.
        (
            "wanted & !blocked",
            "wanted & !(blocked & (&stored_q))",
            &[],
        ),
        (
            "write & (write_bank == read_bank)",
            "write & ((write_bank == read_bank) | write_bank[1])",
            &["interval"],
        ),
        // A read that is late twice, which the places do not hide.
        (
            "(write_bank == read_bank)",
            "((write_bank == read_bank) | (write_bank + 2'd1 == read_bank))",
            &["a cycle is lost"],
        ),
        ("stored_q != 4'd12", "stored_q < 4'd9", &["holds"]),
    ] {
        let design = faulty(&block, "spatten_banked_fifo", from, to);
        caught(
            banked_fifo::check(&block, (1, 9), &design, &OPTIONS),
            expected,
        );
    }
}

#[test]
fn an_sram_that_is_late_loses_accesses_or_reads_unasked_is_found() {
    let (depth, width) = (6, sram::WIDTH);
    let read = "    if (read_enable_i) words_read_q <= words[read_address_i];\n  end\n";
    let late = "    if (read_enable_i) late_q <= words[read_address_i];\n    words_read_q <= late_q;\n  end\n  \
                reg [18:0] late_q;\n";
    for (from, to, expected) in [
        (read, late, "words read in consecutive cycles appear"),
        (
            "if (read_enable_i) words_read_q",
            "if (read_enable_i & !(words_read_q[1] & words_read_q[0])) words_read_q",
            "words read in consecutive cycles appear",
        ),
        ("if (read_enable_i) words_read_q", "words_read_q", "not"),
    ] {
        let block = Sram { width, depth };
        let design = faulty(&block, "spatten_sram_1r1w", from, to);
        caught(sram::check(depth, &design, &OPTIONS), &[expected]);
    }
    let block = SinglePortSram { width, depth };
    let design = faulty(&block, "spatten_sram_1rw", "enable_i & write_i", "write_i");
    caught(sram::check(depth, &design, &OPTIONS), &["not"]);
}

#[test]
fn an_arbiter_whose_offers_do_not_stand_is_found() {
    let block = Arbiter {
        branches: 3,
        width: 16,
    };
    let design = faulty(
        &block,
        "spatten_arbiter",
        "standing_q <= offer & !out_ready_i",
        "standing_q <= 1'b0",
    );
    caught(arbiter::check(&block, &design, &OPTIONS), &[]);
}

#[test]
fn a_prefix_sum_that_skips_a_level_is_found() {
    let block = PrefixSum { lanes: 5 };
    let design = faulty(
        &block,
        "spatten_prefix_sum",
        "flags_i[3]} + ",
        "flags_i[3]} | ",
    );
    caught(prefix_sum::check(&block, &design, &OPTIONS), &["not"]);
}

#[test]
fn a_zero_eliminator_that_forgets_a_dropped_lane_is_found() {
    let block = ZeroEliminator { lanes: 4, width: 5 };
    let design = faulty(
        &block,
        "spatten_zero_eliminator",
        "moves1 = moves1_q",
        "moves1 = ~moves1_q",
    );
    caught(zero_eliminator::check(&block, &design, &OPTIONS), &[]);
}
