//! phoenixd as the node that is paid.

use crate::{
    access::Access,
    api::Api,
    bell::{Bell, Ring},
    feed::{Feed, received},
    node,
};
use l402::PaymentHash;
use l402_lightning::{
    AmountUnit, BoxFuture, Invoice, InvoiceRequest, InvoiceState, Invoicer, InvoicerCapabilities,
    InvoicerError, KeyControl, MilliSat, Network, NodeStatus, OpenError, Settings, Settlement,
    SettlementFeed, Terms, Unsupported, UntrustedText,
};
use l402_node_http::Fields;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Most bytes of a description: phoenixd counts 128 UTF-16 units, which are never more than bytes.
const DESCRIPTION_BYTES_MAX: usize = 128;
/// Largest amount that is asked for, in satoshis: more than there will ever be.
const AMOUNT_SAT_MAX: u64 = 2_100_000_000_000_000;
/// Longest expiry that is asked for, in seconds: one year. phoenixd itself sets no limit.
const EXPIRY_SECS_MAX: u32 = 31_536_000;
const MSAT_PER_SAT: u64 = 1_000;

/// How often the records are looked into while the websocket is open and silent.
const LOOK_UNASKED: Duration = Duration::from_secs(10);
/// How often they are looked into without a websocket.
const LOOK_BLIND: Duration = Duration::from_secs(2);
/// The pause before a line that broke is opened again.
const LINE_PAUSE: Duration = Duration::from_millis(500);

const FULL_PASSWORD: &str =
    "its password can empty the wallet; give `http-password-limited-access`, or set `allow_full_password`";

/// phoenixd as the node that is paid.
#[derive(Debug)]
pub(crate) struct PhoenixdInvoicer {
    api: Api,
    bell: Bell,
    feed: Feed,
    network: Network,
    any_password: bool,
    access: OnceCell<Access>,
}

impl PhoenixdInvoicer {
    /// Opens it; connects to nothing.
    pub(crate) fn open(settings: &Settings) -> Result<Self, OpenError> {
        Ok(Self {
            api: Api::new(settings)?,
            bell: Bell::new(settings)?,
            feed: Feed::default(),
            network: settings.network.ok_or(OpenError::Missing("network"))?,
            any_password: settings.flag("allow_full_password"),
            access: OnceCell::new(),
        })
    }

    async fn issue(&self, request: InvoiceRequest) -> Result<Invoice, InvoicerError> {
        let amount_sat = supported(&request).map_err(InvoicerError::Unsupported)?;
        self.refuse_full_password().await?;
        let (amount, expiry) = (amount_sat.to_string(), request.expiry_secs.to_string());
        let form = [
            ("description", request.description.as_str()),
            ("amountSat", amount.as_str()),
            ("expirySeconds", expiry.as_str()),
        ];
        let answer = self.api.order("createinvoice", &form, None).await?;
        let invoice = answer.invoice("serialized")?;
        if answer.payment_hash("paymentHash")? != invoice.payment_hash() {
            return Err(InvoicerError::Garbled { field: "paymentHash" });
        }
        Ok(invoice)
    }

    /// Asked once: a password does not change under an adapter.
    async fn refuse_full_password(&self) -> Result<(), InvoicerError> {
        if self.any_password {
            return Ok(());
        }
        match self.access.get_or_try_init(|| Access::ask(&self.api)).await? {
            Access::Limited => Ok(()),
            Access::Full => Err(InvoicerError::Unsafe { fault: FULL_PASSWORD }),
        }
    }

    /// What phoenixd knows of the invoice with this hash.
    async fn record(&self, payment_hash: PaymentHash) -> Result<Option<Fields>, InvoicerError> {
        let Some(record) = self.api.find(&format!("payments/incoming/{payment_hash}")).await? else {
            return Ok(None);
        };
        if record.payment_hash("paymentHash")? != payment_hash {
            return Err(InvoicerError::Garbled { field: "paymentHash" });
        }
        Ok(Some(record))
    }

    async fn state(&self, payment_hash: PaymentHash) -> Result<InvoiceState, InvoicerError> {
        match self.record(payment_hash).await? {
            None => Ok(InvoiceState::Unknown),
            Some(record) => state(&record),
        }
    }

    async fn payable(&self, payment_hash: PaymentHash) -> Result<Option<Invoice>, InvoicerError> {
        let Some(record) = self.record(payment_hash).await? else { return Ok(None) };
        if state(&record)? != InvoiceState::Open {
            return Ok(None);
        }
        let invoice = record.invoice("invoice")?;
        if invoice.payment_hash() != payment_hash {
            return Err(InvoicerError::Garbled { field: "invoice" });
        }
        Ok(Some(invoice))
    }

    async fn status(&self) -> Result<NodeStatus, InvoicerError> {
        let info = self.api.object("getinfo").await?;
        let (network, has_tip) = node(&info)?;
        self.refuse_full_password().await?;
        if !has_tip {
            return Err(InvoicerError::Starting);
        }
        Ok(NodeStatus {
            network: Some(network),
            synced: Some(true),
            version: info.get("version").and_then(Value::as_str).map(UntrustedText::new),
            clock: None,
        })
    }

    /// Looks into the records, and again whenever the bell rings, its line is new, or some time has passed.
    async fn settled_after(&self, cursor: u64) -> Result<Vec<Settlement>, InvoicerError> {
        let mut line = self.bell.line().await;
        loop {
            let settlements = self.feed.after(&self.api, cursor).await?;
            if !settlements.is_empty() {
                self.bell.keep(line);
                return Ok(settlements);
            }
            let Some(open) = &mut line else {
                tokio::time::sleep(LOOK_BLIND).await;
                line = self.bell.line().await;
                continue;
            };
            if tokio::time::timeout(LOOK_UNASKED, open.ring()).await == Ok(Ring::Broken) {
                tokio::time::sleep(LINE_PAUSE).await;
                line = self.bell.line().await;
            }
        }
    }
}

impl Invoicer for PhoenixdInvoicer {
    fn capabilities(&self) -> InvoicerCapabilities {
        InvoicerCapabilities {
            network: self.network,
            key_control: KeyControl::None,
            amount_unit: AmountUnit::Sat,
            description_bytes_max: DESCRIPTION_BYTES_MAX,
            settlement_feed: SettlementFeed::Resumable,
            cancel: false,
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

    fn cancel(&self, _: PaymentHash) -> BoxFuture<'_, Result<(), InvoicerError>> {
        Box::pin(async { Err(InvoicerError::Unsupported(Unsupported::Cancel)) })
    }

    fn probe(&self) -> BoxFuture<'_, Result<NodeStatus, InvoicerError>> {
        Box::pin(self.status())
    }

    fn settlements(&self, cursor: u64) -> BoxFuture<'_, Result<Vec<Settlement>, InvoicerError>> {
        Box::pin(self.settled_after(cursor))
    }
}

/// The limits of what phoenixd issues; gives the amount in satoshis.
fn supported(request: &InvoiceRequest) -> Result<u64, Unsupported> {
    if request.preimage.is_some() {
        return Err(Unsupported::ChosenPreimage);
    }
    let amount_sat = request.amount.as_msat() / MSAT_PER_SAT;
    if amount_sat == 0
        || amount_sat > AMOUNT_SAT_MAX
        || MilliSat::from_sat(amount_sat) != Some(request.amount)
    {
        return Err(Unsupported::Amount);
    }
    if request.description.len() > DESCRIPTION_BYTES_MAX {
        return Err(Unsupported::Description);
    }
    if request.expiry_secs == 0 || request.expiry_secs > EXPIRY_SECS_MAX {
        return Err(Unsupported::Expiry);
    }
    Ok(amount_sat)
}

fn state(record: &Fields) -> Result<InvoiceState, InvoicerError> {
    if record.flag("isPaid")? {
        return Ok(InvoiceState::Settled { amount: received(record)? });
    }
    Ok(if record.flag("isExpired")? { InvoiceState::Expired } else { InvoiceState::Open })
}
