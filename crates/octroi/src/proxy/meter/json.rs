//! Numbers of units in JSON documents.

use l402_paywall::{ledger::Units, meter::JsonPath};
use serde_json::Value;

/// Largest body that is kept to be read at its end. It passes on meanwhile; a larger one passes unread.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A body that passes by and is read when it is over.
#[derive(Default)]
pub(super) struct JsonBody {
    kept: Vec<u8>,
    is_too_large: bool,
}

impl JsonBody {
    /// More of it.
    pub(super) fn received(&mut self, data: &[u8]) {
        self.is_too_large |= self.kept.len() + data.len() > BODY_BYTES_MAX;
        if self.is_too_large {
            self.kept = Vec::new();
        } else {
            self.kept.extend_from_slice(data);
        }
    }

    /// Whether nothing has come.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty() && !self.is_too_large
    }

    /// The number at `path`; `None` unless the body is one whole document and the number is in it.
    pub(super) fn units_at(&self, path: &JsonPath) -> Option<Units> {
        let document: Value = serde_json::from_slice(&self.kept).ok()?;
        units(path.find(&document)?)
    }
}

/// An integer from 0 to [`Units::MAX`], written as one: no fraction, no exponent, no text.
pub(super) fn units(value: &Value) -> Option<Units> {
    value.as_u64().and_then(Units::new)
}

#[cfg(test)]
mod tests {
    use super::{super::in_pieces, *};
    use proptest::prelude::*;

    fn path() -> JsonPath {
        JsonPath::parse("usage.0.cost").expect("a path")
    }

    fn read(body: &[u8]) -> Option<Units> {
        let mut kept = JsonBody::default();
        kept.received(body);
        kept.units_at(&path())
    }

    #[test]
    fn an_integer_in_range_is_read() {
        for (number, expected) in [("0", 0), ("7", 7), ("9223372036854775807", i64::MAX.unsigned_abs())] {
            let body = format!("\r\n {{\"a\":[1,{{}}],\"usage\":[{{\"cost\":{number}}}]}}\n");
            assert_eq!(read(body.as_bytes()), Units::new(expected), "{number}");
        }
    }

    #[test]
    fn nothing_else_is() {
        let numbers = [
            "-1",
            "-0",
            "12.0",
            "1.5",
            "1e2",
            "9223372036854775808",
            "1e400",
            "null",
            "true",
            "\"12\"",
            "[12]",
            "{}",
            "01",
            "+1",
        ];
        for number in numbers {
            assert_eq!(read(format!("{{\"usage\":[{{\"cost\":{number}}}]}}").as_bytes()), None, "{number}");
        }
        for body in ["", "{}", "[]", "12", "{\"usage\":[{\"cost\":1}]", "{\"usage\":[{\"cost\":1}]}{}"] {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
        assert_eq!(read("[".repeat(100_000).as_bytes()), None, "too deep");
    }

    #[test]
    fn a_body_larger_than_is_kept_is_not_read() {
        let document = b"{\"usage\":[{\"cost\":1}]}";
        let mut body = JsonBody::default();
        body.received(document);
        body.received(&vec![b' '; BODY_BYTES_MAX - document.len()]);
        assert_eq!(body.units_at(&path()), Some(Units::ONE));
        body.received(b" ");
        assert_eq!(body.units_at(&path()), None);
        assert!(body.kept.is_empty() && !body.is_empty());
        body.received(document);
        assert_eq!(body.units_at(&path()), None, "what comes behind is not taken for the whole");
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_read_the_same(
            body in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..100),
                Just(br#"{"usage":[{"cost":42}]}"#.to_vec()),
            ],
            sizes in prop::collection::vec(1usize..9, 1..5),
        ) {
            let mut kept = JsonBody::default();
            for piece in in_pieces(&body, &sizes) {
                kept.received(piece);
            }
            prop_assert_eq!(kept.units_at(&path()), read(&body));
        }
    }
}
