//! A mistake in a hardware description is reported at the Rust line that made it, in words that say what is wrong.

use spatten::hdl::{About, Block, Builder, Field, elaborate};
use spatten::{net, reg};
use std::panic::catch_unwind;

/// A block made of a closure.
#[derive(Debug)]
struct Described(fn(&Builder));

impl Block for Described {
    fn name(&self) -> String {
        "described".into()
    }

    fn about(&self) -> About {
        about()
    }

    fn build(&self, m: &Builder) {
        (self.0)(m);
    }
}

fn about() -> About {
    About {
        purpose: "A test.".into(),
        parameters: vec![],
        source: file!(),
    }
}

fn message_of(describe: fn(&Builder)) -> String {
    let panic = catch_unwind(|| elaborate(&Described(describe))).expect_err("a mistake is found");
    panic.downcast_ref::<String>().expect("a message").clone()
}

/// The description panics with this file, a line from this one on and within the description, and the words.
#[track_caller]
fn refuses(describe: fn(&Builder), words: &str) {
    let message = message_of(describe);
    let first = std::panic::Location::caller().line();
    let (place, text) = message.split_once(": ").expect("a place and a text");
    let (file, line) = place.rsplit_once(':').expect("a file and a line");
    assert_eq!(file, file!(), "{message}");
    let line: u32 = line.parse().expect("a line number");
    assert!(
        (first..first + 16).contains(&line),
        "line {line}, test {first}: {message}"
    );
    assert!(text.contains(words), "{message}");
}

/// A child with one input and one output that follows it at once.
#[derive(Debug)]
struct Inverter;

impl Block for Inverter {
    fn name(&self) -> String {
        "inverter".into()
    }

    fn about(&self) -> About {
        about()
    }

    fn build(&self, m: &Builder) {
        let a = m.input("a", 1, "");
        m.output("y", 1, "").drive(!a);
    }
}

#[test]
fn unequal_widths() {
    refuses(
        |m| {
            let (a, b) = (m.input("a", 12, ""), m.input("b", 13, ""));
            net!(m, below = a.lt(b));
            m.output("y", 1, "").drive(below);
        },
        "lt needs equal widths, got u12 and u13",
    );
    refuses(
        |m| {
            let (a, b) = (m.input("a", 3, ""), m.input("b", 4, ""));
            m.output("y", 3, "").drive(a & b);
        },
        "& needs equal widths, got u3 and u4",
    );
    refuses(
        |m| {
            let a = m.input("a", 3, "");
            m.output("y", 4, "").drive(a);
        },
        "y_o is u4, driven by u3",
    );
}

#[test]
fn mixed_signedness() {
    refuses(
        |m| {
            let (a, b) = (m.input("a", 8, "").as_signed(), m.input("b", 8, ""));
            m.output("y", 16, "").drive((a * b).as_unsigned());
        },
        "* needs equal signedness, got s8 and u8",
    );
    refuses(
        |m| {
            let (a, b) = (m.input("a", 8, "").as_signed(), m.input("b", 8, ""));
            m.output("y", 9, "").drive(a + b);
        },
        "+ needs equal signedness, got s8 and u8",
    );
    refuses(
        |m| {
            let (a, b) = (m.input("a", 8, "").as_signed(), m.input("b", 8, ""));
            m.output("y", 1, "").drive(a.equals(b));
        },
        "eq needs equal signedness, got s8 and u8",
    );
}

#[test]
fn drivers_missing_or_doubled() {
    refuses(|m| _ = m.output("y", 1, ""), "y_o is never driven");
    refuses(
        |m| {
            let a = m.input("a", 1, "");
            reg!(m, held_q: 1, reset = 0);
            m.output("y", 1, "").drive(held_q & a);
        },
        "held_q is never driven",
    );
    refuses(
        |m| {
            let a = m.input("a", 1, "");
            let y = m.output("y", 1, "");
            y.drive(a);
            y.drive(!a);
        },
        "y_o is driven twice",
    );
    refuses(
        |m| {
            let a = m.input("a", 1, "");
            reg!(m, held_q: 1);
            held_q.next(a);
            held_q.next(!a);
        },
        "held_q is given a next value twice",
    );
}

#[test]
fn children_left_open_or_wrongly_connected() {
    refuses(
        |m| {
            let child = m.instance("u_inverter", &Inverter);
            m.output("y", 1, "").drive(child.output("y"));
        },
        "u_inverter: a_i is not connected",
    );
    refuses(
        |m| {
            let a = m.input("a", 1, "");
            m.instance("u_inverter", &Inverter).input("a", a);
        },
        "u_inverter: y_o is not connected",
    );
    refuses(
        |m| {
            let a = m.input("a", 2, "");
            m.instance("u_inverter", &Inverter).input("a", a);
        },
        "a_i is u1, connected to u2",
    );
    refuses(
        |m| {
            let a = m.input("a", 1, "");
            m.instance("u_inverter", &Inverter).input("b", a);
        },
        "inverter has no port b_i; its ports are",
    );
    refuses(
        |m| {
            let a = m.input("a", 1, "");
            m.instance("u_inverter", &Inverter)
                .input("a", a)
                .input("a", a);
        },
        "a_i is connected twice",
    );
}

/// A child with a register that resets.
#[derive(Debug)]
struct Toggle;

impl Block for Toggle {
    fn name(&self) -> String {
        "toggle".into()
    }

    fn about(&self) -> About {
        about()
    }

    fn build(&self, m: &Builder) {
        reg!(m, state_q: 1, reset = 0);
        state_q.next(!state_q);
        m.output("y", 1, "").drive(state_q);
    }
}

#[test]
fn resets_of_children() {
    refuses(
        |m| {
            let a = m.input("a", 1, "");
            m.instance("u_inverter", &Inverter).input("a", a).reset(a);
        },
        "u_inverter has nothing to reset",
    );
    refuses(
        |m| {
            let a = m.input("a", 2, "");
            m.instance("u_toggle", &Toggle).reset(a);
        },
        "the reset of u_toggle is one bit, not u2",
    );
    refuses(
        |m| {
            let (a, b) = (m.input("a", 1, ""), m.input("b", 1, ""));
            net!(m, both = a & b);
            m.instance("u_toggle", &Toggle).reset(both);
        },
        "the reset of u_toggle is neither an input port nor a register that resets to zero",
    );
    refuses(
        |m| {
            reg!(m, free_q = m.input("a", 1, ""));
            m.instance("u_toggle", &Toggle).reset(*free_q);
        },
        "neither an input port nor a register that resets to zero",
    );
    refuses(
        |m| {
            reg!(m, high_q = m.input("a", 1, ""), reset = 1);
            m.instance("u_toggle", &Toggle).reset(*high_q);
        },
        "neither an input port nor a register that resets to zero",
    );
    refuses(
        |m| {
            let a = m.input("a", 1, "");
            m.instance("u_toggle", &Toggle).reset(a).reset(a);
        },
        "u_toggle is given a reset twice",
    );
    refuses(
        |m| {
            let a = m.input("a", 1, "");
            let child = m.instance("u_toggle", &Toggle);
            m.output("y", 1, "").drive(child.output("y"));
            m.section("next");
            child.reset(a);
        },
        "u_toggle is given a reset after the section in which its last port was connected",
    );
}

#[test]
fn combinational_loops() {
    refuses(
        |m| {
            let a = m.input("a", 1, "");
            let back = m.wire("back", 1, "");
            net!(m, forth = back & a);
            back.drive(!forth);
            m.output("y", 1, "").drive(forth);
        },
        "combinational loop through",
    );
    refuses(
        |m| {
            let child = m.instance("u_inverter", &Inverter);
            let y = child.output("y");
            child.input("a", y);
            m.output("y", 1, "").drive(y);
        },
        "combinational loop through inverter_y",
    );
}

#[test]
fn bits_that_nobody_reads() {
    refuses(
        |m| {
            let a = m.input("a", 8, "");
            m.output("y", 7, "").drive(a.slice(0, 7));
        },
        "bit 7 of a_i (u8) is never used in described; say why with `unused`",
    );
    refuses(
        |m| {
            let a = m.input("a", 8, "");
            net!(m, dead = !a);
            m.output("y", 8, "").drive(a);
        },
        "bit 0 of dead (u8) is never used",
    );
    refuses(
        |m| {
            let input = m.stream_in("in", &[Field::new("data", 8, "")]);
            input.ready.drive(input.valid);
        },
        "bit 0 of in_data_i (u8) is never used",
    );
}

#[test]
fn names_taken_or_reserved() {
    refuses(
        |m| _ = m.wire("wire", 1, ""),
        "`wire` is no Verilog identifier",
    );
    refuses(
        |m| _ = m.wire("logic", 1, ""),
        "`logic` is no Verilog identifier",
    );
    refuses(
        |m| _ = m.wire("2nd", 1, ""),
        "`2nd` is no Verilog identifier",
    );
    refuses(
        |m| _ = m.input("clk", 1, ""),
        "the name clk_i is reserved for the clock",
    );
    refuses(
        |m| _ = m.wire("k", 1, ""),
        "the name k is reserved for the variables of",
    );
    refuses(
        |m| {
            m.wire("twice", 1, "");
            m.wire("twice", 1, "");
        },
        "the name twice stands twice in one module",
    );
    refuses(
        |m| _ = m.register("held", 1, None, ""),
        "register held must be named with a final _q",
    );
    refuses(
        |m| _ = m.instance("inverter", &Inverter),
        "instance inverter must be named u_...",
    );
}

#[test]
fn lanes_outside_their_loop() {
    refuses(
        |m| {
            let a = m.input("a", 8, "");
            let mut kept = None;
            let flipped = m.per_lane("flipped", 4, 2, "", |k| {
                let lane = a.lanes(2).at(k);
                kept = Some(lane);
                !lane
            });
            let lane = kept.expect("the loop has a body");
            m.output("y", 8, "").drive(flipped);
            m.output("z", 2, "").drive(lane);
        },
        "a lane of a_i is used outside its loop",
    );
    refuses(
        |m| {
            let a = m.input("a", 8, "");
            let y = m.output("y", 1, "");
            let bus = m.per_lane("bus", 8, 1, "", |k| {
                let bit = a.lanes(1).at(k);
                y.drive(bit);
                bit
            });
            m.output("z", 8, "").drive(bus);
        },
        "y_o is driven in another generate loop than it is declared in",
    );
    refuses(
        |m| {
            let a = m.input("a", 9, "");
            let bus = m.per_lane("bus", 4, 2, "", |k| a.lanes(3).at(k).slice(0, 2));
            m.output("y", 8, "").drive(bus);
        },
        "a loop over 4 lanes reads a_i of 3 lanes",
    );
    refuses(
        |m| {
            let a = m.input("a", 8, "");
            let bus = m.per_lane("bus", 4, 3, "", |k| a.lanes(2).at(k));
            m.output("y", 12, "").drive(bus);
        },
        "bus has lanes of u3, got u2",
    );
    refuses(
        |m| {
            let a = m.input("a", 4, "");
            let bus = m.per_lane("bus", 4, 1, "", |k| {
                net!(m, mixed = a ^ a.lanes(1).at(k).repeat(4));
                mixed.lanes(1).at(k)
            });
            m.output("y", 4, "").drive(bus);
        },
        "mixed is declared in the loop that selects its lanes",
    );
}

#[test]
fn literals_selectors_and_slices_that_do_not_fit() {
    refuses(|m| _ = m.lit(8, 3), "literal 8 does not fit in u3");
    refuses(|m| _ = m.lit_signed(-5, 3), "literal -5 does not fit in s3");
    refuses(|m| _ = m.lit(0, 0), "a literal has at least one bit");
    refuses(
        |m| _ = m.register("held_q", 3, Some(8), ""),
        "reset value of held_q does not fit in u3",
    );
    refuses(
        |m| _ = m.input("a", 4, "").slice(2, 3),
        "bits 2 to 5 do not exist in u4",
    );
    refuses(
        |m| {
            let a = m.input("a", 4, "");
            _ = (a * a).bit(7);
        },
        "name the word before taking bits 7 to 7 of it",
    );
    refuses(
        |m| _ = m.case("y", m.lit(1, 2), &[(1, m.lit(0, 1))], m.lit(1, 1), ""),
        "case y: the selector is constant",
    );
    refuses(
        |m| {
            let a = m.input("a", 1, "");
            m.case("y", a, &[(2, m.lit(0, 1))], m.lit(1, 1), "");
        },
        "case y: arm 2 does not fit the selector",
    );
    refuses(|m| _ = m.input("a", 0, ""), "a_i has no bits");
}

/// Two blocks of one name.
#[derive(Debug)]
struct Same {
    inverted: bool,
}

impl Block for Same {
    fn name(&self) -> String {
        "same".into()
    }

    fn about(&self) -> About {
        about()
    }

    fn build(&self, m: &Builder) {
        let a = m.input("a", 1, "");
        let y = m.output("y", 1, "");
        y.drive(if self.inverted { !a } else { a });
    }
}

#[test]
fn two_blocks_of_one_name() {
    refuses(
        |m| {
            let a = m.input("a", 1, "");
            let first = m.instance("u_first", &Same { inverted: false });
            let second = m.instance("u_second", &Same { inverted: true });
            m.output("y", 1, "").drive(first.input("a", a).output("y"));
            m.output("z", 1, "").drive(second.input("a", a).output("y"));
        },
        "two blocks are called same: Same { inverted: false } and Same { inverted: true }",
    );
}

/// A block that holds itself.
#[derive(Debug)]
struct Endless;

impl Block for Endless {
    fn name(&self) -> String {
        "endless".into()
    }

    fn about(&self) -> About {
        about()
    }

    fn build(&self, m: &Builder) {
        m.instance("u_again", self);
    }
}

#[test]
fn a_block_that_contains_itself() {
    let message = message_of(|m| _ = m.instance("u_endless", &Endless));
    assert!(message.starts_with(file!()), "{message}");
    assert!(message.ends_with("endless contains itself"), "{message}");
}
