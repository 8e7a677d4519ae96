//! Whether a payment that is proven is also settled, for sellers who ask for more than the preimage.
//!
//! A preimage proves that the payee's node gave it away. Where somebody else can read it before it is paid (a custodian,
//! other credentials of the same wallet), the node has to say that the invoice is settled. What is settled stays so: a
//! yes is remembered, in memory and in the store; anything else is remembered for half a second, and shared by all who
//! waited for it, so that a client that asks over and over costs the node two questions a second.

mod memory;
mod store;

pub use store::{FeedPosition, Place, SettlementStore, SettlementTotals, StoreError};

use l402::PaymentHash;
use l402_lightning::{Invoice, InvoiceState, Invoicer, InvoicerError, MilliSat, Mismatch, Settlement};
use memory::{Memory, Said};
use std::sync::Arc;

/// An answer other than yes counts for so long, in nanoseconds.
const ANSWER_NS: u64 = 500_000_000;

/// Answers whether invoices are settled. One for all configurations of a gateway, so that what it knows survives a
/// reload.
pub struct SettlementCheck {
    store: Arc<dyn SettlementStore>,
    invoicer: Arc<dyn Invoicer>,
    memory: Memory,
}

/// What became of an invoice.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// It was paid.
    Settled,
    /// It was not, and still can be.
    Open(Arc<Invoice>),
    /// It was not and cannot be any more, or the node does not hand it out again.
    Ended,
}

/// Why a proven payment does not open anything yet.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unsettled {
    /// The node says that nothing has settled this invoice.
    #[error("the payment is not settled")]
    Open,
    /// Nobody can say at the moment.
    #[error("whether the payment is settled cannot be found out: {0}")]
    NodeSilent(InvoicerError),
    /// The store cannot say, or cannot keep what the node said.
    #[error("whether the payment is settled cannot be found out: {0}")]
    Store(StoreError),
}

impl SettlementCheck {
    /// Asks `store` first and `invoicer` where the store knows nothing.
    pub fn new(store: Arc<dyn SettlementStore>, invoicer: Arc<dyn Invoicer>) -> Self {
        Self { store, invoicer, memory: Memory::default() }
    }

    /// What became of this invoice. `now_ns` is any monotonic clock.
    ///
    /// Requests with the same hash wait for one another, so that they cost one question together.
    pub(crate) async fn standing(&self, hash: PaymentHash, now_ns: u64) -> Result<Standing, Unsettled> {
        if self.memory.is_settled(hash) {
            return Ok(Standing::Settled);
        }
        let turn = self.memory.turn(hash);
        let answers_before = turn.answers();
        let mut last = turn.last.lock().await;
        if self.memory.is_settled(hash) {
            return Ok(Standing::Settled);
        }
        if self.store.is_settled(hash).await.map_err(Unsettled::Store)? {
            self.memory.remember(hash);
            return Ok(Standing::Settled);
        }
        let is_fresh = |said: &Said| now_ns.saturating_sub(said.at_ns) < ANSWER_NS;
        if let Some(said) = last.as_ref()
            && (turn.answers() != answers_before || is_fresh(said))
        {
            return said.answer.clone();
        }
        let answer = self.ask(hash).await;
        *last = Some(Said { answer: answer.clone(), at_ns: now_ns });
        turn.count_answer();
        answer
    }

    /// The invoice comes with the answer: asked for later it might have been paid in between, and its holder would be
    /// sold another one.
    async fn ask(&self, hash: PaymentHash) -> Result<Standing, Unsettled> {
        let silent = Unsettled::NodeSilent;
        let mut state = self.invoicer.lookup(hash).await.map_err(silent)?;
        if state == InvoiceState::Open {
            match self.invoicer.open_invoice(hash).await.map_err(silent)? {
                Some(invoice) if invoice.payment_hash() == hash => {
                    return Ok(Standing::Open(Arc::new(invoice)));
                }
                Some(other) => {
                    let lie = Mismatch::PaymentHash { expected: hash, found: other.payment_hash() };
                    return Err(silent(InvoicerError::Lied(lie)));
                }
                None => state = self.invoicer.lookup(hash).await.map_err(silent)?,
            }
        }
        let InvoiceState::Settled { amount } = state else { return Ok(Standing::Ended) };
        self.keep(hash, amount).await?;
        Ok(Standing::Settled)
    }

    /// Told by the feed, after it has been written down.
    pub fn has_settled(&self, hash: PaymentHash) {
        self.memory.remember(hash);
    }

    /// Written down before anything is opened: the same answer is given after a restart, even by a silent node.
    async fn keep(&self, payment_hash: PaymentHash, amount: MilliSat) -> Result<(), Unsettled> {
        // The feed knows its place, its time and what was asked for; this is only the fact.
        let settlement = Settlement { index: 0, payment_hash, amount, invoiced: None, settled_at: 0 };
        self.store.record(&[settlement], None).await.map_err(Unsettled::Store)?;
        self.memory.remember(payment_hash);
        Ok(())
    }
}

impl std::fmt::Debug for SettlementCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SettlementCheck(..)")
    }
}
