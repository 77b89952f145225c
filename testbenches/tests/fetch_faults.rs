//! Faults in the blocks of `fetch` that their benches must find.

use spatten::accelerator::fetch::ReadMaster;
use spatten::testbenches::read_master;

use super::seeded::{caught, faulty, options};

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
