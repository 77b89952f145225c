//! The evaluator, Verilator and Icarus compute the same from random modules.

mod engines;
mod generator;
mod own_reset;

use engines::{Case, evaluate, first_difference, icarus, verilator, write_files};
use generator::RandomModule;
use spatten::hdl::elaborate;
use std::process::Command;

const STIMULI: usize = 200;

fn case(seed: u64, expressions: usize) -> Case {
    let block = RandomModule {
        seed,
        expressions,
        clocked: !seed.is_multiple_of(3),
    };
    Case::new(elaborate(&block), STIMULI, seed)
}

/// Seeds of this run: a few always, many with `SPATTEN_LONG`.
fn seeds() -> std::ops::Range<u64> {
    match std::env::var_os("SPATTEN_LONG") {
        Some(_) => 1..41,
        None => 1..4,
    }
}

#[test]
fn evaluator_verilator_and_icarus_agree_on_random_modules() {
    for chunk in seeds().collect::<Vec<_>>().chunks(3) {
        let cases: Vec<_> = chunk.iter().map(|&seed| case(seed, 220)).collect();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let from_icarus = icarus(&cases, folder.path());
        let from_verilator = verilator(&cases, folder.path());
        for (index, case) in cases.iter().enumerate() {
            let expected = evaluate(case);
            for (engine, trace) in [("Icarus", &from_icarus), ("Verilator", &from_verilator)] {
                if let Some(difference) = first_difference(case, &expected, &trace[index]) {
                    let kept = folder.keep();
                    panic!(
                        "seed {}: evaluator and {engine} disagree: {difference}; files in {}",
                        chunk[index],
                        kept.display()
                    );
                }
            }
        }
    }
}

/// The netlist that Yosys makes of the modules, as Verilog.
fn through_yosys(case: &Case) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut files = write_files(std::slice::from_ref(case), folder.path());
    files.retain(|file| file != "bench.v");
    let top = &case.module.name;
    let script = format!(
        "read_verilog {}; hierarchy -check -top {top}; proc; opt; check -assert; write_verilog -noattr netlist.v",
        files.join(" ")
    );
    let run = Command::new("yosys")
        .args(["-q", "-p", &script])
        .current_dir(folder.path())
        .output()
        .expect("yosys runs");
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    std::fs::read_to_string(folder.path().join("netlist.v")).expect("a netlist")
}

#[test]
fn yosys_reads_random_modules_as_the_evaluator_computes_them() {
    for seed in [2, 3] {
        let mut case = case(seed, 100);
        case.files = vec![("netlist".to_owned(), through_yosys(&case))];
        let folder = tempfile::tempdir().expect("a temporary folder");
        let traces = icarus(std::slice::from_ref(&case), folder.path());
        let difference = first_difference(&case, &evaluate(&case), &traces[0]);
        assert_eq!(
            difference, None,
            "seed {seed}: evaluator and Yosys disagree"
        );
    }
}

/// The text with every sign extension entering zeros.
fn without_signs(text: &str) -> String {
    let mut mutated = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        mutated.push_str(&rest[..start]);
        rest = &rest[start..];
        let count: String = rest[2..].chars().take_while(char::is_ascii_digit).collect();
        match rest.find("}}, ") {
            Some(end) if !count.is_empty() && !rest[..end].contains(", ") => {
                mutated.push_str(&format!("{{{count}'d0, "));
                rest = &rest[end + "}}, ".len()..];
            }
            _ => {
                mutated.push_str("{{");
                rest = &rest[2..];
            }
        }
    }
    mutated + rest
}

/// The text without the first pair of parentheses behind a minus.
fn without_a_parenthesis_pair(text: &str) -> String {
    let Some(open) = text.find(" - (") else {
        return text.to_owned();
    };
    let open = open + " - ".len();
    let mut depth = 0;
    let close = text[open..].char_indices().find(|(_, c)| {
        depth += i32::from(*c == '(') - i32::from(*c == ')');
        depth == 0
    });
    let close = open + close.expect("parentheses are balanced").0;
    format!(
        "{}{}{}",
        &text[..open],
        &text[open + 1..close],
        &text[close + 1..]
    )
}

#[test]
fn a_fault_in_the_printed_text_is_found() {
    type Fault = fn(&str) -> String;
    let faults: [(&str, Fault); 5] = [
        ("signs lost", |text| text.replace("$signed(", "(")),
        ("arithmetic shifts lost", |text| text.replace(">>>", ">>")),
        ("signed results left bare", |text| {
            text.replace("$unsigned(", "(")
        }),
        ("sign extensions lost", without_signs),
        ("a parenthesis pair lost", without_a_parenthesis_pair),
    ];
    for (name, fault) in faults {
        let found = (1..8).any(|seed| shows(seed, fault));
        assert!(found, "{name}: no module shows it");
    }
}

/// Whether the module of a seed computes something else in Icarus after a fault of its text.
fn shows(seed: u64, fault: fn(&str) -> String) -> bool {
    let mut case = case(seed, 220);
    let (_, text) = case.files.last_mut().expect("the module's own file");
    let mutated = fault(text);
    if *text == mutated {
        return false;
    }
    *text = mutated;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let traces = icarus(std::slice::from_ref(&case), folder.path());
    first_difference(&case, &evaluate(&case), &traces[0]).is_some()
}

#[test]
fn random_modules_are_silent_under_verilator_lint() {
    for seed in seeds() {
        let case = case(seed, 220);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut files = write_files(std::slice::from_ref(&case), folder.path());
        files.retain(|file| file != "bench.v");
        let lint = Command::new("verilator")
            .args(["--lint-only", "-Wall", "--top-module", &case.module.name])
            // Random constants are compared with what they bound: not a fault of the text.
            .args(["-Wno-CMPCONST", "-Wno-UNSIGNED"])
            .args(&files)
            .current_dir(folder.path())
            .output()
            .expect("verilator runs");
        let messages = String::from_utf8_lossy(&lint.stderr);
        assert!(
            lint.status.success() && messages.is_empty(),
            "seed {seed}: {messages}"
        );
    }
}
