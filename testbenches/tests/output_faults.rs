//! Faults in the way of rows to memory, and in the dispatch of rows, that their benches must find.

use spatten::accelerator::control::Dispatch;
use spatten::accelerator::fetch::Fetch;
use spatten::accelerator::output::OutputWriter;
use spatten::accelerator::shape::ArrayShape;
use spatten::config::Config;
use spatten::testbenches::{dispatch, output_writer};

use super::seeded::{Fault, all_caught};

/// A small writer of both head dimensions over two channels.
fn writer() -> OutputWriter {
    let shape = ArrayShape {
        multipliers: 64,
        head_dims: vec![32, 64],
    };
    let fetch = Fetch {
        shape: shape.clone(),
        channels: 2,
        tokens: 40,
        address_bits: 20,
        outstanding: 5,
        timeout: 1024,
        ..Fetch::new(&Config::default())
    };
    OutputWriter {
        shape,
        fetch,
        lanes: 8,
        element_bits: 7,
    }
}

/// The testbench of the writer finds every fault of `module`.
fn caught_by_the_writer(module: &str, faults: &[Fault]) {
    all_caught(&writer(), module, faults, output_writer::check);
}

#[test]
fn write_master_that_miscounts_or_misses_errors_is_caught() {
    caught_by_the_writer(
        "write_master",
        &[
            // Writes under way, beats of a burst.
            (
                "write_used_q < 4'd8",
                "write_used_q <= 4'd8",
                "found no place",
            ),
            (
                "last ? 2'd0 : (sent_q",
                "last ? 2'd1 : (sent_q",
                "last is true on beat",
            ),
            // What is told, and when the port is idle.
            (
                "answered_q & !known;",
                "answered_q & !known & stop_q;",
                "UnknownId: error",
            ),
            (
                "& !(|id_q)",
                "& !(|id_q[2:1] & id_q[0])",
                "UnknownId: error",
            ),
            (
                "resp_q[0] ? 3'd3 : 3'd2",
                "resp_q[0] ? 3'd2 : 3'd2",
                "DecodeError: error",
            ),
            ("(&waited_q)", "(&waited_q) & stop_q", "Silence: error"),
            (
                "stop_q & !pending_out_valid",
                "stop_q & !issue",
                "Silence: idle_o is true",
            ),
        ],
    );
}

#[test]
fn output_writer_that_mixes_rows_is_caught() {
    caught_by_the_writer(
        "output_writer",
        &[
            (
                "row_out_data[2] ^ row_out_data[3]",
                "row_out_data[2] ^ row_out_data[2]",
                "channel",
            ),
            (
                "{9{word_data_i[k*7 + 6]}}",
                "{9{word_data_i[k*7 + 5]}}",
                "element",
            ),
            ("? 2'd3 : 2'd1", "? 2'd2 : 2'd1", "rows are written after"),
            (
                "rows_out_ready = moves & entry_out_data[0]",
                "rows_out_ready = moves",
                "rows are written after",
            ),
            (
                "request_room1 & beat_room1",
                "request_room1 & (beat_room1 | beats1_out_valid)",
                "",
            ),
            (
                "&{master1_idle, master0_idle}",
                "|{master1_idle, master0_idle}",
                "idle_o is true",
            ),
            (
                "{30'd0, acknowledged_q}",
                "{30'd0, acknowledged_q & 2'd1}",
                "rows are written after",
            ),
        ],
    );
}

#[test]
fn dispatch_that_mixes_rows_or_asks_for_other_lsbs_is_caught() {
    let block = Dispatch::new(&Config::load("tiny", &[]).unwrap());
    let faults = [
        ("(refetch_valid_i | !", "(refetch_valid_i | ", "lsb_job"),
        (
            "lsb_job_skip_o = !refined",
            "lsb_job_skip_o = !(refined | refetch_data_i)",
            "field `skip`",
        ),
        (
            "known_fork_out1_valid & refined",
            "known_fork_out1_valid & (refined | refetch_data_i)",
            "lsb_row",
        ),
        (
            "known & known_fork_in_ready",
            "known & (known_fork_in_ready | refined)",
            "refined",
        ),
        (
            "{row_output_base_i, row",
            "{row_output_base_i ^ row_query_base_i, row",
            "output_row",
        ),
        (
            "query_ready_i & query_line_valid_i",
            "query_ready_i & (query_line_valid_i | level_fifo_out_data)",
            "stream `query`",
        ),
    ];
    all_caught(&block, "tiny_dispatch", &faults, dispatch::check);
}
