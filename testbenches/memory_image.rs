//! The memory image: what is written comes back, and no two vectors share a byte.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spatten::accelerator::fetch::VectorFormat;
use spatten::config::Config;
use spatten::cosim::memory::SparseMemory;
use spatten::numerics::STORED_BITS;
use spatten::workload::memory_image::{
    ChannelMemory, ImageError, ImageShape, MemoryImage, Plane, query_id,
};
use spatten::workload::quantizer::QuantizedLayer;
use spatten::workload::synthetic::{RowKind, SyntheticAttention};

fn config(channels: usize) -> Config {
    let mut config = Config::load("spatten", &[]).unwrap();
    config.memory.channels = channels;
    config.limits.tokens = 4096;
    config
}

const SHAPE: ImageShape = ImageShape {
    head_dim: 64,
    heads: 4,
    kv_heads: 2,
    tokens: 100,
    key_bits: 8,
    has_lsb_plane: true,
    value_bits: 12,
};

fn any_shape() -> impl Strategy<Value = ImageShape> {
    (
        prop::sample::select(vec![32, 64, 128]),
        (1..6_usize, 1..6_usize),
        1..150_usize,
        prop::sample::select(STORED_BITS.to_vec()),
        any::<bool>(),
        2..=12_usize,
    )
        .prop_map(
            |(head_dim, (heads, kv_heads), tokens, key_bits, has_lsb_plane, value_bits)| {
                ImageShape {
                    head_dim,
                    heads,
                    kv_heads,
                    tokens,
                    key_bits,
                    has_lsb_plane,
                    value_bits,
                }
            },
        )
}

/// Bits of a plane's elements, and whether they are signed.
fn elements_of(shape: &ImageShape, plane: Plane) -> (usize, bool) {
    match plane {
        Plane::Key => (shape.key_bits, true),
        Plane::KeyLsb => (4, false),
        Plane::Value => (shape.value_bits, true),
        Plane::Query | Plane::Output => (16, true),
    }
}

/// Every vector of an image in a random order.
fn shuffled(image: &MemoryImage, random: &mut ChaCha8Rng) -> Vec<(Plane, usize, usize)> {
    let heads = |plane| (0..image.heads(plane)).map(move |head| (plane, head));
    let heads = Plane::ALL.into_iter().flat_map(heads);
    let tokens = |(plane, head)| (0..image.shape().tokens).map(move |id| (plane, head, id));
    let mut all: Vec<_> = heads.flat_map(tokens).collect();
    all.sort_by_cached_key(|_| random.random::<u64>());
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_vector_comes_back_whatever_is_written_around_it(
        shape in any_shape(),
        log_channels in 0..6_u32,
        page in 0..100_u64,
        seed in any::<u64>(),
    ) {
        let random = &mut ChaCha8Rng::seed_from_u64(seed);
        let channels = 1 << log_channels;
        let image = MemoryImage::new(&config(channels), shape, 4096 * page).unwrap();
        let mut memory = vec![SparseMemory::default(); channels];
        let mut written = HashMap::new();
        for vector in shuffled(&image, random) {
            let (bits, is_signed) = elements_of(&shape, vector.0);
            let least = if is_signed { -(1 << (bits - 1)) } else { 0 };
            let elements: Vec<i64> = (0..shape.head_dim)
                .map(|_| least + random.random_range(0..1 << bits))
                .collect();
            image.write(&mut memory[..], vector, &elements);
            written.insert(vector, elements);
        }
        for (vector, elements) in written {
            prop_assert_eq!(image.read(&memory[..], vector), elements, "{:?}", vector);
        }
    }

    #[test]
    fn vectors_share_no_byte_and_bursts_stay_within_4_kb_and_the_image(
        shape in any_shape(),
        log_channels in 0..6_u32,
        page in 0..100_u64,
    ) {
        let channels = 1 << log_channels;
        let base = 4096 * page;
        let image = MemoryImage::new(&config(channels), shape, base).unwrap();
        let mut beats = HashMap::new();
        for (plane, head, id) in shuffled(&image, &mut ChaCha8Rng::seed_from_u64(0)) {
            let place = image.vector_place(plane, head, id);
            prop_assert!(place.channel < channels);
            prop_assert_eq!(place.address % 32, 0);
            let end = place.address + 32 * place.beats as u64;
            prop_assert!(place.address / 4096 == (end - 1) / 4096, "{:?}", place);
            prop_assert!(place.address >= base && end <= base + image.bytes());
            // Jobs of the fetcher find it: base, rotation and format are enough.
            let head_place = image.head_place(plane, head);
            let row = (id / channels) * head_place.format.stride(shape.head_dim);
            prop_assert_eq!(place.address, head_place.base * 32 + row as u64);
            for address in (place.address..end).step_by(32) {
                let owners: &mut HashSet<_> = beats.entry((place.channel, address)).or_default();
                owners.insert((plane, head, id));
            }
        }
        for ((channel, address), owners) in beats {
            // The halves of a pair share the beat of their low bits.
            let heads: HashSet<_> = owners.iter().map(|&(plane, head, id)| (plane, head / 2, id)).collect();
            let is_paired = shape.key_bits % 4 == 2 && owners.iter().all(|owner| owner.0 == Plane::Key);
            prop_assert!(
                owners.len() == 1 || (is_paired && heads.len() == 1),
                "channel {} address {:#x}: {:?}", channel, address, owners
            );
        }
    }
}

/// A job reads no byte outside the vector's beats, and the partner of a pair need not have been written.
#[test]
fn a_lone_half_needs_no_partner() {
    for key_bits in [6, 10] {
        let shape = ImageShape {
            kv_heads: 3,
            key_bits,
            ..SHAPE
        };
        let image = MemoryImage::new(&config(16), shape, 0).unwrap();
        let formats: Vec<_> = (0..3).map(|head| image.format(Plane::Key, head)).collect();
        let pair = match key_bits {
            6 => [VectorFormat::Bits6A, VectorFormat::Bits6B],
            _ => [VectorFormat::Bits10A, VectorFormat::Bits10B],
        };
        assert_eq!(formats, [pair[0], pair[1], pair[0]]);
        let mut memory = vec![SparseMemory::default(); 16];
        let elements: Vec<i64> = (0..64).map(|i| i % 31 - 15).collect();
        image.write(&mut memory[..], (Plane::Key, 2, 7), &elements);
        assert_eq!(image.read(&memory[..], (Plane::Key, 2, 7)), elements);
    }
}

#[test]
fn planes_that_are_read_in_turn_start_in_different_banks() {
    // As `src/cosim/memory/hbm2.rs` has it: the exclusive-or of all pairs of bits from 13 up.
    let bank = |address: u64| {
        (13..63)
            .step_by(2)
            .fold(0, |bank, bit| bank ^ (address >> bit & 3))
    };
    for head_dim in [32, 64, 128] {
        for (heads, tokens) in [(1, 10), (4, 100), (12, 1024), (12, 4096)] {
            let shape = ImageShape {
                head_dim,
                heads,
                kv_heads: heads,
                tokens,
                ..SHAPE
            };
            let image = MemoryImage::new(&config(16), shape, 0).unwrap();
            let second = MemoryImage::new(&config(16), shape, image.step()).unwrap();
            for image in [image, second] {
                let planes = [Plane::Key, Plane::KeyLsb, Plane::Value, Plane::Query];
                let banks: HashSet<_> = planes.map(|plane| bank(image.plane_base(plane))).into();
                assert_eq!(banks.len(), 4, "{shape:?}");
            }
        }
    }
}

#[test]
fn a_layer_is_written_at_the_ids_of_its_tokens() {
    for (queries, keys) in [(5, 40), (40, 40), (40, 5)] {
        let model = SyntheticAttention {
            layers: 1,
            heads: 4,
            kv_heads: 2,
            queries,
            keys,
            head_dim: 64,
            causal: false,
            rows: Some(RowKind::RealLike),
            seed: 3,
        };
        let mut formats = config(16).formats();
        formats.key_bits = 10;
        let layer = QuantizedLayer::with_lsb_plane(&model.tensors(), 0, &formats, true);
        let layer = layer.operands;
        let shape = ImageShape::of(&layer, &formats);
        assert_eq!(shape.tokens, 40);
        let image = MemoryImage::new(&config(4), shape, 0x10000).unwrap();
        let mut memory = vec![SparseMemory::default(); 4];
        image.write_layer(&mut memory[..], &layer);
        for key in 0..keys {
            let read = |plane| image.read(&memory[..], (plane, 1, key));
            assert_eq!(read(Plane::Key), layer.keys[1][key]);
            assert_eq!(
                read(Plane::KeyLsb),
                layer.key_lsbs.as_ref().unwrap()[1][key]
            );
            assert_eq!(read(Plane::Value), layer.values[1][key]);
        }
        let ids: Vec<_> = (0..queries).map(|query| query_id(&layer, query)).collect();
        assert_eq!(ids[queries - 1], 39);
        for (query, &id) in ids.iter().enumerate() {
            let read = image.read(&memory[..], (Plane::Query, 3, id));
            assert_eq!(read, layer.queries[3][query]);
            let outputs: Vec<i64> = read.iter().map(|q| q * 16 - 7).collect();
            image.write(&mut memory[..], (Plane::Output, 3, id), &outputs);
        }
        let outputs = image.read_outputs(&memory[..], &[3], &ids);
        assert_eq!(
            outputs[0][0],
            layer.queries[3][0]
                .iter()
                .map(|q| q * 16 - 7)
                .collect::<Vec<_>>()
        );
    }
}

#[test]
fn what_has_no_image_is_refused_with_a_fix() {
    let refusal = |config: &Config, shape, base| -> String {
        let error: ImageError = MemoryImage::new(config, shape, base).unwrap_err();
        error.to_string()
    };
    let spatten = config(16);
    let shape = |change: fn(&mut ImageShape)| {
        let mut shape = SHAPE;
        change(&mut shape);
        shape
    };
    let mut few_bits = spatten.clone();
    few_bits.memory.address_bits = 20;
    let mut no_lsbs = spatten.clone();
    no_lsbs.buffers.key_lsb_lines = 0;
    for (config, shape, base, words) in [
        (&config(12), SHAPE, 0, "memory.channels = 12"),
        (&config(0), SHAPE, 0, "memory.channels = 0"),
        (&spatten, SHAPE, 0x1020, "choose 0x2000"),
        (&spatten, SHAPE, 1 << 34, "address space of 34 bits"),
        (&spatten, SHAPE, u64::MAX - 4095, "address space of 34 bits"),
        (
            &few_bits,
            shape(|s| (s.tokens, s.head_dim) = (4096, 128)),
            0,
            "fewer tokens",
        ),
        (&spatten, shape(|s| s.tokens = 4097), 0, "limits.tokens"),
        (&spatten, shape(|s| s.heads = 10_000), 0, "limits.heads"),
        (&spatten, shape(|s| s.head_dim = 48), 0, "32, 64 or 128"),
        (&spatten, shape(|s| s.key_bits = 5), 0, "4, 6, 8, 10 or 12"),
        (&spatten, shape(|s| s.key_bits = 16), 0, "4, 6, 8, 10 or 12"),
        (&spatten, shape(|s| s.value_bits = 13), 0, "V in 13 bits"),
        (&no_lsbs, SHAPE, 0, "buffers.key_lsb_lines is 0"),
    ] {
        let message = refusal(config, shape, base);
        assert!(message.contains(words), "{words:?} is not in: {message}");
    }
    let fits = MemoryImage::new(&few_bits, SHAPE, 0).unwrap();
    assert!(MemoryImage::new(&few_bits, SHAPE, (1 << 20) - fits.bytes()).is_ok());
    assert!(MemoryImage::new(&few_bits, SHAPE, (1 << 20) - fits.bytes() + 4096).is_err());
}

/// The worked example of `docs/memory_image.md`: every address and byte that it shows is what the library makes.
#[test]
fn the_documented_example_is_what_the_library_writes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/memory_image.md");
    let text = fs::read_to_string(path).unwrap();
    let shape = ImageShape {
        head_dim: 64,
        heads: 4,
        kv_heads: 4,
        tokens: 1000,
        key_bits: 6,
        has_lsb_plane: true,
        value_bits: 8,
    };
    let image = MemoryImage::new(&config(16), shape, 0x10_0000).unwrap();
    let mut expected = vec![format!(
        "| planes | {:#x} bytes apart; the image takes {:#x} bytes of each channel |",
        image.plane_bytes(),
        image.bytes()
    )];
    for plane in Plane::ALL {
        expected.push(format!(
            "| {} | {:#x} |",
            plane.name(),
            image.plane_base(plane)
        ));
    }
    for (plane, head, id) in [
        (Plane::Key, 2, 0x2a7),
        (Plane::Key, 3, 0x2a7),
        (Plane::KeyLsb, 3, 0x2a7),
        (Plane::Value, 3, 0x2a7),
        (Plane::Query, 3, 0x2a7),
        (Plane::Output, 3, 0x2a7),
    ] {
        let head_place = image.head_place(plane, head);
        let place = image.vector_place(plane, head, id);
        expected.push(format!(
            "| {} | {head} | {} | {:#x} | {} | {} | {:#x} | {} |",
            plane.name(),
            head_place.format.code(),
            head_place.base,
            head_place.rotation,
            place.channel,
            place.address,
            place.beats
        ));
    }
    let mut memory = vec![SparseMemory::default(); 16];
    let key: Vec<i64> = (0..64)
        .map(|i| if i < 4 { [-31, 22, 5, -1][i] } else { 0 })
        .collect();
    image.write(&mut memory[..], (Plane::Key, 2, 0x2a7), &[0; 64]);
    image.write(&mut memory[..], (Plane::Key, 3, 0x2a7), &key);
    let place = image.vector_place(Plane::Key, 3, 0x2a7);
    let bytes = memory[..].read(place.channel, place.address, 64);
    for (offset, byte) in bytes.iter().enumerate().filter(|(_, byte)| **byte != 0) {
        let address = place.address + offset as u64;
        expected.push(format!("| {address:#x} | {byte:#04x} |"));
    }
    for line in &expected {
        println!("{line}");
    }
    for line in expected {
        assert!(text.contains(&line), "docs/memory_image.md lacks: {line}");
    }
}
