//! The version 2 binary format, exactly one spelling of it.
//!
//! ```text
//! token   = 0x02 [location] identifier EOS *caveat EOS signature
//! caveat  = [location] identifier [vid] EOS
//! field   = tag varint(length) bytes      tags: 1 location, 2 identifier, 4 vid, 6 signature; EOS is 0
//! ```
//!
//! Locations are UTF-8, varints are minimal, a field that may be left out is left out when it is empty, a location inside a caveat comes
//! only with a vid, and nothing follows the 32 bytes of the signature. So two different byte strings are never the
//! same token, and what was read is what would be written.

use crate::{CaveatRef, DecodeError, LimitError, Limits};

pub(crate) const VERSION: u8 = 2;
pub(crate) const SIGNATURE_LEN: usize = 32;

const EOS: u8 = 0;
const LOCATION: u8 = 1;
const IDENTIFIER: u8 = 2;
const VERIFICATION_ID: u8 = 4;
const SIGNATURE: u8 = 6;

/// Where the parts of a checked token lie in its bytes. The signature is its last 32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) location: Span,
    pub(crate) identifier: Span,
    /// All caveat sections, without the EOS that ends their list.
    pub(crate) caveats: Span,
    pub(crate) caveat_count: usize,
    pub(crate) has_third_party: bool,
}

/// A part of a token, as offsets into its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start..self.end]
    }
}

impl Layout {
    /// Walks over the whole token once and checks everything about its form.
    pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Self, DecodeError> {
        if bytes.len() > limits.token_bytes {
            return Err(LimitError::Token.into());
        }
        let mut reader = Reader { rest: bytes };
        match reader.byte()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let position = |reader: &Reader<'_>| bytes.len() - reader.rest.len();
        let just_read = |reader: &Reader<'_>, field: &[u8]| {
            let end = position(reader);
            Span { start: end - field.len(), end }
        };

        let location = reader.location()?.unwrap_or_default();
        let location = just_read(&reader, location);
        let identifier = reader.required(IDENTIFIER)?;
        let identifier = just_read(&reader, identifier);
        reader.end_of_section()?;

        let caveats_start = position(&reader);
        let (mut caveat_count, mut has_third_party) = (0, false);
        while reader.peek() != Some(EOS) {
            if caveat_count == limits.caveats {
                return Err(LimitError::Caveats.into());
            }
            let caveat = reader.caveat()?;
            if caveat.len() > limits.caveat_bytes {
                return Err(LimitError::Caveat.into());
            }
            has_third_party |= caveat.verification_id.is_some();
            caveat_count += 1;
        }
        let caveats = Span { start: caveats_start, end: position(&reader) };
        reader.end_of_section()?;

        if reader.required(SIGNATURE)?.len() != SIGNATURE_LEN {
            return Err(DecodeError::SignatureLength);
        }
        if !reader.rest.is_empty() {
            return Err(DecodeError::Trailing);
        }
        Ok(Self { location, identifier, caveats, caveat_count, has_third_party })
    }
}

/// Reads fields off the front of a byte string.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// One caveat section with its EOS.
    #[inline]
    pub(crate) fn caveat(&mut self) -> Result<CaveatRef<'a>, DecodeError> {
        let location = self.location()?;
        let identifier = self.required(IDENTIFIER)?;
        let verification_id = self.optional(VERIFICATION_ID)?;
        if location.is_some() && verification_id.is_none() {
            return Err(DecodeError::FirstPartyLocation);
        }
        self.end_of_section()?;
        Ok(CaveatRef { identifier, verification_id, location })
    }

    #[inline]
    fn location(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.optional(LOCATION)? {
            Some(bytes) if str::from_utf8(bytes).is_err() => Err(DecodeError::LocationText),
            location => Ok(location),
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&first, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    #[inline]
    fn end_of_section(&mut self) -> Result<(), DecodeError> {
        match self.byte()? {
            EOS => Ok(()),
            other => Err(DecodeError::Field(other)),
        }
    }

    #[inline]
    fn required(&mut self, tag: u8) -> Result<&'a [u8], DecodeError> {
        match self.byte()? {
            found if found == tag => self.counted(),
            other => Err(DecodeError::Field(other)),
        }
    }

    #[inline]
    fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, DecodeError> {
        if self.peek() != Some(tag) {
            return Ok(None);
        }
        match self.required(tag)? {
            [] => Err(DecodeError::EmptyField(tag)),
            bytes => Ok(Some(bytes)),
        }
    }

    #[inline]
    fn counted(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.varint()?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Base 128, least significant group first, in as few bytes as possible.
    #[inline]
    fn varint(&mut self) -> Result<usize, DecodeError> {
        match self.rest {
            [len @ ..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(usize::from(*len))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<usize, DecodeError> {
        let mut value = 0_usize;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            let group = usize::from(byte & 0x7f);
            if group << shift >> shift != group {
                return Err(DecodeError::Varint);
            }
            value |= group << shift;
            if byte & 0x80 == 0 {
                let is_minimal = byte != 0 || shift == 0;
                return if is_minimal { Ok(value) } else { Err(DecodeError::Varint) };
            }
        }
        Err(DecodeError::Varint)
    }
}

/// Writes a token from its parts; the signature is the caller's to know.
pub(crate) fn write<'a>(
    location: &[u8],
    identifier: &[u8],
    caveats: impl Iterator<Item = CaveatRef<'a>>,
    signature: &[u8; SIGNATURE_LEN],
) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_unless_empty(&mut out, LOCATION, location);
    put(&mut out, IDENTIFIER, identifier);
    out.push(EOS);
    for caveat in caveats {
        put_caveat(&mut out, &caveat);
    }
    put_end(&mut out, signature);
    out
}

pub(crate) fn put_caveat(out: &mut Vec<u8>, caveat: &CaveatRef<'_>) {
    put_unless_empty(out, LOCATION, caveat.location.unwrap_or_default());
    put(out, IDENTIFIER, caveat.identifier);
    put_unless_empty(out, VERIFICATION_ID, caveat.verification_id.unwrap_or_default());
    out.push(EOS);
}

/// What follows the last caveat.
pub(crate) fn put_end(out: &mut Vec<u8>, signature: &[u8; SIGNATURE_LEN]) {
    out.push(EOS);
    put(out, SIGNATURE, signature);
}

/// How many bytes [`write`] makes of first-party caveats of these lengths.
pub(crate) fn encoded_len(location: usize, identifier: usize, caveats: impl Iterator<Item = usize>) -> usize {
    let location = if location == 0 { 0 } else { field_len(location) };
    let caveats: usize = caveats.map(|caveat| field_len(caveat) + 1).sum();
    1 + location + field_len(identifier) + 1 + caveats + 1 + field_len(SIGNATURE_LEN)
}

fn field_len(len: usize) -> usize {
    let significant_bits = usize::BITS - (len | 1).leading_zeros();
    1 + significant_bits.div_ceil(7) as usize + len
}

fn put_unless_empty(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        put(out, tag, bytes);
    }
}

fn put(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    let mut len = bytes.len();
    while len > 0x7f {
        let [low, ..] = len.to_le_bytes();
        out.push(low | 0x80);
        len >>= 7;
    }
    let [low, ..] = len.to_le_bytes();
    out.push(low);
    out.extend_from_slice(bytes);
}
