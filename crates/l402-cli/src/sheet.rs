//! What is printed about one thing: the same rows for people and as JSON. Secrets show only where they may.

use std::io::{self, Write};

use l402_lightning::{MilliSat, UntrustedText};
use serde_json::{Map, Value, json};

use crate::failure::{Exit, Failure};

/// Rows under a title.
#[derive(Debug)]
pub(crate) struct Sheet {
    title: &'static str,
    rows: Vec<(&'static str, Cell)>,
}

#[derive(Debug)]
enum Cell {
    Text(String),
    Number(u64),
    Flag(bool),
    Amount(MilliSat),
    /// Unix seconds, and the time it is now.
    Time(u64, u64),
    Secret(String),
    List(Vec<String>),
    Sheet(Sheet),
}

impl Sheet {
    pub(crate) fn new(title: &'static str) -> Self {
        Self { title, rows: Vec::new() }
    }

    /// Text that this program made, or that cannot harm a terminal.
    pub(crate) fn text(&mut self, name: &'static str, value: &(impl ToString + ?Sized)) {
        self.rows.push((name, Cell::Text(value.to_string())));
    }

    pub(crate) fn number(&mut self, name: &'static str, value: u64) {
        self.rows.push((name, Cell::Number(value)));
    }

    pub(crate) fn flag(&mut self, name: &'static str, value: bool) {
        self.rows.push((name, Cell::Flag(value)));
    }

    pub(crate) fn amount(&mut self, name: &'static str, value: MilliSat) {
        self.rows.push((name, Cell::Amount(value)));
    }

    /// A moment in unix seconds, seen from `now`.
    pub(crate) fn time(&mut self, name: &'static str, at: u64, now: u64) {
        self.rows.push((name, Cell::Time(at, now)));
    }

    /// Text that is shown on demand only.
    pub(crate) fn secret(&mut self, name: &'static str, value: impl Into<String>) {
        self.rows.push((name, Cell::Secret(value.into())));
    }

    /// Text from a token or a server.
    pub(crate) fn foreign_text(&mut self, name: &'static str, value: &[u8]) {
        self.text(name, &UntrustedText::new(String::from_utf8_lossy(value)));
    }

    /// Texts from a token: whatever bytes they are, they are shown escaped.
    pub(crate) fn foreign<'b>(&mut self, name: &'static str, values: impl Iterator<Item = &'b [u8]>) {
        let shown = values.map(|bytes| UntrustedText::new(String::from_utf8_lossy(bytes)).to_string());
        self.rows.push((name, Cell::List(shown.collect())));
    }

    pub(crate) fn sheet(&mut self, name: &'static str, sheet: Self) {
        self.rows.push((name, Cell::Sheet(sheet)));
    }

    /// Prints to standard output.
    pub(crate) fn print(&self, as_json: bool, reveal: bool) -> Result<(), Failure> {
        let text = if as_json {
            let mut object = self.to_json(reveal);
            if let Value::Object(members) = &mut object {
                members.insert("type".into(), json!(self.title));
            }
            object.to_string()
        } else {
            format!("{}\n{}", self.title, self.lines(reveal, 1).join("\n"))
        };
        print_line(&text)
    }

    pub(crate) fn to_json(&self, reveal: bool) -> Value {
        let mut object = Map::new();
        for (name, cell) in &self.rows {
            let (name, value) = match cell {
                Cell::Text(text) => ((*name).to_owned(), json!(text)),
                Cell::Number(number) | Cell::Time(number, _) => ((*name).to_owned(), json!(number)),
                Cell::Flag(flag) => ((*name).to_owned(), json!(flag)),
                Cell::Amount(amount) => (format!("{name}_msat"), json!(amount.as_msat())),
                Cell::Secret(text) if reveal => ((*name).to_owned(), json!(text)),
                Cell::Secret(_) => continue,
                Cell::List(values) => ((*name).to_owned(), json!(values)),
                Cell::Sheet(sheet) => ((*name).to_owned(), sheet.to_json(reveal)),
            };
            object.insert(name, value);
        }
        Value::Object(object)
    }

    fn lines(&self, reveal: bool, depth: usize) -> Vec<String> {
        let indent = "  ".repeat(depth);
        let mut lines = Vec::new();
        for (name, cell) in &self.rows {
            let label = name.replace('_', " ");
            let value = match cell {
                Cell::Text(text) => text.clone(),
                Cell::Number(number) => number.to_string(),
                Cell::Flag(flag) => (if *flag { "yes" } else { "no" }).to_owned(),
                Cell::Amount(amount) => amount.to_string(),
                Cell::Time(at, now) if at >= now => format!("{at} (in {} s)", at - now),
                Cell::Time(at, now) => format!("{at} ({} s ago)", now - at),
                Cell::Secret(text) if reveal => text.clone(),
                Cell::Secret(_) => "(hidden, --reveal shows it)".to_owned(),
                Cell::List(values) => {
                    lines.push(format!("{indent}{label}:"));
                    lines.extend(values.iter().map(|value| format!("{indent}  {value}")));
                    continue;
                }
                Cell::Sheet(sheet) => {
                    lines.push(format!("{indent}{label}:"));
                    lines.extend(sheet.lines(reveal, depth + 1));
                    continue;
                }
            };
            lines.push(format!("{indent}{label}: {value}"));
        }
        lines
    }
}

/// Writes one line of data to standard output.
pub(crate) fn print_line(text: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{text}")
        .map_err(|error| Failure::new(Exit::Other, "output", format!("standard output: {error}")))
}
