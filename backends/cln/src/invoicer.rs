//! Core Lightning as the node that is paid.

use crate::{
    api::{Api, DEL_INVOICE, GET_INFO, INVOICE, LIST_INVOICES, WAIT_ANY_INVOICE},
    network,
    refusal::Refusal,
    required_network,
};
use l402::PaymentHash;
use l402_lightning::{
    AmountUnit, BoxFuture, Expected, Invoice, InvoiceRequest, InvoiceState, Invoicer, InvoicerCapabilities,
    InvoicerError, KeyControl, MilliSat, Network, NodeStatus, OpenError, SETTLEMENTS_MAX, Settings,
    Settlement, SettlementFeed, Terms, Unsupported, UntrustedText, check,
};
use l402_node_http::{Fault, Fields};
use serde_json::{Value, json};
use std::time::Duration;

/// Most bytes of a description: what fits into one BOLT 11 field (lightningd: `BOLT11_FIELD_BYTE_LIMIT`).
const DESCRIPTION_BYTES_MAX: usize = 639;
/// Largest amount that is asked for: more money than there will ever be.
const AMOUNT_MAX: MilliSat = MilliSat::from_msat(2_100_000_000_000_000_000);
/// Longest expiry that is asked for, in seconds: one year. The node itself sets no limit.
const EXPIRY_SECS_MAX: u32 = 31_536_000;
/// How long the node is asked to wait for the next settlement, in seconds.
const FEED_WAIT_SECS: u64 = 30;
/// Longest wait for the answer of a feed that waits [`FEED_WAIT_SECS`].
const FEED_TIMEOUT: Duration = Duration::from_secs(FEED_WAIT_SECS + 10);

/// `invoice`: the label is taken.
const LABEL_EXISTS: i64 = 900;
/// `invoice`: the preimage is taken.
const PREIMAGE_EXISTS: i64 = 901;
/// `waitanyinvoice`: no settlement within the time that was asked for.
const WAIT_TIMED_OUT: i64 = 904;
/// `delinvoice`: there is no such label.
const NO_SUCH_LABEL: i64 = 905;
/// `delinvoice`: the invoice is in another state.
const OTHER_STATUS: i64 = 906;
/// A parameter is missing or wrong.
const INVALID_PARAMS: i64 = -32602;

/// Core Lightning as the node that is paid.
#[derive(Debug)]
pub(crate) struct ClnInvoicer {
    api: Api,
    network: Network,
}

impl ClnInvoicer {
    /// Opens it; connects to nothing.
    pub(crate) fn open(settings: &Settings) -> Result<Self, OpenError> {
        Ok(Self { api: Api::new(settings)?, network: required_network(settings.network)? })
    }

    async fn issue(&self, request: InvoiceRequest) -> Result<Invoice, InvoicerError> {
        supported(&request).map_err(InvoicerError::Unsupported)?;
        let mut params = json!({
            "amount_msat": request.amount.as_msat(),
            "label": label(&request)?,
            "description": request.description,
            "expiry": request.expiry_secs,
        });
        if let Some(preimage) = &request.preimage {
            params["preimage"] = preimage.reveal_hex().into();
        }
        match self.api.ask(INVOICE, &params).await {
            Ok(returned) => returned.fields.invoice("bolt11"),
            Err(refusal) if matches!(refusal.code(), Some(LABEL_EXISTS | PREIMAGE_EXISTS)) => {
                self.issued_before(&request).await
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The invoice that an equal request made, while it can be paid.
    async fn issued_before(&self, request: &InvoiceRequest) -> Result<Invoice, InvoicerError> {
        let preimage = request.preimage.as_ref().ok_or(InvoicerError::Duplicate)?;
        let invoice = self.payable(preimage.payment_hash()).await?.ok_or(InvoicerError::Duplicate)?;
        // The node itself says that it can still be paid; the caller compares the times with its own clock.
        let now = invoice.created_at();
        let expected = Expected { request, network: self.network, now, terms: Terms::Caller };
        check(&invoice, &expected).map_err(|_| InvoicerError::Duplicate)?;
        Ok(invoice)
    }

    /// The invoice with this hash, if it can be paid.
    async fn payable(&self, payment_hash: PaymentHash) -> Result<Option<Invoice>, InvoicerError> {
        let Some(record) = self.record(payment_hash).await? else { return Ok(None) };
        if record.text("status")? != "unpaid" {
            return Ok(None);
        }
        let invoice = record.invoice("bolt11")?;
        if invoice.payment_hash() != payment_hash {
            return Err(InvoicerError::Garbled { field: "bolt11" });
        }
        Ok(Some(invoice))
    }

    /// What the node knows of the invoice with this hash.
    async fn record(&self, payment_hash: PaymentHash) -> Result<Option<Fields>, InvoicerError> {
        let params = json!({ "payment_hash": payment_hash.to_string() });
        let returned = self.api.ask(LIST_INVOICES, &params).await?;
        let Some(record) = returned.fields.objects("invoices")?.into_iter().next() else { return Ok(None) };
        if record.payment_hash("payment_hash")? != payment_hash {
            return Err(InvoicerError::Garbled { field: "payment_hash" });
        }
        Ok(Some(record))
    }

    async fn state(&self, payment_hash: PaymentHash) -> Result<InvoiceState, InvoicerError> {
        let Some(record) = self.record(payment_hash).await? else { return Ok(InvoiceState::Unknown) };
        match record.text("status")? {
            "unpaid" => Ok(InvoiceState::Open),
            "paid" => Ok(InvoiceState::Settled { amount: record.msat("amount_received_msat")? }),
            "expired" => Ok(InvoiceState::Expired),
            _ => Err(InvoicerError::Garbled { field: "status" }),
        }
    }

    async fn withdraw(&self, payment_hash: PaymentHash) -> Result<(), InvoicerError> {
        let Some(record) = self.record(payment_hash).await? else { return Ok(()) };
        match record.text("status")? {
            "unpaid" => {}
            "paid" => return Err(settled()),
            _ => return Ok(()),
        }
        let params = json!({ "label": record.text("label")?, "status": "unpaid" });
        match self.api.ask(DEL_INVOICE, &params).await {
            Ok(_) => Ok(()),
            Err(refusal) => match refusal.code() {
                Some(NO_SUCH_LABEL) => Ok(()),
                // It was paid, or it expired, in between.
                Some(OTHER_STATUS) => match self.state(payment_hash).await? {
                    InvoiceState::Settled { .. } => Err(settled()),
                    _ => Ok(()),
                },
                _ => Err(refusal.into()),
            },
        }
    }

    async fn status(&self) -> Result<NodeStatus, InvoicerError> {
        let status = match self.api.ask(GET_INFO, &json!({})).await {
            Ok(returned) => NodeStatus { clock: returned.now, ..status(&returned.fields)? },
            // A rune that may not ask this may still issue invoices.
            Err(Refusal::Forbidden { .. }) => NodeStatus::default(),
            Err(refusal) => return Err(refusal.into()),
        };
        self.ask_permission().await?;
        if status.synced == Some(false) { Err(InvoicerError::Starting) } else { Ok(status) }
    }

    /// Asks for an invoice without saying of what: the rune is looked at before the parameters are.
    async fn ask_permission(&self) -> Result<(), InvoicerError> {
        match self.api.ask(INVOICE, &json!({})).await {
            Ok(_) => Err(InvoicerError::Garbled { field: "an error for an empty request" }),
            Err(refusal) if refusal.code() == Some(INVALID_PARAMS) => Ok(()),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The settlements after `cursor`, which is a `pay_index`. The node hands out one at a time: waits for the first
    /// one and takes those that are there already.
    async fn settled_after(&self, cursor: u64) -> Result<Vec<Settlement>, InvoicerError> {
        let mut settlements = vec![self.next_settlement(cursor).await?];
        while let Some(last) = settlements.last().filter(|_| settlements.len() < SETTLEMENTS_MAX) {
            // What is in hand is good, whatever comes of asking for more.
            let Ok(Some(next)) = self.settlement_after(last.index, 0).await else { break };
            settlements.push(next);
        }
        Ok(settlements)
    }

    /// Waits for the first settlement after `cursor`, as long as it takes.
    async fn next_settlement(&self, cursor: u64) -> Result<Settlement, InvoicerError> {
        loop {
            if let Some(settlement) = self.settlement_after(cursor, FEED_WAIT_SECS).await? {
                return Ok(settlement);
            }
        }
    }

    /// The first settlement after `cursor`; `None` if there is none within `wait_secs`.
    async fn settlement_after(
        &self,
        cursor: u64,
        wait_secs: u64,
    ) -> Result<Option<Settlement>, InvoicerError> {
        let params = json!({ "lastpay_index": cursor, "timeout": wait_secs });
        match self.api.call(WAIT_ANY_INVOICE, &params, FEED_TIMEOUT).await {
            Ok(returned) => Ok(Some(settlement(&returned.fields, cursor)?)),
            Err(refusal) if refusal.code() == Some(WAIT_TIMED_OUT) => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

impl Invoicer for ClnInvoicer {
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
        Box::pin(self.issue(request))
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<InvoiceState, InvoicerError>> {
        Box::pin(self.state(payment_hash))
    }

    fn open_invoice(
        &self,
        payment_hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<Invoice>, InvoicerError>> {
        Box::pin(self.payable(payment_hash))
    }

    /// Deletes the invoice: the node keeps no record of one that was withdrawn, and calls it unknown afterwards.
    fn cancel(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<(), InvoicerError>> {
        Box::pin(self.withdraw(payment_hash))
    }

    fn probe(&self) -> BoxFuture<'_, Result<NodeStatus, InvoicerError>> {
        Box::pin(self.status())
    }

    fn settlements(&self, cursor: u64) -> BoxFuture<'_, Result<Vec<Settlement>, InvoicerError>> {
        Box::pin(self.settled_after(cursor))
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

/// The label, which the node demands and keeps unique. With a chosen preimage it is made of the payment hash, and so the
/// same request, repeated after a lost answer, meets its own label (error 900) and not a second invoice.
fn label(request: &InvoiceRequest) -> Result<String, InvoicerError> {
    match &request.preimage {
        Some(preimage) => Ok(format!("l402-{}", preimage.payment_hash())),
        None => unique_label(),
    }
}

/// A label that no other invoice has.
#[expect(clippy::disallowed_methods, reason = "the node demands a unique label and makes none itself")]
fn unique_label() -> Result<String, InvoicerError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| InvoicerError::Refused {
        message: UntrustedText::new("this system gives no random bytes for a label"),
    })?;
    Ok(format!("l402-{}", hex::encode(bytes)))
}

fn settled() -> InvoicerError {
    InvoicerError::Refused { message: UntrustedText::new("the invoice is paid") }
}

/// What `getinfo` says of the node.
fn status(info: &Fields) -> Result<NodeStatus, Fault> {
    let behind =
        ["warning_bitcoind_sync", "warning_lightningd_sync"].iter().any(|name| info.get(name).is_some());
    Ok(NodeStatus {
        network: Some(network(info.text("network")?).ok_or(Fault::Garbled("network"))?),
        synced: Some(!behind),
        version: info.get("version").and_then(Value::as_str).map(UntrustedText::new),
        clock: None,
    })
}

/// One paid invoice, which has to come after `cursor`.
fn settlement(record: &Fields, cursor: u64) -> Result<Settlement, Fault> {
    if record.text("status")? != "paid" {
        return Err(Fault::Garbled("status"));
    }
    let index = record.number("pay_index")?;
    if index <= cursor {
        return Err(Fault::Garbled("pay_index"));
    }
    Ok(Settlement {
        index,
        payment_hash: record.payment_hash("payment_hash")?,
        amount: record.msat("amount_received_msat")?,
        // Absent where the invoice left the amount to its payer.
        invoiced: record.get("amount_msat").map(|_| record.msat("amount_msat")).transpose()?,
        settled_at: record.number("paid_at")?,
    })
}
