//! Faults in the blocks of `fetch` that their benches must find: the read master's in its own, all others in that of the
//! whole fetcher.

use spatten::accelerator::fetch::{Fetch, ReadMaster};
use spatten::accelerator::shape::ArrayShape;
use spatten::testbenches::{fetch, read_master};

use super::seeded::{self, Fault, caught, faulty, options};

#[test]
fn faults_of_the_read_master_are_found() {
    let block = ReadMaster {
        address_bits: 20,
        outstanding: 6,
        burst_beats: 3,
        tag_bits: 9,
        timeout: 1024,
    };
    for (from, to, words) in [
        // Ids and addresses on the port.
        (
            "if (issue & fresh) unused_q",
            "if (issue & fresh & stop_q) unused_q",
            "one address is written and read in one cycle",
        ),
        (
            "{address_out_data[16:2], 5'd0}",
            "{address_out_data[16:2], 5'd16}",
            "is no multiple of 32",
        ),
        // What comes back.
        (
            "data_q <= data_out_data[258:3]",
            "data_q <= {data_out_data[257:3], data_out_data[258]}",
            "stream `beat`, word 0",
        ),
        (
            "request_length_i, request_tag_i})",
            "request_length_i, ~request_tag_i})",
            "no such request",
        ),
        // What the memory does wrong.
        (
            "unknown_q <= !known",
            "unknown_q <= stop_q & !known",
            "UnknownId of read Some(0) is reported as",
        ),
        (
            "interleaved_q <= open_q &",
            "interleaved_q <= stop_q & open_q &",
            "Interleaved of read None is reported as",
        ),
        (
            "(response_q == 2'd2) | (response_q == 2'd3)",
            "(response_q == 2'd2)",
            "DecodeError of read Some(14) is reported as",
        ),
        (
            "(response_q == 2'd3) | wrong_last",
            "(response_q == 2'd3) | (stop_q & wrong_last)",
            "WrongLast of read Some(7) is reported as",
        ),
        (
            "over_q <= waits &",
            "over_q <= stop_q & waits &",
            "Silence of read None is reported as",
        ),
        // After an error.
        (
            "address_room & !halted",
            "address_room & !stop_q",
            "takes requests after SlaveError",
        ),
        (
            "still = stop_q & none_under_way",
            "still = stop_q",
            "is idle with a read under way",
        ),
        ("checked_q <= arrives & !halted", "checked_q <= arrives", ""),
    ] {
        let design = faulty(&block, "spatten_read_master", from, to);
        caught(read_master::check(&block, &design, &options()), &[words]);
    }
}

/// A small fetcher of all classes and both head dimensions over two channels.
fn small() -> Fetch {
    Fetch {
        shape: ArrayShape {
            multipliers: 64,
            head_dims: vec![32, 64],
        },
        element_bits: [5, 4, 5],
        lines: [12, 16, 14, 3],
        keys_per_row: 12,
        tokens: 40,
        channels: 2,
        address_bits: 20,
        outstanding: 5,
        timeout: 1024,
    }
}

/// Three vectors per line, so that words of 16 ids begin at each of its slots.
fn three_per_line() -> Fetch {
    Fetch {
        shape: ArrayShape {
            multipliers: 96,
            head_dims: vec![32],
        },
        lines: [16, 0, 14, 3],
        keys_per_row: 40,
        channels: 1,
        ..small()
    }
}

/// Something is awaited in vain.
const STUCK: &str = "not done after";
/// A memory is read too often, or not often enough.
const WRONG_READS: &str = "the jobs ask for";
/// A vector is not what was written.
const WRONG_VECTOR: &str = "expected";

/// How many faults of a module are tried in the short tier; in the long one all.
const FEW: usize = 2;

/// The testbench of the fetcher finds faults of `module`.
fn all_caught(block: &Fetch, module: &str, faults: &[Fault]) {
    let few = match std::env::var_os("SPATTEN_LONG") {
        Some(_) => faults.len(),
        None => FEW,
    };
    seeded::all_caught(
        block,
        module,
        &faults[..few.min(faults.len())],
        fetch::check,
    );
}

#[test]
fn scan_that_mistakes_lines_or_jobs_is_caught() {
    let faults: [Fault; 4] = [
        // The line behind a job, the base of a job under way, lines that are not yet in use, vectors that are awaited.
        ("? (last_offset + 4'd1)", "? last_offset", STUCK),
        ("(number_free | !begins_q)", "(number_free | begins_q)", ""),
        ("last_offset} < in_use_q", "last_offset} <= in_use_q", STUCK),
        ("{take_left > 4'd1, ", "{take_left > 4'd0, ", STUCK),
    ];
    all_caught(&small(), "class_scan_m64_d32_64_l12", &faults);
}

#[test]
fn scan_that_misplaces_ids_within_lines_is_caught() {
    let faults: [Fault; 3] = [
        ("? 2'd0 : next_slot;", "? next_slot : next_slot;", STUCK),
        ("next_slot0 = 2'd1;", "next_slot0 = 2'd2;", ""),
        ("{2{5'd5}}, {3{5'd4}},", "{3{5'd5}}, {2{5'd4}},", ""),
    ];
    all_caught(&three_per_line(), "class_scan_m96_d32_l16", &faults);
}

#[test]
fn token_list_that_loses_or_mixes_lists_is_caught() {
    let faults: [Fault; 4] = [
        // A list of several words, a third list, the last word of ids, ids of a job without a list.
        (
            "read_context_q ^ frees",
            "read_context_q ^ (frees & first_q)",
            "",
        ),
        ("held_q != 2'd2", "held_q != 2'd3", ""),
        ("left <= 4'd8", "left <= 4'd7", STUCK),
        ("{out_index_q, 3'd5}", "{out_index_q, 3'd4}", WRONG_READS),
    ];
    all_caught(&small(), "token_list_n8", &faults);
}

#[test]
fn admission_that_mixes_dimensions_or_drops_queries_is_caught() {
    let faults: [Fault; 4] = [
        // Vectors of another dimension under way, a query behind LSBs, queries not counted, another channel.
        ("(key_level_i == level_q)", "(key_level_i >= level_q)", ""),
        ("!lsb_asks & ready", "!(lsb_asks & level_q) & ready", STUCK),
        (
            "live & {8{admitted}}",
            "live & {8{admitted & !query_ready_o}}",
            "",
        ),
        (
            "id0_channel = word[53] ^ word[54]",
            "id0_channel = word[53] ^ word[53]",
            WRONG_READS,
        ),
    ];
    all_caught(&small(), "admission", &faults);
}

#[test]
fn distributor_that_repeats_or_loses_ids_is_caught() {
    let faults: [Fault; 4] = [
        ("(gone_q | taken)", "(gone_q & taken)", ""),
        ("&{queue1_all, queue0_all}", "|{queue1_all, queue0_all}", ""),
        // Into both queues; to another line.
        (
            "!batch_channel_i[3], ",
            "!batch_channel_i[3] | !batch_channel_i[2], ",
            WRONG_READS,
        ),
        (
            "batch_line_i[7:4], ",
            "batch_line_i[7:4] ^ {4{gone_q[0]}}, ",
            "",
        ),
    ];
    all_caught(&small(), "distributor", &faults);
}

#[test]
fn channel_queue_that_overflows_or_mixes_words_is_caught() {
    let faults: [Fault; 4] = [
        ("held_q < 5'd15", "held_q < 5'd16", ""),
        ("hits_i[2] & any2_1 & !two2_1", "hits_i[2] & any2_1", ""),
        ("two ? 5'd2", "two ? 5'd1", STUCK),
        ("(one & !two)", "(one & !second[1])", ""),
    ];
    all_caught(&small(), "channel_queue_n8", &faults);
}

#[test]
fn assembly_that_overwrites_or_forgets_vectors_is_caught() {
    let faults: [Fault; 4] = [
        ("used_q == 3'd4", "used_q == 3'd5", ""),
        ("(waits | !loads)", "(waits & !loads)", STUCK),
        ("(index_q + 2'd1)", "(index_q + 2'd2)", WRONG_VECTOR),
        (
            "if (moved_i) leave_q",
            "if (moved_i & full_q) leave_q",
            WRONG_VECTOR,
        ),
    ];
    all_caught(&small(), "assembly_m64", &faults);
}

#[test]
fn bitwidth_converter_that_takes_other_bits_is_caught() {
    let faults: [Fault; 4] = [
        // The sign of four bits, of sixteen; the halves of sixteen bits; a plane of two bits.
        (": nibbles0[k*4 + 3],", ": nibbles0[k*4 + 2],", WRONG_VECTOR),
        ("{3{plan1[9]}}", "{3{plan1[9] | plan1[10]}}", WRONG_VECTOR),
        (
            "== 3'd5) ? words[k*5 + 4]",
            "== 3'd5) ? words[k*5 + 3]",
            WRONG_VECTOR,
        ),
        (
            "{pairs0[k*2 + 1], pairs0[k*2]}",
            "{pairs0[k*2], pairs0[k*2 + 1]}",
            WRONG_VECTOR,
        ),
    ];
    all_caught(&small(), "bitwidth_converter", &faults);
}

#[test]
fn fill_port_that_drops_or_mixes_chunks_is_caught() {
    let faults: [Fault; 4] = [
        (
            "granted_q & {2{room}}",
            "granted_q & {2{room | fill_ready_i}}",
            WRONG_VECTOR,
        ),
        ("if (open) place_q", "if (room) place_q", ""),
        ("winner & takes_i &", "winner & (takes_i | behind_i) &", ""),
        (
            "= room | !has_granted",
            "= room | !(has_granted & granted_q[0])",
            "",
        ),
    ];
    all_caught(&small(), "fill_port", &faults);
}

#[test]
fn fill_crossbar_that_grants_twice_or_not_is_caught() {
    let faults: [Fault; 4] = [
        ("granted | (granted_q & ~moves)", "granted", ""),
        (
            "request0_ready_o = granted[0]",
            "request0_ready_o = granted[0] & !granted[1]",
            "",
        ),
        (
            "moves = port0_moved |",
            "moves = granted_q | port0_moved |",
            WRONG_VECTOR,
        ),
        (
            "request0_valid_i & request0_ports_i[3]",
            "request0_valid_i & request0_ports_i[3] & request0_ports_i[1]",
            STUCK,
        ),
    ];
    all_caught(&small(), "fill_crossbar", &faults);
}

#[test]
fn sound_fetchers_of_these_sizes_pass() {
    for block in [small(), three_per_line()] {
        let design = spatten::testbenches::streams::design(&block);
        let report = fetch::check(&block, &design, &options()).unwrap();
        println!("{report:#?}");
    }
}
