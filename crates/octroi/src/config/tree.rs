//! YAML text to a tree of nodes that know their place.
//!
//! Only the plain part of [YAML 1.2.2](https://yaml.org/spec/1.2.2/) is taken: one document of mappings, sequences and
//! scalars. Anchors, aliases and tags are refused by name: a config that cannot refer to itself cannot grow when it is
//! read, and what a line says is what it means.

use super::{
    place::Place,
    problem::{Fault, Problem},
};
use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use std::collections::HashMap;

/// Deepest nesting of each kind of collection. The config needs six.
const NESTING_MAX: usize = 32;

/// One value of the file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) at: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
    /// Something whose problem has been reported already.
    Refused,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: Place,
    pub(super) value: Node,
}

/// Text as it stands in the file, escapes undone.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Written without quotes, so that it may be a number, a boolean or nothing.
    pub(super) plain: bool,
}

/// What a scalar is by the core schema (YAML 1.2.2 section 10.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScalarKind {
    Nothing,
    Flag(bool),
    Number,
    Text,
}

impl Scalar {
    pub(super) fn kind(&self) -> ScalarKind {
        if !self.plain {
            return ScalarKind::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => ScalarKind::Nothing,
            "true" | "True" | "TRUE" => ScalarKind::Flag(true),
            "false" | "False" | "FALSE" => ScalarKind::Flag(false),
            text if is_number(text) => ScalarKind::Number,
            _ => ScalarKind::Text,
        }
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return !digits.is_empty() && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let exponent = exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)));
    let mantissa = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    mantissa && exponent
}

/// Reads one document. What can be told apart from a syntax error is added to `problems`, and reading goes on; after
/// a syntax error nothing that follows can be trusted, so it is the only problem returned with no tree.
pub(super) fn parse(text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_comments: false,
        flow_nesting_limit: NESTING_MAX,
        block_nesting_limit: NESTING_MAX,
    };
    let mut builder = Builder { parser: Parser::new_from_str_with_options(text, options), problems };
    match builder.stream() {
        Ok(root) => root,
        Err(error) => {
            let at = place(error.marker());
            let line = text.lines().nth(at.line - 1).unwrap_or_default();
            let fault = Fault::Syntax { kind: error.kind().clone(), unquoted: line.contains("${") };
            problems.push(Problem::unnamed(at, fault));
            None
        }
    }
}

struct Builder<'a, 'p> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    problems: &'p mut Vec<Problem>,
}

impl<'a> Builder<'a, '_> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, ScanError> {
        self.parser.next_event().transpose()
    }

    fn stream(&mut self) -> Result<Option<Node>, ScanError> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    self.refuse(&span, Fault::SecondDocument);
                    break;
                }
                Event::DocumentStart(..) => {
                    let Some((event, span)) = self.next()? else { break };
                    root = Some(self.node(event, &span)?);
                }
                _ => break,
            }
        }
        Ok(root)
    }

    fn node(&mut self, event: Event<'a>, span: &Span) -> Result<Node, ScanError> {
        let at = place(&span.start);
        if event.anchor_id().is_some() {
            self.refuse(span, Fault::Anchor);
        }
        if event.tag().is_some() {
            self.refuse(span, Fault::Tag);
        }
        let value = match event {
            Event::Scalar(text, style, ..) => {
                Value::Scalar(Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain })
            }
            Event::SequenceStart(..) => Value::Sequence(self.sequence()?),
            Event::MappingStart(..) => Value::Mapping(self.mapping()?),
            _ => {
                if event.is_alias() {
                    self.refuse(span, Fault::Anchor);
                }
                Value::Refused
            }
        };
        Ok(Node { value, at })
    }

    fn sequence(&mut self) -> Result<Vec<Node>, ScanError> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::SequenceEnd {
                break;
            }
            items.push(self.node(event, &span)?);
        }
        Ok(items)
    }

    fn mapping(&mut self) -> Result<Vec<Entry>, ScanError> {
        let mut entries = Vec::new();
        let mut seen: HashMap<String, Place> = HashMap::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, &span)?;
            let Some((event, span)) = self.next()? else { break };
            let value = self.node(event, &span)?;
            let Value::Scalar(Scalar { text, .. }) = key.value else {
                if !matches!(key.value, Value::Refused) {
                    self.problems.push(Problem::unnamed(key.at, Fault::KeyNotText));
                }
                continue;
            };
            // YAML 1.2.2 section 3.2.1.3: the keys of a mapping are unique.
            if let Some(&first) = seen.get(&text) {
                self.problems.push(Problem::unnamed(key.at, Fault::DuplicateKey { key: text, first }));
                continue;
            }
            seen.insert(text.clone(), key.at);
            entries.push(Entry { key: text, key_at: key.at, value });
        }
        Ok(entries)
    }

    fn refuse(&mut self, span: &Span, fault: Fault) {
        self.problems.push(Problem::unnamed(place(&span.start), fault));
    }
}

fn place(marker: &granit_parser::Marker) -> Place {
    Place { line: marker.line().max(1), column: marker.col() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> ScalarKind {
        Scalar { text: text.to_owned(), plain: true }.kind()
    }

    #[test]
    fn plain_scalars_are_numbers_flags_nothing_or_text_by_the_core_schema() {
        for number in
            ["0", "-12", "+7", "0o17", "0xfF", "1.", ".5", "-1.5e-3", "1E9", ".inf", "-.INF", ".nan"]
        {
            assert_eq!(kind(number), ScalarKind::Number, "{number}");
        }
        for text in ["10 sat", "1_000", "127.0.0.1", "0o8", "0x", "e5", ".", "-", "1e", "yes", "-.nan", "1e+"]
        {
            assert_eq!(kind(text), ScalarKind::Text, "{text}");
        }
        assert_eq!(kind("True"), ScalarKind::Flag(true));
        assert_eq!(kind("~"), ScalarKind::Nothing);
        assert_eq!(Scalar { text: "10".to_owned(), plain: false }.kind(), ScalarKind::Text);
    }

    #[test]
    fn every_key_and_value_knows_its_line_and_column() {
        let mut problems = Vec::new();
        let root = parse("a: 1\nb:\n  - c:   [x, é, z]\n", &mut problems).expect("a tree");
        assert!(problems.is_empty());
        let Value::Mapping(entries) = root.value else { panic!("a mapping") };
        assert_eq!((entries[1].key_at, entries[1].key.as_str()), (Place { line: 2, column: 1 }, "b"));
        let Value::Sequence(items) = &entries[1].value.value else { panic!("a sequence") };
        let Value::Mapping(inner) = &items[0].value else { panic!("a mapping") };
        assert_eq!(inner[0].key_at, Place { line: 3, column: 5 });
        let Value::Sequence(items) = &inner[0].value.value else { panic!("a sequence") };
        assert_eq!(items[2].at, Place { line: 3, column: 17 });
    }

    #[test]
    fn nesting_is_bounded() {
        let mut problems = Vec::new();
        assert!(parse(&"[".repeat(100_000), &mut problems).is_none());
        assert!(matches!(problems.as_slice(), [Problem { fault: Fault::Syntax { .. }, .. }]));
    }
}
