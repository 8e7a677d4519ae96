//! Text written by somebody else, shown to a person.

use std::fmt::{self, Write as _};

/// Characters shown before the rest is cut off.
const SHOWN_CHARS_MAX: usize = 256;

/// Text from the network: an invoice's description, a node's error message.
///
/// `Display` and `Debug` are safe for terminals, logs and pages of text: control characters, line breaks, bidirectional
/// overrides and invisible format characters are escaped as `\u{..}`, the backslash is doubled so that an escape cannot
/// be forged, and more than 256 characters are cut with `…`. HTML needs its own escaping on top.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UntrustedText(Box<str>);

impl UntrustedText {
    /// Wraps text that came from outside.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text as it came, for comparing; never for showing.
    pub fn as_raw(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UntrustedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for char in chars.by_ref().take(SHOWN_CHARS_MAX) {
            if char == '\\' {
                f.write_str("\\\\")?;
            } else if is_deceptive(char) {
                write!(f, "{}", char.escape_unicode())?;
            } else {
                f.write_char(char)?;
            }
        }
        if chars.next().is_some() { f.write_char('…') } else { Ok(()) }
    }
}

impl fmt::Debug for UntrustedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UntrustedText(\"{self}\")")
    }
}

/// Whether a character changes how its neighbours are shown, or is not shown itself.
fn is_deceptive(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_that_would_deceive_is_escaped() {
        for (raw, shown) in [
            ("1 cup of coffee", "1 cup of coffee"),
            ("ナンセンス 1杯", "ナンセンス 1杯"),
            ("red\u{1b}[31m", "red\\u{1b}[31m"),
            ("two\r\nlines", "two\\u{d}\\u{a}lines"),
            ("evil\u{202e}txt.exe", "evil\\u{202e}txt.exe"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
            ("forged \\u{202e}", "forged \\\\u{202e}"),
        ] {
            assert_eq!(UntrustedText::new(raw).to_string(), shown);
        }
    }

    #[test]
    fn long_text_is_cut() {
        let shown = UntrustedText::new("é".repeat(10_000)).to_string();
        assert_eq!(shown.chars().count(), SHOWN_CHARS_MAX + 1);
        assert!(shown.ends_with('…'));
    }

    proptest! {
        #[test]
        fn nothing_deceptive_is_ever_shown(raw: String) {
            let text = UntrustedText::new(raw.clone());
            for shown in [text.to_string(), format!("{text:?}")] {
                prop_assert!(!shown.chars().any(is_deceptive));
            }
            prop_assert_eq!(text.as_raw(), raw);
        }
    }
}
