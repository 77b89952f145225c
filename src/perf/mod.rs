//! Benchmarks: what the design and the generator reach, against what they could.
//!
//! A benchmark is a `pub(super) const` of type [`Benchmark`] in a file of this folder, listed in [`BENCHMARKS`].

mod accuracy;
mod elaborate;
mod fetch;
mod generation;
mod merge_sorter;
mod refinement;
mod top_k;
pub mod traffic;
mod utilisation;
mod workload;

use crate::config::Config;
use crate::engine::EngineError;
use crate::workload::tensors::AttentionTensors;
use serde::Serialize;
use thiserror::Error;

/// One figure of a benchmark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The benchmark.
    pub name: &'static str,
    /// What was measured under which conditions.
    pub case: String,
    /// The measured figure, in `unit`; `None` when it could not be measured here, which `note` explains.
    pub value: Option<f64>,
    /// Unit of `value` and `bound`.
    pub unit: &'static str,
    /// What no design can beat, or the target of a figure that has only that; `None` when it has neither.
    pub bound: Option<f64>,
    /// What the project set itself for the published configuration.
    pub target: Option<f64>,
    /// `value / bound`.
    pub ratio: Option<f64>,
    /// What the figure means or leaves out, where that is not plain, or why there is none.
    pub note: Option<String>,
}

impl Row {
    /// A figure without bound and target.
    fn of(name: &'static str, case: String, value: f64, unit: &'static str) -> Row {
        Row {
            name,
            case,
            value: Some(value),
            unit,
            bound: None,
            target: None,
            ratio: None,
            note: None,
        }
    }

    /// A figure that is not measured, and why.
    fn skipped(name: &'static str, case: String, unit: &'static str, reason: &str) -> Row {
        Row {
            value: None,
            note: Some(format!("skipped: {reason}")),
            ..Row::of(name, case, 0.0, unit)
        }
    }

    fn bound(self, bound: f64) -> Row {
        Row {
            bound: Some(bound),
            ratio: self.value.map(|value| value / bound),
            ..self
        }
    }

    fn target(self, target: f64) -> Row {
        Row {
            target: Some(target),
            ..self
        }
    }

    fn note(self, note: &str) -> Row {
        Row {
            note: Some(note.to_owned()),
            ..self
        }
    }
}

/// What benchmarks run on.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// A user's tensors, for the benchmarks that take them.
    pub tensors: Option<&'a AttentionTensors>,
}

/// A benchmark that `spatten bench` can run.
#[derive(Clone, Copy, Debug)]
pub struct Benchmark {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it measures and against which bound.
    pub summary: &'static str,
    /// Runs it.
    pub run: fn(&Inputs<'_>) -> Result<Vec<Row>, EngineError>,
}

/// Every benchmark, in the order in which they run.
pub const BENCHMARKS: &[Benchmark] = &[
    elaborate::BENCHMARK,
    top_k::TOP_K,
    fetch::FETCH,
    utilisation::UTILISATION,
    generation::GENERATION,
    utilisation::SIMULATE,
    accuracy::ACCURACY,
];

/// A name that is no benchmark's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown benchmark {name:?}; the benchmarks are {}", names().join(", "))]
pub struct UnknownBenchmark {
    /// The name as given.
    pub name: String,
}

/// The names of [`BENCHMARKS`].
pub fn names() -> Vec<&'static str> {
    BENCHMARKS.iter().map(|benchmark| benchmark.name).collect()
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

/// Rows as aligned columns under a heading, the notes below; `-` stands for a figure that a row does not have.
pub fn table(rows: &[Row]) -> String {
    const HEADING: [&str; 7] = ["name", "case", "value", "bound", "target", "unit", "ratio"];
    let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    let cells = rows.iter().map(|row| {
        [
            row.name.to_owned(),
            row.case.clone(),
            figure(row.value),
            figure(row.bound),
            figure(row.target),
            row.unit.to_owned(),
            figure(row.ratio),
        ]
    });
    let lines: Vec<[String; 7]> = std::iter::once(HEADING.map(str::to_owned))
        .chain(cells)
        .collect();
    let width = |column: usize| {
        let lengths = lines.iter().map(|line| line[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEADING.len()).map(width).collect();
    let text = |line: &[String; 7]| {
        let [name, case, value, bound, target, unit, ratio] = line;
        let [n, c, v, b, t, u, r] = widths[..] else {
            unreachable!("there are seven columns");
        };
        format!(
            "{name:n$}  {case:c$}  {value:>v$}  {bound:>b$}  {target:>t$}  {unit:u$}  {ratio:>r$}\n"
        )
    };
    lines.iter().map(text).chain(notes(rows)).collect()
}

/// The rows' notes, a line each, with the cases of all rows that have it.
fn notes(rows: &[Row]) -> Vec<String> {
    let mut noted: Vec<(&str, Vec<&str>)> = Vec::new();
    for row in rows {
        let Some(note) = row.note.as_deref() else {
            continue;
        };
        match noted.iter_mut().find(|(known, _)| *known == note) {
            Some((_, cases)) => cases.push(&row.case),
            None => noted.push((note, vec![&row.case])),
        }
    }
    noted
        .into_iter()
        .map(|(note, cases)| format!("\n{}: {note}\n", cases.join("; ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_text_left_and_numbers_right() {
        let rows = [
            Row::of("a", "long case".into(), 12.0, "cycles")
                .bound(6.0)
                .target(7.5),
            Row::of("name_b", "c".into(), 0.5, "s"),
        ];
        let expected = "\
name    case         value   bound  target  unit     ratio
a       long case  12.0000  6.0000  7.5000  cycles  2.0000
name_b  c           0.5000       -       -  s            -
";
        assert_eq!(table(&rows), expected);
    }

    #[test]
    fn notes_stand_below_the_table_once_with_all_their_rows() {
        let skipped = |case: &str| Row::skipped("a", case.into(), "um2", "no tool");
        let rows = [
            skipped("one"),
            Row::of("a", "two".into(), 1.0, "x"),
            Row::of("a", "three".into(), 2.0, "x").note("about"),
            skipped("four"),
        ];
        let expected = "\
name  case    value  bound  target  unit  ratio
a     one         -      -       -  um2       -
a     two    1.0000      -       -  x         -
a     three  2.0000      -       -  x         -
a     four        -      -       -  um2       -

one; four: skipped: no tool

three: about
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
