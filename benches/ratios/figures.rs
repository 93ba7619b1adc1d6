//! The figures: what was measured, what is aimed at, and the floor that counts as done.

use std::fmt::Write;

use serde_json::{Value, json};

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Better {
    More,
    Less,
}

#[derive(Debug)]
struct Figure {
    name: &'static str,
    unit: &'static str,
    better: Better,
    aim: f64,
    floor: f64,
    measured: Result<f64, String>,
    remark: String,
}

/// All figures of a run, and the machine they are of.
#[derive(Debug)]
pub(crate) struct Figures {
    machine: String,
    figures: Vec<Figure>,
}

impl Figures {
    pub(crate) fn new() -> Self {
        Self { machine: machine(), figures: Vec::new() }
    }

    /// Adds a figure and shows it at once. `bounds` are aim and floor.
    pub(crate) fn add(
        &mut self,
        name: &'static str,
        unit: &'static str,
        better: Better,
        bounds: (f64, f64),
        measured: Result<f64, String>,
        remark: String,
    ) {
        let figure = Figure { name, unit, better, aim: bounds.0, floor: bounds.1, measured, remark };
        println!("{}", figure.row());
        self.figures.push(figure);
    }

    /// The table of the README, in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text =
            format!("{}\n\n| figure | aim | floor | measured | |\n|---|---|---|---|---|\n", self.machine);
        for figure in &self.figures {
            writeln!(text, "{}", figure.row()).expect("a text can be written to");
        }
        text
    }

    pub(crate) fn json(&self) -> String {
        let figures: Vec<Value> = self.figures.iter().map(Figure::json).collect();
        let all = json!({"machine": self.machine, "figures": figures});
        serde_json::to_string_pretty(&all).expect("plain values are JSON")
    }

    pub(crate) fn reach_their_floors(&self) -> bool {
        self.figures
            .iter()
            .all(|figure| figure.measured.as_ref().map_or(true, |value| figure.reaches(*value, figure.floor)))
    }
}

impl Figure {
    fn reaches(&self, value: f64, bound: f64) -> bool {
        match self.better {
            Better::More => value >= bound,
            Better::Less => value <= bound,
        }
    }

    fn row(&self) -> String {
        let sign = match self.better {
            Better::More => "≥",
            Better::Less => "≤",
        };
        let shown = |value: f64| format!("{value:.2}{}", self.unit);
        let (measured, verdict) = match &self.measured {
            Err(why) => ("skipped".to_owned(), why.clone()),
            Ok(value) if self.reaches(*value, self.aim) => (shown(*value), "aim reached".to_owned()),
            Ok(value) if self.reaches(*value, self.floor) => (shown(*value), "above the floor".to_owned()),
            Ok(value) => (shown(*value), "**below the floor**".to_owned()),
        };
        let verdict = if self.better == Better::Less {
            verdict
                .replace("above the floor", "within the floor")
                .replace("below the floor", "beyond the floor")
        } else {
            verdict
        };
        let remark = if self.remark.is_empty() { verdict } else { format!("{verdict}; {}", self.remark) };
        format!(
            "| {} | {sign} {} | {sign} {} | {measured} | {remark} |",
            self.name,
            shown(self.aim),
            shown(self.floor)
        )
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "unit": self.unit.trim(),
            "aim": self.aim,
            "floor": self.floor,
            "measured": self.measured.as_ref().ok(),
            "skipped": self.measured.as_ref().err(),
            "remark": self.remark,
        })
    }
}

/// The median; of an even number the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty(), "nothing was measured");
    values.sort_by(f64::total_cmp);
    f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
}

/// Cores and memory: what a figure is worth nothing without.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0);
    format!("{cores} cores, {} GiB; servers and load generator share them", (kib + 512 * 1024) / 1024 / 1024)
}
