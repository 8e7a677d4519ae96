//! Credentials of nodes and wallets.

use std::fmt;
use zeroize::Zeroizing;

/// A credential: it cannot be printed, and its memory is wiped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// From bytes, as a file holds them.
    pub fn from_bytes(bytes: impl Into<Zeroizing<Vec<u8>>>) -> Self {
        Self(bytes.into())
    }

    /// From text.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into().into_bytes()))
    }

    /// The bytes, to be sent to the node and nowhere else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The text without white space around it, to be sent to the node and nowhere else; `None` if it is no text.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok().map(str::trim).filter(|text| !text.is_empty())
    }

    /// The text as hexadecimal digits: as it stands if it is hexadecimal already, else its bytes written so. Nodes write
    /// macaroons as binary files, and people copy them as hexadecimal.
    pub fn to_hex(&self) -> Zeroizing<String> {
        let is_hex =
            |text: &&str| text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit());
        Zeroizing::new(match self.text().filter(is_hex) {
            Some(text) => text.to_ascii_lowercase(),
            None => hex::encode(&*self.0),
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_and_hexadecimal_files_mean_the_same() {
        let binary = Secret::from_bytes(vec![0x02, 0x01, 0xff]);
        assert_eq!(*binary.to_hex(), "0201ff");
        assert_eq!(*Secret::from_text(" 0201FF\n").to_hex(), "0201ff");
        assert_eq!(format!("{binary:?}"), "Secret(..)");
    }
}
