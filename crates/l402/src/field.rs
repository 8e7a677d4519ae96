//! The shared grammar of authentication fields, RFC 9110 sections 5.6 and 11.
//!
//! Works on bytes: field values need not be UTF-8.

use std::borrow::Cow;

/// Splits a field value at its commas, except those inside quoted strings. Elements come without the spaces and tabs
/// around them; empty ones are left out (RFC 9110, section 5.6.1.2).
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let value = rest?;
        let end = end_of_element(value);
        rest = value.get(end + 1..);
        Some(value[..end].trim_ascii_blanks())
    })
    .filter(|element| !element.is_empty())
}

/// Reads authentication parameters off the front of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(value: &'a [u8]) -> Self {
        Self { rest: value }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes one byte if it is `byte`.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes spaces and tabs; tells whether there were any.
    pub(crate) fn take_blanks(&mut self) -> bool {
        !self.take_while(|byte| matches!(byte, b' ' | b'\t')).is_empty()
    }

    /// Takes blanks and commas between elements.
    pub(crate) fn take_separators(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t' | b','));
    }

    /// A token; `None` if there is none here.
    pub(crate) fn take_token(&mut self) -> Option<&'a [u8]> {
        let token = self.take_while(is_tchar);
        (!token.is_empty()).then_some(token)
    }

    /// A `token68`, as some schemes have instead of parameters, if the element is nothing else.
    pub(crate) fn take_token68(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let digits = ahead.take_while(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
        ahead.take_while(|byte| byte == b'=');
        let text = &self.rest[..self.rest.len() - ahead.rest.len()];
        ahead.take_blanks();
        if digits.is_empty() || !matches!(ahead.peek(), None | Some(b',')) {
            return None;
        }
        self.rest = ahead.rest;
        Some(text)
    }

    /// A quoted string with its escapes resolved, or everything up to the next comma or blank: deployed servers
    /// leave base64 unquoted although `/`, `+` and `=` are no token characters.
    pub(crate) fn take_value(&mut self) -> Option<Cow<'a, [u8]>> {
        if self.take(b'"') {
            return self.take_quoted();
        }
        let value = self.take_while(|byte| !matches!(byte, b',' | b' ' | b'\t' | b'"'));
        (!value.is_empty()).then_some(Cow::Borrowed(value))
    }

    /// Goes to the end of the element that did not follow the grammar.
    pub(crate) fn skip_element(&mut self) {
        self.rest = &self.rest[end_of_element(self.rest)..];
    }

    fn take_quoted(&mut self) -> Option<Cow<'a, [u8]>> {
        let plain = self.take_while(|byte| !matches!(byte, b'"' | b'\\'));
        if self.take(b'"') {
            return Some(Cow::Borrowed(plain));
        }
        let mut value = plain.to_vec();
        loop {
            value.extend_from_slice(self.take_while(|byte| !matches!(byte, b'"' | b'\\')));
            if self.take(b'"') {
                return Some(Cow::Owned(value));
            }
            if !self.take(b'\\') {
                return None;
            }
            let (&escaped, rest) = self.rest.split_first()?;
            value.push(escaped);
            self.rest = rest;
        }
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| !accept(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

/// Where the first element ends: at a comma outside quotes, or with the value.
fn end_of_element(value: &[u8]) -> usize {
    // `contains` looks at many bytes at a time; most values are one element.
    if !value.contains(&b',') {
        return value.len();
    }
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, &byte) in value.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_quoted,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => return at,
            _ => {}
        }
    }
    value.len()
}

fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

trait TrimBlanks {
    fn trim_ascii_blanks(&self) -> &Self;
}

impl TrimBlanks for [u8] {
    /// Without the spaces and tabs around it (`OWS`); other white space is no part of the grammar.
    fn trim_ascii_blanks(&self) -> &Self {
        let mut bytes = self;
        while let [b' ' | b'\t', rest @ ..] = bytes {
            bytes = rest;
        }
        while let [rest @ .., b' ' | b'\t'] = bytes {
            bytes = rest;
        }
        bytes
    }
}
