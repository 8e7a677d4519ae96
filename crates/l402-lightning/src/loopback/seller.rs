//! The node as the one that is paid.

use super::{
    LoopbackNode, count,
    knobs::{Interruption, WrongState},
    ledger::InvoiceEntry,
    writer::{DESCRIPTION_BYTES_MAX, Draft},
};
use crate::{
    AmountUnit, BoxFuture, Expected, Invoice, InvoiceRequest, InvoiceState, Invoicer, InvoicerCapabilities,
    InvoicerError, KeyControl, MilliSat, Network, NodeStatus, SETTLEMENTS_MAX, Settlement, SettlementFeed,
    Terms, Unsupported, UntrustedText, check,
};
use l402::PaymentHash;

/// Longest expiry of an invoice, in seconds: LND's.
const EXPIRY_SECS_MAX: u32 = 31_536_000;

/// Largest amount of an invoice: the wallet's whole start.
const AMOUNT_MAX: MilliSat = super::WALLET_START;

/// An invoice as it was written, right or wrong.
pub(super) struct Issued {
    pub(super) text: String,
    pub(super) payment_hash: PaymentHash,
    pub(super) payment_secret: [u8; 32],
    /// Its number.
    pub(super) add_index: u64,
}

/// Why no invoice was issued.
pub(super) enum NotIssued {
    Unsupported(Unsupported),
    Duplicate,
    Interrupted(Interruption),
}

impl LoopbackNode {
    /// Issues an invoice and hands out its text as it was written, also where a knob made it unusable. For servers
    /// that are to cheat; [`Invoicer::create`] reads the text back and refuses what cannot be read.
    pub async fn create_text(&self, request: &InvoiceRequest) -> Result<String, InvoicerError> {
        Ok(self.issue(request).await?.text)
    }

    /// Issues an invoice and remembers it, knobs applied.
    pub(super) async fn issue(&self, request: &InvoiceRequest) -> Result<Issued, NotIssued> {
        count(&self.calls.create);
        let plan = self.knobs.create().next();
        plan.delay().await;
        plan.before().await.map_err(NotIssued::Interrupted)?;
        supported(request).map_err(NotIssued::Unsupported)?;
        let now = self.now();
        let preimage = match &request.preimage {
            Some(preimage) => preimage.clone(),
            None => self.own_preimage(now),
        };
        let mut draft = Draft::new(&self.keys, request, &preimage, now);
        if let Some(wrong) = plan.wrong() {
            draft.spoil(wrong, &self.keys, &self.own_preimage(now));
        }
        let (payment_hash, expires_at, payment_secret) =
            (draft.payment_hash(), draft.expires_at(), *draft.payment_secret());
        let text = draft.write(&self.keys).map_err(NotIssued::Unsupported)?;
        let add_index =
            self.ledger.add_invoice(payment_hash, &text, expires_at).ok_or(NotIssued::Duplicate)?;
        if plan.duplicates() {
            return Err(NotIssued::Duplicate);
        }
        plan.after().await.map_err(NotIssued::Interrupted)?;
        Ok(Issued { text, payment_hash, payment_secret, add_index })
    }

    /// What is known about an invoice, knobs applied.
    pub(super) async fn find(&self, payment_hash: PaymentHash) -> Result<Option<InvoiceEntry>, Interruption> {
        count(&self.calls.lookup);
        let plan = self.knobs.lookup().next();
        plan.delay().await;
        plan.before().await?;
        let mut entry = self.ledger.invoice(payment_hash, self.now());
        match plan.wrong() {
            None => {}
            Some(WrongState::Unknown) => entry = None,
            Some(WrongState::Settled) => {
                if let Some(entry) = &mut entry {
                    let amount = Invoice::parse(&entry.text).ok().and_then(|invoice| invoice.amount());
                    entry.state = InvoiceState::Settled { amount: amount.unwrap_or_default() };
                }
            }
        }
        plan.after().await?;
        Ok(entry)
    }

    /// Settlements after a cursor, knobs applied; waits for the first one.
    async fn settled_after(&self, cursor: u64) -> Result<Vec<Settlement>, Interruption> {
        let plan = self.knobs.settlements().next();
        plan.delay().await;
        plan.before().await?;
        let mut news = self.ledger.watch();
        let mut settlements = loop {
            let settlements = self.ledger.settlements(cursor);
            if !settlements.is_empty() {
                break settlements;
            }
            // The sender lives as long as the node that is borrowed here.
            news.changed().await.map_err(|_| Interruption::Cut)?;
        };
        if plan.duplicates() {
            let twice = settlements.into_iter().flat_map(|settlement| [settlement; 2]);
            settlements = twice.take(SETTLEMENTS_MAX).collect();
        }
        plan.after().await?;
        Ok(settlements)
    }

    /// The invoice that an equal request made, while it can be paid.
    fn created_before(&self, request: &InvoiceRequest) -> Option<Invoice> {
        let hash = request.preimage.as_ref()?.payment_hash();
        let entry = self.ledger.invoice(hash, self.now())?;
        let invoice = Invoice::parse(&entry.text).ok().filter(|_| entry.state == InvoiceState::Open)?;
        // It is open, so only its terms are in question, not its age.
        let (network, now) = (Network::Regtest, invoice.created_at());
        let expected = Expected { request, network, now, terms: Terms::Caller };
        check(&invoice, &expected).is_ok().then_some(invoice)
    }

    /// A preimage of the node's own choice, never the same twice.
    fn own_preimage(&self, now: u64) -> l402::Preimage {
        self.keys.preimage(self.calls.next_preimage(), now)
    }
}

impl Invoicer for LoopbackNode {
    fn capabilities(&self) -> InvoicerCapabilities {
        InvoicerCapabilities {
            network: Network::Regtest,
            key_control: KeyControl::Preimage,
            amount_unit: AmountUnit::MilliSat,
            description_bytes_max: DESCRIPTION_BYTES_MAX,
            settlement_feed: SettlementFeed::Live,
            cancel: true,
            terms: Terms::Caller,
        }
    }

    fn create(&self, request: InvoiceRequest) -> BoxFuture<'_, Result<Invoice, InvoicerError>> {
        Box::pin(async move {
            // Read back like any other node's answer: what cannot be read never leaves.
            match self.create_text(&request).await {
                Err(InvoicerError::Duplicate) => {
                    self.created_before(&request).ok_or(InvoicerError::Duplicate)
                }
                text => Ok(Invoice::parse(&text?)?),
            }
        })
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<InvoiceState, InvoicerError>> {
        Box::pin(async move {
            let entry = self.find(payment_hash).await.map_err(error_of)?;
            Ok(entry.map_or(InvoiceState::Unknown, |entry| entry.state))
        })
    }

    fn open_invoice(
        &self,
        payment_hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<Invoice>, InvoicerError>> {
        Box::pin(async move {
            let entry = self.find(payment_hash).await.map_err(error_of)?;
            let open = entry.filter(|entry| entry.state == InvoiceState::Open);
            Ok(open.map(|entry| Invoice::parse(&entry.text)).transpose()?)
        })
    }

    fn cancel(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<(), InvoicerError>> {
        Box::pin(async move {
            let plan = self.knobs.cancel().next();
            plan.delay().await;
            plan.before().await.map_err(error_of)?;
            if !self.ledger.cancel(payment_hash) {
                return Err(InvoicerError::Refused {
                    message: UntrustedText::new("invoice already settled"),
                });
            }
            plan.after().await.map_err(error_of)
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<NodeStatus, InvoicerError>> {
        Box::pin(async move {
            let plan = self.knobs.probe().next();
            plan.delay().await;
            plan.before().await.map_err(error_of)?;
            plan.after().await.map_err(error_of)?;
            Ok(NodeStatus {
                network: Some(Network::Regtest),
                synced: Some(true),
                version: None,
                clock: Some(self.now()),
            })
        })
    }

    fn settlements(&self, cursor: u64) -> BoxFuture<'_, Result<Vec<Settlement>, InvoicerError>> {
        Box::pin(async move { self.settled_after(cursor).await.map_err(error_of) })
    }
}

/// The limits of what the node issues.
fn supported(request: &InvoiceRequest) -> Result<(), Unsupported> {
    if request.amount == MilliSat::ZERO || request.amount > AMOUNT_MAX {
        return Err(Unsupported::Amount);
    }
    if request.description.len() > DESCRIPTION_BYTES_MAX {
        return Err(Unsupported::Description);
    }
    if request.expiry_secs == 0 || request.expiry_secs > EXPIRY_SECS_MAX {
        return Err(Unsupported::Expiry);
    }
    Ok(())
}

impl From<NotIssued> for InvoicerError {
    fn from(error: NotIssued) -> Self {
        match error {
            NotIssued::Unsupported(what) => Self::Unsupported(what),
            NotIssued::Duplicate => Self::Duplicate,
            NotIssued::Interrupted(interruption) => error_of(interruption),
        }
    }
}

/// An interruption as a caller through the trait sees it.
fn error_of(interruption: Interruption) -> InvoicerError {
    match interruption {
        Interruption::Failed => {
            InvoicerError::Refused { message: UntrustedText::new(super::INJECTED_FAILURE) }
        }
        Interruption::Cut => InvoicerError::Unreachable,
    }
}
