//! The version 1 binary format, read only: tokens of older issuers are imported and written as version 2.
//!
//! A token is a row of packets: four lower-case hexadecimal digits (the packet's whole length), a name, a space, the
//! bytes, a newline. The chain of signatures is the same in both versions, so nothing has to be signed again.

use crate::{CaveatRef, DecodeError, LimitError, Limits, Macaroon, codec};
use codec::{Layout, SIGNATURE_LEN};

/// Why bytes are not a version 1 token. The sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum V1Error {
    /// A packet's length is not four lower-case hexadecimal digits, or points beyond the token.
    #[error("a packet's length is wrong")]
    Length,
    /// A packet has no name, or does not end in a newline.
    #[error("a packet has no name or no end")]
    Packet,
    /// Packets do not come as location, identifier, caveats, signature.
    #[error("a packet is not where it belongs")]
    Order,
    /// The signature is not 32 bytes long.
    #[error("the token's signature is not 32 bytes long")]
    SignatureLength,
    /// Something follows the signature.
    #[error("bytes follow the token")]
    Trailing,
    /// The token is larger than allowed, or has a location that is not UTF-8.
    #[error(transparent)]
    Token(#[from] DecodeError),
}

impl Macaroon {
    /// Reads a version 1 binary token, for imports. The result is the same token in version 2.
    pub fn from_v1(bytes: &[u8], limits: &Limits) -> Result<Self, V1Error> {
        if bytes.len() > limits.token_bytes {
            return Err(V1Error::Token(LimitError::Token.into()));
        }
        let mut packets = Packets { rest: bytes };
        let location = packets.named(b"location")?;
        let identifier = packets.named(b"identifier")?;
        let mut caveats = Vec::new();
        while let Some(caveat) = packets.caveat()? {
            if caveats.len() == limits.caveats {
                return Err(V1Error::Token(LimitError::Caveats.into()));
            }
            if caveat.len() > limits.caveat_bytes {
                return Err(V1Error::Token(LimitError::Caveat.into()));
            }
            caveats.push(caveat);
        }
        let signature = packets.named(b"signature")?;
        let signature: &[u8; SIGNATURE_LEN] = signature.try_into().map_err(|_| V1Error::SignatureLength)?;
        if !packets.rest.is_empty() {
            return Err(V1Error::Trailing);
        }
        let written = codec::write(location, identifier, caveats.into_iter(), signature);
        let layout = Layout::read(&written, limits)?;
        Ok(Self::from_checked(written, layout))
    }
}

#[derive(Clone, Copy)]
struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Packets<'a> {
    fn named(&mut self, name: &[u8]) -> Result<&'a [u8], V1Error> {
        self.take(name)?.ok_or(V1Error::Order)
    }

    /// `cid`, and for a third-party caveat `vid` and `cl`.
    fn caveat(&mut self) -> Result<Option<CaveatRef<'a>>, V1Error> {
        let Some(identifier) = self.take(b"cid")? else { return Ok(None) };
        let non_empty = |field: Option<&'a [u8]>| field.filter(|bytes| !bytes.is_empty());
        let verification_id = non_empty(self.take(b"vid")?);
        let location = match verification_id {
            Some(_) => non_empty(self.take(b"cl")?),
            None => None,
        };
        Ok(Some(CaveatRef { identifier, verification_id, location }))
    }

    /// The next packet's bytes, if it has this name.
    fn take(&mut self, wanted: &[u8]) -> Result<Option<&'a [u8]>, V1Error> {
        let (digits, _) = self.rest.split_first_chunk::<4>().ok_or(V1Error::Length)?;
        let len = digits.iter().try_fold(0, |len: usize, digit| {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            Some(len << 4 | usize::from(value))
        });
        let (packet, rest) = len.and_then(|len| self.rest.split_at_checked(len)).ok_or(V1Error::Length)?;
        let body = packet.get(digits.len()..).ok_or(V1Error::Length)?;
        let [body @ .., b'\n'] = body else { return Err(V1Error::Packet) };
        let space = body.iter().position(|&byte| byte == b' ').ok_or(V1Error::Packet)?;
        if &body[..space] != wanted {
            return Ok(None);
        }
        self.rest = rest;
        Ok(Some(&body[space + 1..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RootKey;

    /// The token of the libmacaroons README, as its tools print it.
    const README: &[u8] = b"001clocation http://mybank/\n0026identifier we used our secret key\n\
        0016cid test = caveat\n002fsignature \x19\x7b\xac\x7a\x04\x4a\xf3\x33\x32\x86\x5b\x92\x66\xe2\x6d\x49\
        \x3b\xdd\x66\x8a\x66\x0e\x44\xd8\x8c\xe1\xa9\x98\xc2\x3d\xbd\x67\n";

    #[test]
    fn the_readme_token_is_imported_and_verifies() {
        let key = RootKey::from_secret(b"this is our super secret key; only we should know it");
        let imported = Macaroon::from_v1(README, &Limits::default()).unwrap();
        assert_eq!(imported.view().verify(&key), Ok(()));
        let minted =
            Macaroon::mint(&key, "http://mybank/", b"we used our secret key", ["test = caveat"]).unwrap();
        assert_eq!(imported, minted);
    }

    #[test]
    fn a_token_cut_anywhere_is_refused() {
        for end in 0..README.len() {
            assert!(Macaroon::from_v1(&README[..end], &Limits::default()).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn malformed_packets_are_refused_by_name() {
        let read = |text: &[u8]| Macaroon::from_v1(text, &Limits::default()).unwrap_err();
        assert_eq!(read(b"001Clocation http://mybank/\n"), V1Error::Length);
        assert_eq!(read(b"0003"), V1Error::Length);
        assert_eq!(read(b"ffff"), V1Error::Length);
        assert_eq!(read(b"000dlocation "), V1Error::Packet);
        assert_eq!(read(b"000dlocation\n"), V1Error::Packet);
        assert_eq!(read(b"0012identifier id\n"), V1Error::Order);
        assert_eq!(read(&[README, b"\n"].concat()), V1Error::Trailing);
        assert_eq!(read(&[b'a'; 5000]), V1Error::Token(LimitError::Token.into()));
    }

    #[test]
    fn a_third_party_caveat_is_carried_over_and_refused_by_name() {
        let head = b"000elocation \n0011identifier i\n000bcid c1\n000bcid c2\n000cvid key\n000ccl home\n";
        let text = [&head[..], b"002fsignature ", &[9; 32], b"\n"].concat();
        let token = Macaroon::from_v1(&text, &Limits::default()).unwrap();
        let [first, second] = token.view().caveats().collect::<Vec<_>>()[..] else { panic!("two caveats") };
        assert_eq!(first, CaveatRef::first_party(b"c1"));
        let (verification_id, location) = (Some(&b"key"[..]), Some(&b"home"[..]));
        assert_eq!(second, CaveatRef { identifier: b"c2", verification_id, location });
        assert_eq!(token.view().verify(&RootKey::from_secret(b"k")), Err(crate::VerifyError::ThirdParty));
    }
}
