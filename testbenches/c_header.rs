//! The C header of the memory image, compiled and compared with the library.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use spatten::accelerator::fetch::VectorFormat;
use spatten::config::Config;
use spatten::handoff::{design, header};
use spatten::workload::memory_image::{ImageShape, MemoryImage, Plane};

/// A program that prints what the test computes with the library: places of vectors, then bytes of a packed one.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <string.h>
#include "image.h"

static void place(uint64_t plane_base, enum spatten_format format, uint32_t rotation, uint32_t d, uint32_t tokens,
                  uint32_t head, uint32_t id)
{
    uint64_t base = plane_base + spatten_head_offset(format, d, tokens, head);
    printf("%u %llu %u %u %llu %u\n", (unsigned)format, (unsigned long long)spatten_job_base(base, format, d),
           (unsigned)rotation, (unsigned)spatten_channel(id, rotation),
           (unsigned long long)(base + spatten_offset(format, d, id)), (unsigned)spatten_beats(format, d));
}

int main(void)
{
    static const uint32_t dims[3] = { 32, 64, 128 };
    uint32_t i, bits, head, id, f, k;
    for (i = 0; i < 3; i++)
        for (bits = 4; bits <= 12; bits += 2)
            for (head = 0; head < 5; head++)
                for (id = 0; id < 50; id += 7) {
                    uint32_t d = dims[i];
                    enum spatten_format key = spatten_key_format(bits, head), value = spatten_value_format(bits);
                    place(PLANE_BYTES(i, bits, SPATTEN_PLANE_KEY), key, spatten_rotation(key, head), d, 50, head, id);
                    place(PLANE_BYTES(i, bits, SPATTEN_PLANE_KEY_LSB), SPATTEN_BITS4, spatten_rotation(SPATTEN_BITS4, head),
                          d, 50, head, id);
                    place(PLANE_BYTES(i, bits, SPATTEN_PLANE_VALUE), value, spatten_value_rotation(head), d, 50, head, id);
                    place(PLANE_BYTES(i, bits, SPATTEN_PLANE_OUTPUT), SPATTEN_BITS16, spatten_rotation(SPATTEN_BITS16, head),
                          d, 50, head, id);
                }
    for (f = 0; f < 8; f++) {
        uint8_t bytes[512];
        enum spatten_format format = (enum spatten_format)f;
        memset(bytes, 0x5a, sizeof bytes);
        for (k = 0; k < 64; k++)
            spatten_put(bytes, format, 64, k, (int32_t)(k * 37 % (1u << spatten_bits(format)))
                        - (1 << (spatten_bits(format) - 1)));
        for (k = 0; k < spatten_stride(format, 64); k++)
            printf("%02x", bytes[k]);
        printf("\n");
        for (k = 0; k < 64; k++)
            printf("%d ", (int)spatten_get(bytes, format, 64, k));
        printf("\n");
    }
    return 0;
}
"#;

/// What [`PROGRAM`] prints, and the planes' distances as a macro for it.
fn expected(config: &Config) -> (String, String) {
    let mut text = String::new();
    let mut distances = String::new();
    for (i, head_dim) in [32, 64, 128].into_iter().enumerate() {
        for bits in [4, 6, 8, 10, 12] {
            let shape = ImageShape {
                head_dim,
                heads: 5,
                kv_heads: 5,
                tokens: 50,
                key_bits: bits,
                has_lsb_plane: true,
                value_bits: bits,
            };
            let image = MemoryImage::new(config, shape, 0x3000).unwrap();
            let _ = write!(
                distances,
                "(i) == {i} && (bits) == {bits} ? {}u : ",
                image.plane_bytes()
            );
            for head in 0..5 {
                for id in (0..50).step_by(7) {
                    for plane in [Plane::Key, Plane::KeyLsb, Plane::Value, Plane::Output] {
                        let job = image.head_place(plane, head);
                        let place = image.vector_place(plane, head, id);
                        let _ = writeln!(
                            text,
                            "{} {} {} {} {} {}",
                            job.format.code(),
                            job.base,
                            job.rotation,
                            place.channel,
                            place.address,
                            place.beats
                        );
                    }
                }
            }
        }
    }
    for format in VectorFormat::ALL {
        let half = 1_i64 << (format.bits() - 1);
        let elements: Vec<i64> = (0..64).map(|i| i * 37 % (2 * half) - half).collect();
        let mut place = vec![0x5a; format.stride(64)];
        format.pack(&elements, &mut place);
        text.extend(place.iter().map(|byte| format!("{byte:02x}")));
        text.push('\n');
        text.extend(elements.iter().map(|element| format!("{element} ")));
        text.push('\n');
    }
    let macro_text = format!(
        "#define PLANE_BYTES(i, bits, plane) (0x3000 + (uint64_t)(plane) * ({distances}0u))\n"
    );
    (text, macro_text)
}

#[test]
fn c_compiles_the_header_and_finds_every_vector_where_the_library_puts_it() {
    if Command::new("cc").arg("--version").output().is_err() {
        println!("SKIPPED: no C compiler");
        return;
    }
    for preset in ["tiny", "odd", "eighth", "spatten"] {
        let config = Config::load(preset, &[]).unwrap();
        let (expected, distances) = expected(&config);
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("image.h"), header::memory_image(&config, "top")).unwrap();
        let program = PROGRAM.replace(
            "#include \"image.h\"\n",
            &format!("#include \"image.h\"\n{distances}"),
        );
        fs::write(path("main.c"), program).unwrap();
        let mut compile = Command::new("cc");
        compile.args([
            "-std=c99",
            "-pedantic",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-O1",
            "-o",
        ]);
        let compiled = compile
            .arg(path("main"))
            .arg(path("main.c"))
            .output()
            .unwrap();
        let messages = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "{preset}: {messages}");
        let run = Command::new(path("main")).output().unwrap();
        let printed = String::from_utf8(run.stdout).unwrap();
        for (number, (printed, expected)) in printed.lines().zip(expected.lines()).enumerate() {
            assert_eq!(printed, expected, "{preset}: line {number}");
        }
        assert_eq!(printed.len(), expected.len(), "{preset}");
    }
}

#[test]
fn the_header_is_part_of_a_design_and_leaves_no_placeholder() {
    let config = Config::load("tiny", &[]).unwrap();
    let design = design::generate(&config);
    let name = format!("{}.h", design.top);
    let (_, bytes) = design
        .files
        .iter()
        .find(|(path, _)| path.ends_with(&name))
        .unwrap_or_else(|| panic!("no {name}"));
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(!text.contains('@'), "{text}");
    assert!(text.contains("#define SPATTEN_CHANNELS 1u"));
    assert_eq!(text, header::memory_image(&config, &design.top));
}
