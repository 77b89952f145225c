//! Why this project prints Verilog itself: expressions of which rust-hdl 0.46 simulates one thing and prints another.
//!
//! Each case is legal rust-hdl. When a release of rust-hdl mends one, its test fails and this record with it.

use num_bigint::BigUint;
use rust_hdl::prelude::*;
use std::fs;
use std::process::Command;

#[derive(LogicBlock, Default)]
struct Expressions {
    a: Signal<In, Signed<16>>,
    b: Signal<In, Signed<16>>,
    acc: Signal<In, Signed<40>>,
    p: Signal<In, Bits<8>>,
    q: Signal<In, Bits<8>>,
    sum: Signal<Out, Signed<40>>,
    negative: Signal<Out, Bit>,
    disjoint: Signal<Out, Bit>,
}

impl Logic for Expressions {
    #[hdl_gen]
    fn update(&mut self) {
        self.sum.next = signed_bit_cast::<40, 32>(self.a.val() * self.b.val()) + self.acc.val();
        self.negative.next = self.a.val() < 0.into();
        self.disjoint.next = self.p.val() & self.q.val() == 0;
    }
}

/// Values that the three outputs take for inputs on which both sides differ.
#[derive(Debug, PartialEq)]
struct Outputs {
    sum: u64,
    negative: bool,
    disjoint: bool,
}

fn printed() -> String {
    let mut design = TopWrap::new(Expressions::default());
    design.uut.a.connect();
    design.uut.b.connect();
    design.uut.acc.connect();
    design.uut.p.connect();
    design.uut.q.connect();
    design.connect_all();
    generate_verilog(&design)
}

fn simulated_by_rust_hdl() -> Outputs {
    let mut design = Expressions::default();
    design.connect_all();
    design.a.next = (-300).to_signed_bits();
    design.b.next = 1000.to_signed_bits();
    design.acc.next = signed(7);
    design.p.next = 0b1100.into();
    design.q.next = 0b0011.into();
    assert!(simulate(&mut design, 10), "the design settles");
    let sum: BigUint = design.sum.val().inner().into();
    Outputs {
        sum: u64::try_from(sum).expect("40 bits"),
        negative: design.negative.val(),
        disjoint: design.disjoint.val(),
    }
}

fn simulated_by_icarus(verilog: &str) -> Outputs {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bench = "module bench;\n  wire [39:0] sum;\n  wire negative, disjoint;\n  reg signed [15:0] a, b;\n  \
                 reg signed [39:0] acc;\n  reg [7:0] p, q;\n  top$uut u_dut (.a(a), .b(b), .acc(acc), .p(p), .q(q),\n    \
                 .sum(sum), .negative(negative), .disjoint(disjoint));\n  initial begin\n    a = -300; b = 1000; \
                 acc = 7; p = 8'b1100; q = 8'b0011;\n    #1 $display(\"%0d %b %b\", sum, negative, disjoint);\n  end\n\
                 endmodule\n";
    fs::write(folder.path().join("design.v"), verilog).expect("writable");
    fs::write(folder.path().join("bench.v"), bench).expect("writable");
    let compiled = Command::new("iverilog")
        .args(["-s", "bench", "-o", "bench.vvp", "design.v", "bench.v"])
        .current_dir(folder.path())
        .output()
        .expect("iverilog runs");
    assert!(
        compiled.status.success(),
        "{}\n{verilog}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    let run = Command::new("vvp")
        .args(["-n", "bench.vvp"])
        .current_dir(folder.path())
        .output()
        .expect("vvp runs");
    let line = String::from_utf8_lossy(&run.stdout);
    let words: Vec<_> = line.split_whitespace().collect();
    let [sum, negative, disjoint] = words[..] else {
        panic!("unexpected output: {line}");
    };
    Outputs {
        sum: sum.parse().expect("a number"),
        negative: negative == "1",
        disjoint: disjoint == "1",
    }
}

#[test]
fn rust_hdl_simulates_what_the_source_says() {
    let sum = (1u64 << 40) - 300_000 + 7;
    let expected = Outputs {
        sum,
        negative: true,
        disjoint: true,
    };
    assert_eq!(simulated_by_rust_hdl(), expected);
}

#[test]
fn rust_hdl_prints_a_cast_product_that_loses_its_upper_half() {
    let text = printed();
    assert!(text.contains("sum = $signed(a * b) + acc;"), "{text}");
    // The operands of a self-determined product are 16 bits wide, and so is its result.
    let low_half = i64::from((-300i16).wrapping_mul(1000)) + 7;
    let wrong = low_half.rem_euclid(1 << 40) as u64;
    assert_eq!(simulated_by_icarus(&text).sum, wrong);
    assert_ne!(simulated_by_rust_hdl().sum, wrong);
}

#[test]
fn rust_hdl_prints_an_unsigned_comparison_with_zero() {
    let text = printed();
    assert!(text.contains("negative = a < 32'h0;"), "{text}");
    assert!(!simulated_by_icarus(&text).negative);
    assert!(simulated_by_rust_hdl().negative);
}

#[test]
fn rust_hdl_prints_a_mask_comparison_without_its_parentheses() {
    let text = printed();
    assert!(text.contains("disjoint = p & q == 32'h0;"), "{text}");
    assert!(!simulated_by_icarus(&text).disjoint);
    assert!(simulated_by_rust_hdl().disjoint);
}
