//! Where the frames of a WebSocket begin and end
//! ([RFC 6455 section 5.2](https://www.rfc-editor.org/rfc/rfc6455#section-5.2)), so that a connection can be closed between
//! two of them. What is in them is neither read nor copied.

use bytes::{BufMut as _, Bytes, BytesMut};

/// Longest reason that fits into a close frame behind its code, in bytes: control frames carry at most 125.
const REASON_BYTES_MAX: usize = 123;
/// Two bytes, eight of a length, four of a mask.
const HEADER_BYTES_MAX: usize = 14;
const OPCODE_CLOSE: u8 = 0x8;

/// Follows the frames of one direction, in whatever pieces they come.
///
/// A control frame may stand between any two frames, also in the middle of a fragmented message
/// ([section 5.4](https://www.rfc-editor.org/rfc/rfc6455#section-5.4)).
#[derive(Debug, Default)]
pub(in crate::proxy) struct Frames {
    header: [u8; HEADER_BYTES_MAX],
    /// How much of the header has come.
    header_len: usize,
    /// How much of the payload has not come.
    payload_left: u64,
    has_closed: bool,
}

impl Frames {
    /// All of this passes.
    pub(in crate::proxy) fn follow(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = self.next_boundary(rest) {
            rest = &rest[end..];
        }
    }

    /// Follows up to the end of the frame that is under way or begins now, and returns how many bytes that are, at least
    /// one; `None` if it does not end in these bytes, which are followed to their end.
    pub(in crate::proxy) fn next_boundary(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = self.step(rest);
            if self.is_at_boundary() {
                return Some(bytes.len() - rest.len());
            }
        }
        None
    }

    /// Whether a frame of somebody else may stand here.
    pub(in crate::proxy) fn is_at_boundary(&self) -> bool {
        self.header_len == 0 && self.payload_left == 0
    }

    /// Whether a close frame has passed or has begun to pass: behind it nothing may be sent
    /// ([section 5.5.1](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1)).
    pub(in crate::proxy) fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// Follows some bytes, never beyond the end of a frame, and returns the rest.
    fn step<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        if self.payload_left > 0 {
            let here = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
            self.payload_left -= here as u64;
            return &bytes[here..];
        }
        let Some((byte, rest)) = bytes.split_first() else { return bytes };
        if let Some(place) = self.header.get_mut(self.header_len) {
            *place = *byte;
            self.header_len += 1;
        }
        if let Some(payload_len) = payload_len(&self.header[..self.header_len]) {
            self.has_closed |= self.header[0] & 0x0F == OPCODE_CLOSE;
            self.payload_left = payload_len;
            self.header_len = 0;
        }
        rest
    }
}

/// The length that a whole header tells; `None` while more of it has to come.
fn payload_len(header: &[u8]) -> Option<u64> {
    let second = *header.get(1)?;
    let mask_len = if second & 0x80 == 0 { 0 } else { 4 };
    let short = second & 0x7F;
    let length = match short {
        126 => header.get(2..4)?,
        127 => header.get(2..10)?,
        _ => &[],
    };
    let is_whole = header.len() == 2 + length.len() + mask_len;
    let wide = || length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
    is_whole.then(|| if length.is_empty() { u64::from(short) } else { wide() })
}

/// A close frame as a server sends it, which is without a mask. A reason that does not fit is cut between two characters.
/// Codes: [section 7.4](https://www.rfc-editor.org/rfc/rfc6455#section-7.4).
pub(in crate::proxy) fn close_frame(code: u16, reason: &str) -> Bytes {
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    let mut frame = BytesMut::with_capacity(4 + reason.len());
    frame.put_u8(0x80 | OPCODE_CLOSE);
    frame.put_u8(u8::try_from(2 + reason.len()).unwrap_or(0)); // at most 125
    frame.put_u16(code);
    frame.put_slice(reason.as_bytes());
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::{super::in_pieces, *};
    use proptest::prelude::*;

    /// A frame with a length in the shortest form that has at least so many bytes for it.
    fn frame(first: u8, payload_len: usize, width: usize, mask: Option<[u8; 4]>) -> Vec<u8> {
        let masked = if mask.is_some() { 0x80 } else { 0 };
        let mut frame = vec![first];
        match (payload_len, width) {
            (0..126, 0) => frame.push(masked | u8::try_from(payload_len).unwrap()),
            (0..65_536, 0..=2) => {
                frame.push(masked | 0x7E);
                frame.extend(u16::try_from(payload_len).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(masked | 0x7F);
                frame.extend((payload_len as u64).to_be_bytes());
            }
        }
        frame.extend(mask.iter().flatten());
        frame.resize(frame.len() + payload_len, 0x88);
        frame
    }

    /// Where frames end, as the follower says it of these pieces.
    fn boundaries(pieces: &[&[u8]]) -> Vec<usize> {
        let (mut frames, mut found, mut at) = (Frames::default(), Vec::new(), 0);
        for piece in pieces {
            let mut rest = *piece;
            while let Some(end) = frames.next_boundary(rest) {
                assert!(frames.is_at_boundary());
                found.push(at + end);
                at += end;
                rest = &rest[end..];
            }
            at += rest.len();
            assert_eq!(frames.is_at_boundary(), rest.is_empty() && (found.last() == Some(&at) || at == 0));
        }
        found
    }

    #[test]
    fn a_frame_without_a_payload_ends_with_its_header() {
        assert_eq!(boundaries(&[&[0x89, 0], &[0x8A, 0x80, 1, 2, 3, 4]]), [2, 8]);
        assert_eq!(boundaries(&[&[0x82, 126, 0, 0, 0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1, 9]]), [4, 15]);
        assert!(Frames::default().is_at_boundary());
    }

    #[test]
    fn the_longest_length_there_is_does_not_overflow() {
        let mut frames = Frames::default();
        frames.follow(&[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255, 1, 2]);
        assert_eq!(frames.payload_left, u64::MAX - 2);
    }

    #[test]
    fn a_close_frame_is_noticed_and_its_look_alike_in_a_payload_is_not() {
        let mut frames = Frames::default();
        frames.follow(&frame(0x82, 300, 0, None));
        assert!(frames.is_at_boundary() && !frames.has_closed());
        frames.follow(&close_frame(1000, "bye"));
        assert!(frames.is_at_boundary() && frames.has_closed());
    }

    #[test]
    fn the_close_frame_has_the_form_of_a_server() {
        assert_eq!(&close_frame(1008, "no units")[..], b"\x88\x0a\x03\xf0no units");
        assert_eq!(&close_frame(1008, "")[..], b"\x88\x02\x03\xf0");
        let long = close_frame(1008, &"é".repeat(100));
        assert_eq!((long.len(), long[1]), (126, 124));
        assert!(std::str::from_utf8(&long[4..]).is_ok());
        assert_eq!(boundaries(&[&long]), [126]);
    }

    proptest! {
        #[test]
        fn frames_end_where_they_end_in_whatever_pieces_they_come(
            shapes in prop::collection::vec(
                (any::<u8>(), prop_oneof![0usize..5, 120usize..130, 65_530usize..65_540], 0usize..4, any::<Option<[u8; 4]>>()),
                0..6,
            ),
            sizes in prop::collection::vec(prop_oneof![1usize..5, 100usize..70_000], 1..6),
        ) {
            let (mut stream, mut ends) = (Vec::new(), Vec::new());
            for (first, payload_len, width, mask) in shapes {
                stream.extend(frame(first, payload_len, width, mask));
                ends.push(stream.len());
            }
            prop_assert_eq!(boundaries(&[&stream]), ends.clone());
            prop_assert_eq!(boundaries(&in_pieces(&stream, &sizes)), ends);
        }

        #[test]
        fn any_bytes_are_followed(
            stream in prop::collection::vec(any::<u8>(), 0..300),
            sizes in prop::collection::vec(1usize..20, 1..6),
        ) {
            let pieces = in_pieces(&stream, &sizes);
            prop_assert_eq!(boundaries(&pieces), boundaries(&[&stream]));
            let mut frames = Frames::default();
            for piece in &pieces {
                frames.follow(piece);
            }
            let mut whole = Frames::default();
            whole.follow(&stream);
            prop_assert_eq!(frames.is_at_boundary(), whole.is_at_boundary());
            prop_assert_eq!(frames.has_closed(), whole.has_closed());
        }
    }
}
