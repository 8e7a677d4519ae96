//! The reference of all keys as Markdown: a section of `docs/configuration.md`.

use super::{
    file::ConfigFile,
    schema::text,
    section::{Key, Presence, Section, Shape, Table},
};
use std::fmt::Write as _;

/// Every section and key, as `octroi schema --markdown` prints them.
pub fn reference() -> String {
    let mut page = String::new();
    section("", ConfigFile::table(), &mut page);
    page
}

fn section(path: &str, table: &Table, page: &mut String) {
    let title = if path.is_empty() { "Top level".to_owned() } else { format!("`{path}`") };
    let separator = if page.is_empty() { "" } else { "\n" };
    let mut rows = String::new();
    for key in table.keys {
        row(key, &mut rows);
    }
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "{separator}### {title}\n\n{}\n\n| key | value | default | meaning |\n|---|---|---|---|\n{rows}",
        text(table.doc)
    );
    for key in table.keys {
        let below = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        for (suffix, table) in sections(&key.shape()) {
            section(&format!("{below}{suffix}"), table, page);
        }
    }
}

fn row(key: &Key, rows: &mut String) {
    let default = match key.presence {
        Presence::Required => "**required**".to_owned(),
        Presence::Default(value) => format!("`{value}`"),
        Presence::Defaults => "its defaults".to_owned(),
        Presence::Absent(meaning) => meaning.to_owned(),
    };
    let cells = [
        format!("`{}`", key.name),
        key.shape().expected(),
        default,
        format!("{} Example: `{}: {}`", text(key.doc), key.name, key.example),
    ];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    let _ = writeln!(rows, "| {} |", cells.join(" | "));
}

/// The sections that a value may be or hold, with what follows the key in their path.
fn sections(shape: &Shape) -> Vec<(&'static str, &'static Table)> {
    match shape {
        Shape::Scalar(_) | Shape::Pairs => Vec::new(),
        Shape::Section(table) => vec![("", *table)],
        Shape::List(item) => sections(item).into_iter().map(|(_, table)| ("[]", table)).collect(),
        Shape::Either(shapes) => {
            let mut found: Vec<(&str, &Table)> = Vec::new();
            for (suffix, table) in shapes.iter().flat_map(sections) {
                if !found.iter().any(|(_, known)| std::ptr::eq(*known, table)) {
                    found.push((suffix, table));
                }
            }
            found
        }
    }
}
