//! The open bill of one metered request: what is set aside for it, until it is charged or given back.

use crate::{
    StoreError,
    ledger::{Effect, EndedBy, Handle, Ledger, Operation, Standing, Units},
    meter::Usage,
};
use bytes::Bytes;
use l402_lightning::BoxFuture;
use std::{fmt, sync::Arc};

/// Units that are set aside for a request. Dropped without being closed, it gives them back: then nothing went upstream.
pub struct Tab {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) handle: Handle,
    pub(crate) standing: Standing,
    /// When it was opened, in Unix seconds.
    pub(crate) opened_at: u64,
    pub(crate) is_closed: bool,
}

/// What a metered request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bill {
    /// What was set aside.
    pub reserved: Units,
    /// What is charged of it.
    pub charged: Units,
    /// What the request cost beyond that; nobody pays it.
    pub overrun: Units,
    /// Whether nobody could say what it cost, so that it was charged what was set aside.
    pub is_estimate: bool,
    /// What the token can spend then, unless others spend at the same time.
    pub balance: Units,
}

/// The last step on its way into the ledger: ready once the bill is durable. What the client gets last waits for it.
pub type Closing = BoxFuture<'static, Result<(), TabError>>;

/// What came of setting more aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    /// It is set aside.
    Granted,
    /// The token has not that much left; nothing changed.
    Exhausted {
        /// What it has.
        left: Units,
    },
}

/// Why a bill is not in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TabError {
    /// The ledger cannot say.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The reservation had ended before, because its deadline passed.
    #[error("the reservation has ended before the request did")]
    Ended,
}

impl Tab {
    /// What is set aside.
    pub fn reserved(&self) -> Units {
        self.standing.reserved
    }

    /// What the token can spend besides.
    pub fn balance(&self) -> Units {
        self.standing.balance
    }

    /// Sets more aside, `total` in all, until `deadline` (Unix seconds).
    pub fn extend(
        &self,
        total: Units,
        deadline: u64,
        at: u64,
    ) -> BoxFuture<'static, Result<Extended, TabError>> {
        let handle = self.handle.clone();
        let extending = self.ledger.apply(Operation::Extend { handle, total, deadline }, at);
        Box::pin(async move {
            match extending.await? {
                Effect::Reserved(_) => Ok(Extended::Granted),
                Effect::Short(standing) => Ok(Extended::Exhausted { left: standing.balance }),
                _ => Err(TabError::Ended),
            }
        })
    }

    /// More has been set aside.
    pub fn note_extended(&mut self, total: Units) {
        let more = total.saturating_sub(self.standing.reserved);
        self.standing.reserved = total.max(self.standing.reserved);
        self.standing.balance = self.standing.balance.saturating_sub(more);
    }

    /// Charges what was used, or nothing.
    pub(crate) fn close(mut self, usage: Option<Usage>, answer: Option<Bytes>, at: u64) -> (Bill, Closing) {
        self.is_closed = true;
        let handle = self.handle.clone();
        let Standing { reserved, balance } = self.standing;
        let (cost, is_estimate) = match usage {
            Some(Usage::Known(units)) => (units, false),
            Some(Usage::Unknown) => (reserved, true),
            None => (Units::ZERO, false),
        };
        let charged = cost.min(reserved);
        let bill = Bill {
            reserved,
            charged,
            overrun: cost.saturating_sub(charged),
            is_estimate,
            balance: balance.saturating_add(reserved.saturating_sub(charged)),
        };
        let (operation, by) = match usage {
            Some(_) => (Operation::Settle { handle, cost, answer }, EndedBy::Settle),
            None => (Operation::Release(handle), EndedBy::Release),
        };
        let closing = self.ledger.apply(operation, at);
        let closing = Box::pin(async move {
            match closing.await? {
                Effect::Ended { ending, .. } if ending.by == by => Ok(()),
                _ => Err(TabError::Ended),
            }
        });
        (bill, closing)
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        if !self.is_closed {
            // The step is under way when this returns; nobody waits for it.
            drop(self.ledger.apply(Operation::Release(self.handle.clone()), self.opened_at));
        }
    }
}

impl fmt::Debug for Tab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tab")
            .field("handle", &self.handle)
            .field("standing", &self.standing)
            .finish_non_exhaustive()
    }
}
