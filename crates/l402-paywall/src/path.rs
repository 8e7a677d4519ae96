//! The one form in which a path is matched and forwarded (wire contract, sections 6 and 7.1).
//!
//! Servers disagree about what a path means: some decode `%2F`, some merge `//`, some cut `;x` off. A gateway that
//! guesses differently from its upstream gives priced resources away. So percent-escapes of unreserved characters are
//! decoded once ([RFC 3986 section 6.2.2.2](https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2.2)), what stays
//! ambiguous is refused, and where a service allows an ambiguous form, the path must lead to the same rule in every
//! reading of it.

use std::{borrow::Cow, fmt};

/// Ambiguous forms found in a path, or allowed by a service.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct PathOddities(u8);

impl PathOddities {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// `//`: some servers merge the two.
    pub const DOUBLE_SLASH: Self = Self(1);
    /// `%2F`: some servers decode it before they look the path up.
    pub const ENCODED_SLASH: Self = Self(2);
    /// `\` or `%5C`: some servers read it as `/`.
    pub const BACKSLASH: Self = Self(4);
    /// `;` or `%3B`: some servers cut the parameter off.
    pub const SEMICOLON: Self = Self(8);

    const NAMES: [(&'static str, Self); 4] = [
        ("double_slash", Self::DOUBLE_SLASH),
        ("encoded_slash", Self::ENCODED_SLASH),
        ("backslash", Self::BACKSLASH),
        ("semicolon", Self::SEMICOLON),
    ];

    /// The names a configuration uses, in a fixed order.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().map(|(name, _)| *name)
    }

    /// The form that a configuration calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, oddity)| *oddity)
    }

    /// Both sets together.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every form in `other` is in this set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Debug for PathOddities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PathOddities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, oddity) in Self::NAMES {
            if self.contains(oddity) {
                write!(f, "{separator}{name}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// Why a path cannot be served in any reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// It does not start with `/`.
    #[error("it does not start with a slash")]
    NotAbsolute,
    /// `%` without two hexadecimal digits.
    #[error("a percent sign without two hexadecimal digits")]
    Escape,
    /// A NUL byte.
    #[error("a NUL byte")]
    Nul,
    /// Decoded, it is not UTF-8.
    #[error("not UTF-8 once decoded")]
    NotUtf8,
    /// A `.` or `..` segment.
    #[error("a dot segment")]
    DotSegment,
    /// Decoding it a second time would show a separator or a dot segment.
    #[error("an escape inside an escape")]
    DoubleEncoded,
    /// An ambiguous form that the service does not allow, or whose readings lead to different rules.
    #[error("ambiguous: {0}")]
    Oddity(PathOddities),
    /// A byte that cannot stand in a path.
    #[error("byte {0:#04x} cannot stand in a path")]
    Byte(u8),
}

/// A path in canonical form, with the readings that a rule has to agree on.
#[derive(Debug)]
pub struct CanonicalPath<'a> {
    forward: Cow<'a, str>,
    decoded: Cow<'a, str>,
    resolved: Option<String>,
    oddities: PathOddities,
}

impl<'a> CanonicalPath<'a> {
    /// Reads the path of a request target (without its query).
    pub fn parse(raw: &'a str) -> Result<Self, PathProblem> {
        if !raw.starts_with('/') {
            return Err(PathProblem::NotAbsolute);
        }
        if is_plain(raw.as_bytes()) {
            return Ok(Self {
                forward: Cow::Borrowed(raw),
                decoded: Cow::Borrowed(raw),
                resolved: None,
                oddities: PathOddities::NONE,
            });
        }
        Self::parse_odd(raw)
    }

    fn parse_odd(raw: &'a str) -> Result<Self, PathProblem> {
        let (forward, decoded) = decode_once(raw.as_bytes())?;
        let decoded = String::from_utf8(decoded).map_err(|_| PathProblem::NotUtf8)?;
        let forward = String::from_utf8(forward).map_err(|_| PathProblem::NotUtf8)?;
        let oddities = find_oddities(&decoded);
        let resolved = (oddities != PathOddities::NONE).then(|| resolve(&decoded));
        if has_dot_segment(resolved.as_deref().unwrap_or(&decoded)) {
            return Err(PathProblem::DotSegment);
        }
        check_second_decoding(&decoded)?;
        Ok(Self { forward: Cow::Owned(forward), decoded: Cow::Owned(decoded), resolved, oddities })
    }

    /// The bytes that go upstream.
    pub fn forward(&self) -> &str {
        &self.forward
    }

    /// The reading that rules are matched with: every escape decoded, except those of `/`, `\` and `;`.
    pub fn decoded(&self) -> &str {
        &self.decoded
    }

    /// How the laxest server would read an ambiguous path; absent where nothing is ambiguous.
    pub fn resolved(&self) -> Option<&str> {
        self.resolved.as_deref()
    }

    /// The ambiguous forms in it.
    pub fn oddities(&self) -> PathOddities {
        self.oddities
    }
}

/// Whether every reading of the path is the path itself. Most paths are, so this pass allocates nothing.
fn is_plain(path: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in path {
        let plain = match byte {
            b'/' | b'.' => previous != b'/', // after a slash: merged by some, or the start of a dot segment
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => true,
            _ => b"-_~!$&'()*+,=:@".contains(&byte),
        };
        if !plain {
            return false;
        }
        previous = byte;
    }
    true
}

/// Returns the forwarded form (unreserved escapes decoded) and the matched form (all decoded but separators').
fn decode_once(raw: &[u8]) -> Result<(Vec<u8>, Vec<u8>), PathProblem> {
    let mut forward = Vec::with_capacity(raw.len());
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            check_literal(*first)?;
            forward.push(*first);
            decoded.push(*first);
            continue;
        }
        let [high, low, after @ ..] = tail else { return Err(PathProblem::Escape) };
        let byte = hex_pair(*high, *low).ok_or(PathProblem::Escape)?;
        rest = after;
        match byte {
            0 => return Err(PathProblem::Nul),
            b'/' | b'\\' | b';' => {
                forward.extend_from_slice(&[b'%', *high, *low]);
                decoded.extend_from_slice(&[b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
            }
            _ if is_unreserved(byte) => {
                forward.push(byte);
                decoded.push(byte);
            }
            _ => {
                forward.extend_from_slice(&[b'%', *high, *low]);
                decoded.push(byte);
            }
        }
    }
    Ok((forward, decoded))
}

fn check_literal(byte: u8) -> Result<(), PathProblem> {
    match byte {
        0 => Err(PathProblem::Nul),
        b' ' | b'#' | b'?' => Err(PathProblem::Byte(byte)),
        _ if byte.is_ascii_control() => Err(PathProblem::Byte(byte)),
        _ => Ok(()),
    }
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The escapes that [`decode_once`] leaves in the matched form are `%2F`, `%5C` and `%3B`; every other percent sign in it
/// was written as `%25`, so a second decoding would read what follows as an escape.
fn check_second_decoding(decoded: &str) -> Result<(), PathProblem> {
    let bytes = decoded.as_bytes();
    let mut twice = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%' && at + 2 < bytes.len())
            .then(|| hex_pair(bytes[at + 1], bytes[at + 2]))
            .flatten();
        match escape {
            Some(0) => return Err(PathProblem::DoubleEncoded),
            Some(byte) => {
                twice.push(byte);
                at += 3;
            }
            None => {
                twice.push(bytes[at]);
                at += 1;
            }
        }
    }
    let separators = |text: &[u8]| text.iter().filter(|b| matches!(b, b'/' | b'\\' | b';')).count();
    let kept = ["%2F", "%5C", "%3B"].iter().map(|escape| decoded.matches(escape).count()).sum::<usize>();
    let dots =
        twice.split(|b| matches!(b, b'/' | b'\\')).any(|s| matches!(before_semicolon(s), b"." | b".."));
    if dots || separators(&twice) > separators(bytes) + kept {
        return Err(PathProblem::DoubleEncoded);
    }
    Ok(())
}

fn before_semicolon(segment: &[u8]) -> &[u8] {
    segment.split(|b| *b == b';').next().unwrap_or_default()
}

fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

fn find_oddities(decoded: &str) -> PathOddities {
    let found = [
        (decoded.contains("//"), PathOddities::DOUBLE_SLASH),
        (decoded.contains("%2F"), PathOddities::ENCODED_SLASH),
        (decoded.contains('\\') || decoded.contains("%5C"), PathOddities::BACKSLASH),
        (decoded.contains(';') || decoded.contains("%3B"), PathOddities::SEMICOLON),
    ];
    found.iter().filter(|(present, _)| *present).fold(PathOddities::NONE, |all, (_, one)| all.union(*one))
}

/// Everything that any server might do to the path, done: separators decoded, parameters cut, slashes merged.
fn resolve(decoded: &str) -> String {
    let slashes = decoded.replace("%2F", "/").replace("%5C", "/").replace('\\', "/").replace("%3B", ";");
    let mut resolved = String::with_capacity(slashes.len());
    let mut parameter = false;
    for character in slashes.chars() {
        match character {
            '/' => {
                parameter = false;
                if !resolved.ends_with('/') {
                    resolved.push('/');
                }
            }
            ';' => parameter = true,
            _ if parameter => {}
            _ => resolved.push(character),
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problem(raw: &str) -> PathProblem {
        CanonicalPath::parse(raw).expect_err(raw)
    }

    #[test]
    fn plain_paths_are_borrowed_and_unchanged() {
        for raw in ["/", "/weather/today", "/a-b_c~d/e.json", "/users/@me:x,y=1"] {
            let path = CanonicalPath::parse(raw).expect(raw);
            assert_eq!((path.forward(), path.decoded(), path.oddities()), (raw, raw, PathOddities::NONE));
            assert!(matches!(path.forward, Cow::Borrowed(_)));
        }
    }

    #[test]
    fn unreserved_escapes_are_decoded_once_and_others_stay() {
        let path = CanonicalPath::parse("/%77eather/caf%c3%a9%20x%21").expect("canonical");
        assert_eq!(path.forward(), "/weather/caf%c3%a9%20x%21");
        assert_eq!(path.decoded(), "/weather/café x!");
    }

    #[test]
    fn what_no_two_servers_read_alike_is_refused() {
        for raw in [
            "/a/./b",
            "/a/../b",
            "/..",
            "/a/%2e%2e/b",
            "/a/.%2E",
            "/a/..;x/b",
            "/a\\..\\b",
            "/a/..%2fb",
            "/a/%2e;y",
        ] {
            assert_eq!(problem(raw), PathProblem::DotSegment, "{raw}");
        }
        for raw in [
            "/a/%252e%252e/b",
            "/a%252fb",
            "/a%255cb",
            "/a%253bb",
            "/a%2500",
            "/a/%25%32%65/b",
            "/%252e%252e%252fx",
        ] {
            let twice = problem(raw);
            assert_eq!(twice, PathProblem::DoubleEncoded, "{raw}");
        }
        assert_eq!(problem("/a%00"), PathProblem::Nul);
        assert_eq!(problem("/a%"), PathProblem::Escape);
        assert_eq!(problem("/a%2"), PathProblem::Escape);
        assert_eq!(problem("/a%zz"), PathProblem::Escape);
        assert_eq!(problem("/a%ff"), PathProblem::NotUtf8);
        assert_eq!(problem("/%c0%ae%c0%ae/"), PathProblem::NotUtf8);
        assert_eq!(problem("a"), PathProblem::NotAbsolute);
        assert_eq!(problem("*"), PathProblem::NotAbsolute);
    }

    #[test]
    fn ambiguous_forms_are_named_and_resolved() {
        let cases = [
            ("/a//b", PathOddities::DOUBLE_SLASH, "/a/b"),
            ("/a%2fb", PathOddities::ENCODED_SLASH, "/a/b"),
            ("/a\\b", PathOddities::BACKSLASH, "/a/b"),
            ("/a%5Cb", PathOddities::BACKSLASH, "/a/b"),
            ("/a;x=1/b", PathOddities::SEMICOLON, "/a/b"),
            ("/a%3bx/b", PathOddities::SEMICOLON, "/a/b"),
        ];
        for (raw, oddity, resolved) in cases {
            let path = CanonicalPath::parse(raw).expect(raw);
            assert_eq!((path.oddities(), path.resolved()), (oddity, Some(resolved)), "{raw}");
        }
    }

    #[test]
    fn a_percent_sign_written_as_data_is_passed_on() {
        let path = CanonicalPath::parse("/rate/100%25/x").expect("canonical");
        assert_eq!((path.forward(), path.decoded()), ("/rate/100%25/x", "/rate/100%/x"));
    }

    proptest! {
        #[test]
        fn canonical_form_is_a_fixed_point(raw in "/[ -~é]{0,24}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                let again = CanonicalPath::parse(path.forward()).expect("a canonical path is accepted");
                prop_assert_eq!(again.forward(), path.forward());
                prop_assert_eq!(again.decoded(), path.decoded());
                prop_assert_eq!(again.oddities(), path.oddities());
            }
        }

        #[test]
        fn no_accepted_path_has_a_dot_segment_in_any_reading(raw in "(/|%2f|%5c|\\\\|;|\\.|%2e|%252e|a){1,12}") {
            let raw = format!("/{raw}");
            if let Ok(path) = CanonicalPath::parse(&raw) {
                for reading in [Some(path.decoded()), path.resolved()].into_iter().flatten() {
                    prop_assert!(!has_dot_segment(reading), "{} in {}", reading, raw);
                }
            }
        }
    }
}
