//! Tokens that this thread verified lately, so that a client that comes again with the very same headers is not
//! verified anew: its chain of signatures is the larger part of what a paid request costs.
//!
//! Only the proof is remembered, never the permission: caveats are judged on every request. An entry is found by the
//! SHA-256 of all header lines that could carry a credential, so that nothing secret is stored or compared here, and
//! another spelling of the same token simply is not found. Only good tokens get in, and the table has a fixed size.
//! Entries of another [`Gate`](crate::Gate) (other keys) are never used.

use l402::VerifiedToken;
use sha2::{Digest, Sha256};
use std::{
    cell::RefCell,
    sync::atomic::{AtomicU64, Ordering},
};

/// Entries per thread; with 450 bytes a token, half a mebibyte at most.
const ENTRIES: usize = 1024;

/// Longer lines are not worth a digest: they are refused anyway, and limits come before work.
const LINES_BYTES_MAX: usize = 16 * 1024;

/// The digest of the header lines of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinesDigest([u8; 32]);

/// Tells the proofs of one gate from those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GateId(u64);

struct Entry {
    gate: GateId,
    lines: LinesDigest,
    token: VerifiedToken,
}

thread_local! {
    static TABLE: RefCell<Vec<Option<Entry>>> = const { RefCell::new(Vec::new()) };
}

impl GateId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl LinesDigest {
    /// Lines of different kinds and numbers never have the same digest: each carries its kind and its length. `None` where
    /// there are no lines, or too much of them.
    pub(crate) fn of<'a>(
        authorization: impl Iterator<Item = &'a [u8]>,
        macaroons: impl Iterator<Item = &'a [u8]>,
    ) -> Option<Self> {
        let mut digest = Sha256::new();
        let mut bytes = 0;
        for (kind, line) in authorization.map(|line| (0_u8, line)).chain(macaroons.map(|line| (1, line))) {
            bytes += line.len();
            if bytes > LINES_BYTES_MAX {
                return None;
            }
            digest.update([kind]);
            digest.update((line.len() as u64).to_be_bytes());
            digest.update(line);
        }
        (bytes > 0).then(|| Self(digest.finalize().into()))
    }

    fn slot(self) -> usize {
        let [a, b, ..] = self.0;
        usize::from(u16::from_be_bytes([a, b])) % ENTRIES
    }
}

/// Calls `judge` with the token that these lines proved to this gate before; `None` if they did not, or long ago.
pub(crate) fn with_known<T>(
    gate: GateId,
    lines: LinesDigest,
    judge: impl FnOnce(&VerifiedToken) -> T,
) -> Option<T> {
    TABLE.with_borrow(|table| {
        let entry = table.get(lines.slot())?.as_ref()?;
        (entry.gate == gate && entry.lines == lines).then(|| judge(&entry.token))
    })
}

/// Remembers what these lines proved to this gate, in place of whatever had its slot.
pub(crate) fn remember(gate: GateId, lines: LinesDigest, token: VerifiedToken) {
    TABLE.with_borrow_mut(|table| {
        if table.is_empty() {
            table.resize_with(ENTRIES, || None);
        }
        if let Some(slot) = table.get_mut(lines.slot()) {
            *slot = Some(Entry { gate, lines, token });
        }
    });
}
