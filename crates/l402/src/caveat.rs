//! The text form of a restriction: `condition=value`.

use crate::name::{Name, is_name_byte, starts_name};

/// One restriction, split but not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caveat<'a> {
    /// What is restricted, such as `services` or `weather_valid_until`.
    pub condition: &'a str,
    /// To what; everything after the first `=`, which may itself contain `=`.
    pub value: &'a str,
}

/// Why bytes are not a caveat of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaveatError {
    /// Not UTF-8.
    #[error("the caveat is not UTF-8")]
    NotUtf8,
    /// No `=`.
    #[error("the caveat has no `=`")]
    NoSeparator,
    /// The condition breaks the grammar of names.
    #[error("the caveat's condition is not a name")]
    Condition,
}

impl<'a> Caveat<'a> {
    /// Longest condition: a service name, `_`, and a constraint name.
    pub const CONDITION_MAX_LEN: usize = 2 * Name::MAX_LEN + 1;

    /// Splits at the first `=`. The condition has the characters of a [`Name`], but may be longer, because it may be
    /// put together from two.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CaveatError> {
        let text = str::from_utf8(bytes).map_err(|_| CaveatError::NotUtf8)?;
        let end = bytes.iter().position(|&byte| !is_name_byte(byte)).unwrap_or(bytes.len());
        let (condition, rest) = text.split_at(end);
        let is_condition = starts_name(bytes) && end <= Self::CONDITION_MAX_LEN;
        match rest.strip_prefix('=') {
            Some(value) if is_condition => Ok(Self { condition, value }),
            _ if rest.contains('=') => Err(CaveatError::Condition),
            _ => Err(CaveatError::NoSeparator),
        }
    }
}
