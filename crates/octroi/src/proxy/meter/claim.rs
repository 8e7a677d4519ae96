//! What makes a request the same as an earlier one: its `Idempotency-Key`, and a digest of everything else
//! ([draft-ietf-httpapi-idempotency-key-header](https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/)).
//!
//! The draft wants a quoted string. Clients of payment APIs send it bare, so the field's bytes are the key as they are.

use http::{HeaderMap, HeaderName};
use l402_paywall::ledger::AccountKey;
use sha2::{Digest as _, Sha256};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// The `Idempotency-Key` of a request: 1 to 255 printable ASCII characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct IdempotencyKey<'h>(&'h [u8]);

/// The request has an `Idempotency-Key` that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an `Idempotency-Key` is one line of 1 to 255 printable ASCII characters")]
pub(in crate::proxy) struct IdempotencyKeyError;

/// The `Idempotency-Key` of a request, if it has one.
pub(in crate::proxy) fn idempotency_key(
    headers: &HeaderMap,
) -> Result<Option<IdempotencyKey<'_>>, IdempotencyKeyError> {
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let key = line.as_bytes();
    let is_printable = key.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let is_key = (1..=KEY_BYTES_MAX).contains(&key.len()) && is_printable && lines.next().is_none();
    if is_key { Ok(Some(IdempotencyKey(key))) } else { Err(IdempotencyKeyError) }
}

/// Names what an account claims with a key. Another account with the same key is another claim.
pub(in crate::proxy) fn claim_key(account: AccountKey, key: IdempotencyKey<'_>) -> [u8; 32] {
    digest(&[b"octroi/claim/v1", account.as_bytes(), key.0])
}

/// A digest of what makes a request the same: `target` is everything that says where it goes.
pub(in crate::proxy) fn request_digest(
    method: &str,
    target: &[u8],
    content_type: &[u8],
    body: &[u8],
) -> [u8; 32] {
    digest(&[b"octroi/request/v1", method.as_bytes(), target, content_type, body])
}

/// Each part behind its length, so that no two lists of parts are the same bytes.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let value = |line: &&[u8]| HeaderValue::from_bytes(line).expect("a value");
        lines.iter().map(|line| (IDEMPOTENCY_KEY, value(line))).collect()
    }

    #[test]
    fn a_key_is_one_line_of_1_to_255_printable_characters() {
        let longest = [b'k'; 255];
        for key in [&b"a"[..], b"\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", b"a b", &longest] {
            assert_eq!(idempotency_key(&headers(&[key])), Ok(Some(IdempotencyKey(key))));
        }
        assert_eq!(idempotency_key(&headers(&[])), Ok(None));
        let too_long = [b'k'; 256];
        let refused: [&[&[u8]]; 5] = [&[b""], &[&too_long], &[b"a\tb"], &["é".as_bytes()], &[b"a", b"a"]];
        for lines in refused {
            assert_eq!(idempotency_key(&headers(lines)), Err(IdempotencyKeyError), "{lines:?}");
        }
    }

    #[test]
    fn another_account_or_another_key_is_another_claim() {
        let (one, other) = (AccountKey::from_bytes([1; 32]), AccountKey::from_bytes([2; 32]));
        let key = |key| IdempotencyKey(key);
        assert_eq!(claim_key(one, key(b"a")), claim_key(one, key(b"a")));
        assert_ne!(claim_key(one, key(b"a")), claim_key(other, key(b"a")));
        assert_ne!(claim_key(one, key(b"a")), claim_key(one, key(b"\"a\"")));
    }

    proptest! {
        #[test]
        fn requests_are_the_same_if_all_their_parts_are(
            one in ("[A-Z]{0,2}", "[/a]{0,2}", "[a/]{0,2}", "[/aA]{0,2}"),
            other in ("[A-Z]{0,2}", "[/a]{0,2}", "[a/]{0,2}", "[/aA]{0,2}"),
        ) {
            let digest = |(method, target, content_type, body): &(String, String, String, String)| {
                request_digest(method, target.as_bytes(), content_type.as_bytes(), body.as_bytes())
            };
            prop_assert_eq!(digest(&one) == digest(&other), one == other);
        }
    }
}
