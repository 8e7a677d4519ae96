//! How large a token may be. Checked before any other work is spent on it.

/// Upper bounds on a token, in decoded bytes.
///
/// The defaults are those of the L402 gateway this crate was written for: room for the tokens that exist,
/// and an attacker's largest token costs no more than a few dozen hash computations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a whole token.
    pub token_bytes: usize,
    /// Most caveats of a token.
    pub caveats: usize,
    /// Most bytes of one caveat: its identifier, verification id and location together.
    pub caveat_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { token_bytes: 4096, caveats: 32, caveat_bytes: 512 }
    }
}

/// The token is, or would become, larger than [`Limits`] allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// More bytes than [`Limits::token_bytes`].
    #[error("the token is too long")]
    Token,
    /// More caveats than [`Limits::caveats`].
    #[error("the token has too many caveats")]
    Caveats,
    /// A caveat has more bytes than [`Limits::caveat_bytes`].
    #[error("a caveat is too long")]
    Caveat,
}
