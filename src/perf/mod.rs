//! Benchmarks: what the design and the generator reach, against what they could.
//!
//! A benchmark is a `pub(super) const` of type [`Benchmark`] in a file of this folder, listed in [`BENCHMARKS`].

mod elaborate;
mod utilisation;

use crate::config::Config;
use crate::engine::EngineError;
use serde::Serialize;
use thiserror::Error;

/// One figure of a benchmark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The benchmark.
    pub name: &'static str,
    /// What was measured under which conditions.
    pub case: String,
    /// The measured figure, in `unit`.
    pub value: f64,
    /// Unit of `value` and `bound`.
    pub unit: &'static str,
    /// What no design can beat, or the target that the project set itself.
    pub bound: f64,
    /// `value / bound`.
    pub ratio: f64,
}

impl Row {
    fn new(name: &'static str, case: String, value: f64, unit: &'static str, bound: f64) -> Row {
        Row {
            name,
            case,
            value,
            unit,
            bound,
            ratio: value / bound,
        }
    }
}

/// A benchmark that `spatten bench` can run.
#[derive(Clone, Copy, Debug)]
pub struct Benchmark {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it measures and against which bound.
    pub summary: &'static str,
    /// Runs it on a configuration.
    pub run: fn(&Config) -> Result<Vec<Row>, EngineError>,
}

/// Every benchmark, in the order in which they run.
pub const BENCHMARKS: &[Benchmark] = &[
    elaborate::BENCHMARK,
    utilisation::UTILISATION,
    utilisation::SIMULATE,
];

/// A name that is no benchmark's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown benchmark {name:?}; the benchmarks are {}", names())]
pub struct UnknownBenchmark {
    /// The name as given.
    pub name: String,
}

fn names() -> String {
    let names: Vec<&str> = BENCHMARKS.iter().map(|benchmark| benchmark.name).collect();
    names.join(", ")
}

/// The named benchmarks in the order of [`BENCHMARKS`], each once; all of them when no name is given.
///
/// # Errors
/// [`UnknownBenchmark`] with the first name that is none.
pub fn select(wanted: &[String]) -> Result<Vec<&'static Benchmark>, UnknownBenchmark> {
    let known = |name: &String| BENCHMARKS.iter().any(|benchmark| benchmark.name == name);
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        return Err(UnknownBenchmark {
            name: unknown.clone(),
        });
    }
    let chosen = |benchmark: &&Benchmark| {
        wanted.is_empty() || wanted.iter().any(|name| name == benchmark.name)
    };
    Ok(BENCHMARKS.iter().filter(chosen).collect())
}

/// Rows as aligned columns under a heading.
pub fn table(rows: &[Row]) -> String {
    let heading = ["name", "case", "value", "bound", "unit", "ratio"].map(str::to_owned);
    let cells = rows.iter().map(|row| {
        [
            row.name.to_owned(),
            row.case.clone(),
            format!("{:.4}", row.value),
            format!("{:.4}", row.bound),
            row.unit.to_owned(),
            format!("{:.4}", row.ratio),
        ]
    });
    let lines: Vec<[String; 6]> = std::iter::once(heading).chain(cells).collect();
    let width = |column: usize| {
        let lengths = lines.iter().map(|line| line[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    let text = |line: &[String; 6]| {
        let [name, case, value, bound, unit, ratio] = line;
        let [n, c, v, b, u, r] = widths[..] else {
            unreachable!("there are six columns");
        };
        format!("{name:n$}  {case:c$}  {value:>v$}  {bound:>b$}  {unit:u$}  {ratio:>r$}\n")
    };
    lines.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_text_left_and_numbers_right() {
        let rows = [
            Row::new("a", "long case".into(), 12.0, "cycles", 6.0),
            Row::new("name_b", "c".into(), 0.5, "s", 2.0),
        ];
        let expected = "\
name    case         value   bound  unit     ratio
a       long case  12.0000  6.0000  cycles  2.0000
name_b  c           0.5000  2.0000  s       0.2500
";
        assert_eq!(table(&rows), expected);
    }

    #[test]
    fn every_benchmark_is_selected_once_and_in_order() {
        let all = select(&[]).unwrap();
        assert_eq!(all.len(), BENCHMARKS.len());
        let twice = ["elaborate".to_owned(), "elaborate".to_owned()];
        let names: Vec<_> = select(&twice).unwrap().iter().map(|b| b.name).collect();
        assert_eq!(names, ["elaborate"]);
    }
}
