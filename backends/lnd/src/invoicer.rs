//! lnd as the node that is paid.

use crate::{
    Clock,
    channel::Node,
    feed::Feed,
    messages::{
        self, ADD_INVOICE, AddInvoice, CANCEL_INVOICE, CancelInvoice, GET_INFO, GET_STATE, InvoiceHash,
        InvoiceStage, LOOKUP_INVOICE, NodeInfo, Nothing, WalletStage,
    },
};
use l402::PaymentHash;
use l402_lightning::{
    AmountUnit, BoxFuture, Expected, Invoice, InvoiceRequest, InvoiceState, Invoicer, InvoicerCapabilities,
    InvoicerError, InvoicerOpening, KeyControl, Network, NodeStatus, OpenError, Settings, Settlement,
    SettlementFeed, Terms, Unsupported, UntrustedText, check,
};
use l402_node_http::Fault;
use std::sync::{Arc, Mutex, PoisonError};

/// Most bytes of a description: what fits into one BOLT 11 field.
const DESCRIPTION_BYTES_MAX: usize = 639;
/// Longest expiry of an invoice that lnd takes, in seconds.
const EXPIRY_SECS_MAX: u32 = 31_536_000;
/// Largest amount of an invoice that lnd takes, in millisatoshis: 100,000 bitcoin.
const AMOUNT_MSAT_MAX: i64 = 10_000_000_000_000_000;
/// A payment hash that no invoice has.
const NO_INVOICE: [u8; 32] = *b"l402: may this macaroon look up?";

/// lnd's words about a preimage that an invoice was made with before.
const DUPLICATE: &[&str] = &["invoice with payment hash already exists"];
/// lnd's words about an invoice that was withdrawn before.
const CANCELLED: &[&str] = &["invoice already canceled"];

/// lnd as the node that is paid.
pub(crate) struct LndInvoicer {
    node: Node,
    network: Network,
    clock: Clock,
    /// The feed between two calls for settlements.
    feed: Mutex<Option<Feed>>,
}

/// Opens lnd as the node that is paid; connects to nothing.
pub(crate) fn open(settings: &Settings, clock: Clock) -> InvoicerOpening {
    let network = settings.network.ok_or(OpenError::Missing("network"))?;
    Ok(Arc::new(LndInvoicer { node: Node::open(settings)?, network, clock, feed: Mutex::new(None) }))
}

impl LndInvoicer {
    async fn add(&self, request: &InvoiceRequest) -> Result<Invoice, InvoicerError> {
        let question = question(request).map_err(InvoicerError::Unsupported)?;
        let added = match self.node.ask(&ADD_INVOICE, &question).await {
            Err(error) if error.says(DUPLICATE) => return self.added_before(request).await,
            added => added.map_err(|error| error.of(&ADD_INVOICE))?,
        };
        let payment_hash = messages::payment_hash(&added.r_hash)?;
        let invoice = Invoice::parse(&added.payment_request)?;
        if invoice.payment_hash() != payment_hash {
            return Err(Fault::Garbled("r_hash").into());
        }
        Ok(invoice)
    }

    /// The invoice that an equal request made, while it can be paid: the answer to that request was lost.
    async fn added_before(&self, request: &InvoiceRequest) -> Result<Invoice, InvoicerError> {
        let preimage = request.preimage.as_ref().ok_or(InvoicerError::Duplicate)?;
        let open = self.find_open(preimage.payment_hash()).await?;
        let now = (self.clock)();
        let expected = Expected { request, network: self.network, now, terms: Terms::Caller };
        open.filter(|invoice| check(invoice, &expected).is_ok()).ok_or(InvoicerError::Duplicate)
    }

    /// The record of an invoice; `None` if there is none.
    async fn find(&self, payment_hash: PaymentHash) -> Result<Option<messages::Invoice>, InvoicerError> {
        let question = InvoiceHash { r_hash: payment_hash.as_bytes().to_vec() };
        let record = match self.node.ask(&LOOKUP_INVOICE, &question).await {
            Err(error) if error.says_unknown_invoice() => return Ok(None),
            record => record.map_err(|error| error.of(&LOOKUP_INVOICE))?,
        };
        if record.payment_hash()? != payment_hash {
            return Err(Fault::Garbled("r_hash").into());
        }
        Ok(Some(record))
    }

    async fn find_open(&self, payment_hash: PaymentHash) -> Result<Option<Invoice>, InvoicerError> {
        let Some(record) = self.find(payment_hash).await? else { return Ok(None) };
        match record.stage()? {
            InvoiceStage::Settled | InvoiceStage::Cancelled => return Ok(None),
            InvoiceStage::Open | InvoiceStage::Accepted => {}
        }
        let invoice = Invoice::parse(&record.payment_request)?;
        if invoice.payment_hash() != payment_hash {
            return Err(Fault::Garbled("payment_request").into());
        }
        Ok(Some(invoice).filter(|invoice| !invoice.is_expired((self.clock)())))
    }

    async fn state(&self, payment_hash: PaymentHash) -> Result<InvoiceState, InvoicerError> {
        let Some(record) = self.find(payment_hash).await? else { return Ok(InvoiceState::Unknown) };
        Ok(match record.stage()? {
            InvoiceStage::Open | InvoiceStage::Accepted => InvoiceState::Open,
            InvoiceStage::Settled => InvoiceState::Settled { amount: record.amount_paid()? },
            // lnd withdraws what has expired, and does not say why it withdrew.
            InvoiceStage::Cancelled if record.expires_at()? <= (self.clock)() => InvoiceState::Expired,
            InvoiceStage::Cancelled => InvoiceState::Cancelled,
        })
    }

    async fn withdraw(&self, payment_hash: PaymentHash) -> Result<(), InvoicerError> {
        let question = CancelInvoice { payment_hash: payment_hash.as_bytes().to_vec() };
        match self.node.ask(&CANCEL_INVOICE, &question).await {
            Ok(Nothing {}) => Ok(()),
            Err(error) if error.says(CANCELLED) || error.says_unknown_invoice() => Ok(()),
            Err(error) => Err(error.of(&CANCEL_INVOICE)),
        }
    }

    async fn question_readiness(&self) -> Result<NodeStatus, InvoicerError> {
        let state = self.node.ask(&GET_STATE, &Nothing {}).await.map_err(|error| error.of(&GET_STATE))?;
        match WalletStage::try_from(state.state) {
            Ok(WalletStage::ServerActive) => {}
            Ok(WalletStage::Locked | WalletStage::NonExisting) => return Err(InvoicerError::Locked),
            Ok(WalletStage::WaitingToStart | WalletStage::Unlocked | WalletStage::RpcActive) => {
                return Err(InvoicerError::Starting);
            }
            Err(_) => return Err(Fault::Garbled("state").into()),
        }
        self.question_rights().await?;
        match self.node.ask(&GET_INFO, &Nothing {}).await {
            Ok(info) => Ok(status(info)),
            Err(error) if error.says_forbidden() => Ok(NodeStatus::default()),
            Err(error) => Err(error.of(&GET_INFO)),
        }
    }

    /// Whether the credential may look invoices up and add them, found out without adding any.
    async fn question_rights(&self) -> Result<(), InvoicerError> {
        self.find(PaymentHash::from_bytes(NO_INVOICE)).await?;
        // lnd looks at the credential first and then refuses, because the two amounts exclude each other.
        let impossible = AddInvoice { value_sat: 1, value_msat: 1, ..AddInvoice::default() };
        match self.node.ask(&ADD_INVOICE, &impossible).await {
            Ok(_) => Err(Fault::Garbled("a refusal of two amounts").into()),
            Err(error) => match error.of(&ADD_INVOICE) {
                InvoicerError::Refused { .. } => Ok(()),
                other => Err(other),
            },
        }
    }

    async fn settled_after(&self, cursor: u64) -> Result<Vec<Settlement>, InvoicerError> {
        let held = self.feed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut feed = match held.filter(|feed| feed.cursor() == cursor) {
            Some(feed) => feed,
            None => Feed::after(&self.node, cursor).await?,
        };
        let settlements = feed.next(&self.node).await?;
        *self.feed.lock().unwrap_or_else(PoisonError::into_inner) = Some(feed);
        Ok(settlements)
    }
}

impl Invoicer for LndInvoicer {
    fn capabilities(&self) -> InvoicerCapabilities {
        InvoicerCapabilities {
            network: self.network,
            key_control: KeyControl::Preimage,
            amount_unit: AmountUnit::MilliSat,
            description_bytes_max: DESCRIPTION_BYTES_MAX,
            settlement_feed: SettlementFeed::Resumable,
            cancel: true,
            terms: Terms::Caller,
        }
    }

    fn create(&self, request: InvoiceRequest) -> BoxFuture<'_, Result<Invoice, InvoicerError>> {
        Box::pin(async move { self.add(&request).await })
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<InvoiceState, InvoicerError>> {
        Box::pin(self.state(payment_hash))
    }

    fn open_invoice(
        &self,
        payment_hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<Invoice>, InvoicerError>> {
        Box::pin(self.find_open(payment_hash))
    }

    fn cancel(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<(), InvoicerError>> {
        Box::pin(self.withdraw(payment_hash))
    }

    fn probe(&self) -> BoxFuture<'_, Result<NodeStatus, InvoicerError>> {
        Box::pin(self.question_readiness())
    }

    fn settlements(&self, cursor: u64) -> BoxFuture<'_, Result<Vec<Settlement>, InvoicerError>> {
        Box::pin(self.settled_after(cursor))
    }
}

/// A request in lnd's words.
fn question(request: &InvoiceRequest) -> Result<AddInvoice, Unsupported> {
    let value_msat = i64::try_from(request.amount.as_msat()).map_err(|_| Unsupported::Amount)?;
    // lnd reads an amount of 0 as none, and an expiry of 0 as a day.
    if !(1..=AMOUNT_MSAT_MAX).contains(&value_msat) {
        return Err(Unsupported::Amount);
    }
    if !(1..=EXPIRY_SECS_MAX).contains(&request.expiry_secs) {
        return Err(Unsupported::Expiry);
    }
    if request.description.len() > DESCRIPTION_BYTES_MAX {
        return Err(Unsupported::Description);
    }
    Ok(AddInvoice {
        memo: request.description.clone(),
        preimage: request.preimage.as_ref().map(|preimage| preimage.as_bytes().to_vec()).unwrap_or_default(),
        value_sat: 0,
        expiry_secs: request.expiry_secs.into(),
        value_msat,
    })
}

/// What lnd says of itself.
fn status(info: NodeInfo) -> NodeStatus {
    NodeStatus {
        network: info.chains.first().and_then(|chain| chain.network.parse().ok()),
        synced: Some(info.synced_to_chain),
        version: Some(UntrustedText::new(info.version)),
        clock: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use l402_lightning::MilliSat;

    fn request() -> InvoiceRequest {
        InvoiceRequest {
            amount: MilliSat::from_msat(1),
            expiry_secs: 1,
            description: "d".repeat(DESCRIPTION_BYTES_MAX),
            preimage: None,
        }
    }

    #[test]
    fn what_lnd_would_take_for_something_else_is_not_asked() {
        assert!(question(&request()).is_ok());
        for msat in [0, 10_000_000_000_000_001, u64::MAX] {
            let wrong = InvoiceRequest { amount: MilliSat::from_msat(msat), ..request() };
            assert_eq!(question(&wrong), Err(Unsupported::Amount));
        }
        for expiry_secs in [0, EXPIRY_SECS_MAX + 1] {
            let wrong = InvoiceRequest { expiry_secs, ..request() };
            assert_eq!(question(&wrong), Err(Unsupported::Expiry));
        }
        let wrong = InvoiceRequest { description: "d".repeat(640), ..request() };
        assert_eq!(question(&wrong), Err(Unsupported::Description));
    }
}
