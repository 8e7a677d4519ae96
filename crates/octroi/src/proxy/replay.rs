//! Answers that are kept for whoever sends the same `Idempotency-Key` again.
//!
//! The form is our own: a version byte, the status, the number of fields, then names, values and the body, each behind its
//! length.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

/// The form that is written and read.
const VERSION: u8 = 1;
/// Says that an answer is not new ([a custom of payment APIs](https://docs.stripe.com/api/idempotent_requests)).
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// An answer on its way to the client, collected as long as it is not too large.
#[derive(Debug)]
pub(super) struct Copy {
    status: StatusCode,
    headers: HeaderMap,
    body: BytesMut,
    /// Absent once the body was too large.
    room: Option<usize>,
}

impl Copy {
    /// Begins with the head; of the body, which is said to have `expected` bytes at least, at most `bytes_max` are kept.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, expected: u64, bytes_max: usize) -> Self {
        let mut headers = headers.clone();
        headers.remove(header::DATE);
        let room = Some(bytes_max).filter(|room| expected <= *room as u64);
        Self { status, headers, body: BytesMut::new(), room }
    }

    /// Whether nothing of the answer was too large to keep until now.
    pub(super) fn has_room(&self) -> bool {
        self.room.is_some()
    }

    /// More of the body.
    pub(super) fn add(&mut self, data: &[u8]) {
        self.room = self.room.and_then(|room| room.checked_sub(data.len()));
        match self.room {
            Some(_) => self.body.extend_from_slice(data),
            None => self.body = BytesMut::new(),
        }
    }

    /// The whole answer; `None` where it was too large to keep.
    pub(super) fn encode(&self) -> Option<Bytes> {
        self.room?;
        let mut out = BytesMut::with_capacity(self.body.len() + 512);
        out.put_u8(VERSION);
        out.put_u16(self.status.as_u16());
        out.put_u16(u16::try_from(self.headers.len()).ok()?);
        for (name, value) in &self.headers {
            put(&mut out, name.as_str().as_bytes())?;
            put(&mut out, value.as_bytes())?;
        }
        put(&mut out, &self.body)?;
        Some(out.freeze())
    }
}

/// The answer that was kept; `None` if it cannot be read.
pub(super) fn decode(mut kept: Bytes) -> Option<Response<Bytes>> {
    if kept.try_get_u8().ok()? != VERSION {
        return None;
    }
    let status = StatusCode::from_u16(kept.try_get_u16().ok()?).ok()?;
    let fields = kept.try_get_u16().ok()?;
    let mut headers = HeaderMap::with_capacity(usize::from(fields) + 1);
    for _ in 0..fields {
        let name = HeaderName::from_bytes(&take(&mut kept)?).ok()?;
        headers.append(name, HeaderValue::from_bytes(&take(&mut kept)?).ok()?);
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    let body = take(&mut kept).filter(|_| kept.is_empty())?;
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Some(response)
}

fn put(out: &mut BytesMut, bytes: &[u8]) -> Option<()> {
    out.put_u32(u32::try_from(bytes.len()).ok()?);
    out.put_slice(bytes);
    Some(())
}

fn take(kept: &mut Bytes) -> Option<Bytes> {
    let len = usize::try_from(kept.try_get_u32().ok()?).ok()?;
    (len <= kept.len()).then(|| kept.split_to(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.append(header::SET_COOKIE, HeaderValue::from_static("a=1"));
        headers.append(header::SET_COOKIE, HeaderValue::from_static("b=2"));
        headers.insert(header::DATE, HeaderValue::from_static("Sat, 21 Nov 2026 00:00:00 GMT"));
        headers
    }

    #[test]
    fn what_was_kept_is_told_again() {
        let mut copy = Copy::of(StatusCode::CREATED, &head(), 8, 8);
        copy.add(b"{\"a\"");
        copy.add(b":1}");
        let again = decode(copy.encode().expect("kept")).expect("read");
        assert_eq!((again.status(), again.body().as_ref()), (StatusCode::CREATED, &b"{\"a\":1}"[..]));
        assert_eq!(again.headers().get_all(header::SET_COOKIE).iter().count(), 2);
        assert_eq!(again.headers()[REPLAYED], "true");
        assert!(!again.headers().contains_key(header::DATE));
    }

    #[test]
    fn an_answer_that_is_too_large_is_not_kept() {
        let mut copy = Copy::of(StatusCode::OK, &head(), 0, 4);
        assert!(copy.has_room());
        copy.add(b"12345");
        copy.add(b"");
        assert_eq!(copy.encode(), None);
        let announced = Copy::of(StatusCode::OK, &head(), 5, 4);
        assert!(!announced.has_room() && announced.encode().is_none());
    }

    proptest! {
        #[test]
        fn whatever_the_store_gives_back_is_read_or_refused(kept in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(Bytes::from(kept));
        }
    }
}
