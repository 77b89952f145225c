//! The emitted Verilog of the way from and to memory at a small size, held by snapshots as in `snapshots.rs`.

use spatten::accelerator::attention_pipeline::AttentionPipeline;
use spatten::accelerator::control::Dispatch;
use spatten::accelerator::fetch::{
    Assembly, Class, ClassScan, Fetch, FetchPath, FillCrossbar, TokenList, VectorTag,
};
use spatten::accelerator::output::OutputWriter;
use spatten::accelerator::shape::ArrayShape;

use super::snapshots::{holds, small_pipeline};

/// One vector of 32 elements per line.
fn shape() -> ArrayShape {
    ArrayShape {
        multipliers: 32,
        head_dims: vec![32],
    }
}

/// All classes over two channels.
fn small() -> Fetch {
    Fetch {
        shape: shape(),
        element_bits: [4, 4, 4],
        lines: [4, 4, 4, 4],
        keys_per_row: 3,
        tokens: 8,
        channels: 2,
        address_bits: 16,
        outstanding: 3,
        timeout: 16,
    }
}

/// Lines of four, two or one vectors.
fn three_levels() -> ArrayShape {
    ArrayShape {
        multipliers: 8,
        head_dims: vec![2, 4, 8],
    }
}

#[test]
fn token_list() {
    let list = TokenList {
        lanes: 2,
        id_bits: 4,
        keys_per_row: 5,
    };
    holds("token_list", &list);
    let of_one_word = TokenList {
        lanes: 4,
        keys_per_row: 4,
        ..list
    };
    holds("token_list_of_one_word", &of_one_word);
}

#[test]
fn class_scan() {
    let scan = ClassScan {
        shape: three_levels(),
        lines: 6,
        list: TokenList {
            lanes: 2,
            id_bits: 4,
            keys_per_row: 5,
        },
        base_bits: 6,
        channels: 2,
        jobs: 2,
        skips: true,
    };
    // Two ids of three vectors per line begin at each slot.
    let three_per_line = ClassScan {
        shape: ArrayShape {
            multipliers: 6,
            head_dims: vec![2],
        },
        skips: false,
        ..scan.clone()
    };
    holds("class_scan", &scan);
    holds("class_scan_three_per_line", &three_per_line);
}

#[test]
fn ways_to_the_channels() {
    holds("admission", &small().admission());
    holds("distributor", &small().distributor());
    holds("channel_queue", &small().distributor().queue());
    holds("read_request", &small().read_request());
}

#[test]
fn assembly() {
    let assembly = small().assembly();
    holds("bitwidth_converter", &assembly.converter());
    holds("assembly", &assembly);
}

#[test]
fn fill_crossbar() {
    let crossbar = FillCrossbar {
        channels: 2,
        assembly: Assembly {
            shape: three_levels(),
            element_bits: 4,
            tag: VectorTag {
                line_bits: 3,
                slot_bits: 2,
            },
        },
    };
    holds("fill_port", &crossbar.port());
    holds("fill_crossbar", &crossbar);
}

#[test]
fn fetch() {
    holds("fetch", &small());
    let fetch = Fetch {
        channels: 1,
        ..small()
    };
    holds("fetch_path", &FetchPath { fetch });
}

#[test]
fn output_writer() {
    let writer = OutputWriter {
        shape: shape(),
        fetch: small(),
        lanes: 8,
        element_bits: 7,
    };
    holds("write_master", &writer.master());
    holds("output_writer", &writer);
}

#[test]
fn dispatch() {
    let dispatch = Dispatch {
        fetch: small(),
        pipeline: AttentionPipeline {
            shape: shape(),
            ..small_pipeline()
        },
    };
    let mut without = dispatch.clone();
    without.fetch.lines[Class::Lsb as usize] = 0;
    holds("dispatch", &dispatch);
    holds("dispatch_without_lsb", &without);
}
