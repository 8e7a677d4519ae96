//! Names of services, capabilities and constraints, safe to put between the separators of a caveat.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// `[a-z0-9][a-z0-9_-]{0,63}`: no separator, no case, nothing that looks like something else. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Text is not a [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 64 characters of a-z, 0-9, `_` and `-`, and starts with a letter or digit")]
pub struct NameError;

impl Name {
    /// Longest name in bytes.
    pub const MAX_LEN: usize = 64;

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Name {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        if is_name(text.as_bytes()) { Ok(Self(text.into())) } else { Err(NameError) }
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.try_into()
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({})", self.0)
    }
}

/// The grammar of names.
pub(crate) fn is_name(text: &[u8]) -> bool {
    starts_name(text) && text.len() <= Name::MAX_LEN && text.iter().all(|&byte| is_name_byte(byte))
}

/// Whether the first byte is a letter or digit.
pub(crate) fn starts_name(text: &[u8]) -> bool {
    text.first().is_some_and(|first| matches!(first, b'a'..=b'z' | b'0'..=b'9'))
}

pub(crate) fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')
}
