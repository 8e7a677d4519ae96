//! Revoked tokens, in memory: asked on every paid request, so there is no I/O and no lock.

use crate::{
    StoreError,
    ledger::{Ledger, Revocations},
};
use arc_swap::ArcSwap;
use l402::TokenId;
use std::{
    collections::HashSet,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// The set of revoked tokens, as far as it was read from the ledger.
#[derive(Default)]
pub struct Revoked {
    tokens: ArcSwap<HashSet<TokenId>>,
    mark: AtomicU64,
}

impl Revoked {
    /// Whether a token was revoked.
    pub fn contains(&self, token_id: TokenId) -> bool {
        self.tokens.load().contains(&token_id)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.tokens.load().len()
    }

    /// Adds what was revoked since the last call, by whomever; returns how many that were. To be called by one task.
    pub async fn catch_up(&self, ledger: &dyn Ledger) -> Result<usize, StoreError> {
        let since = self.mark.load(Ordering::Relaxed);
        let Revocations { mark, tokens } = ledger.revoked_since(since).await?;
        self.mark.store(mark, Ordering::Relaxed);
        if tokens.is_empty() {
            return Ok(0);
        }
        let mut all = HashSet::clone(&self.tokens.load());
        let before = all.len();
        all.extend(tokens);
        let added = all.len() - before;
        self.tokens.store(all.into());
        Ok(added)
    }
}

impl fmt::Debug for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revoked").field("count", &self.count()).finish()
    }
}
