//! A wallet as the one that is paid.

use crate::{
    feed::{Feed, LATE_SECS_MAX, placed, second_of},
    record::{Record, State},
    wallet::{LIST_TRANSACTIONS, LOOKUP_INVOICE, MAKE_INVOICE, Returned, Wallet},
};
use l402::PaymentHash;
use l402_lightning::{
    AmountUnit, BoxFuture, Invoice, InvoiceRequest, InvoiceState, Invoicer, InvoicerCapabilities,
    InvoicerError, InvoicerOpening, KeyControl, MilliSat, Mismatch, Network, NodeStatus, OpenError, Settings,
    Settlement, SettlementFeed, Terms, Unsupported,
};
use l402_node_http::Fault;
use serde_json::json;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Most bytes of a description: what BOLT 11's `d` field can hold.
const DESCRIPTION_BYTES_MAX: usize = 639;
/// Longest expiry of an invoice, in seconds. Settlements are looked for among invoices this much older than the cursor
/// (`list_transactions` goes by the time of creation), so a longer one would make every look a long one.
const EXPIRY_SECS_MAX: u32 = 3_600;
/// Largest amount of an invoice: all the bitcoin there will be.
const AMOUNT_MAX: MilliSat = MilliSat::from_msat(2_100_000_000_000_000_000);
/// How long after its expiry an invoice may still be settled by a payment that came just in time, in seconds.
const EXPIRY_GRACE_SECS: u64 = 60;

/// Transactions on a page: NIP-44 as most wallets have it carries 64 KiB, and metadata may be long.
const PAGE: usize = 20;
/// Most pages that are read for one look.
const PAGES_MAX: usize = 500;
/// Pages with nothing new, one after the other, that are no reason to stop: new records push old ones to later pages.
const STALE_PAGES_MAX: usize = 1;
/// How often the records are looked at where no notification comes.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// How long to wait for the end of the wallet's present second.
const SECOND: Duration = Duration::from_secs(1);

/// A wallet as the one that is paid.
struct NwcInvoicer {
    wallet: Wallet,
    network: Network,
    feed: Mutex<Feed>,
}

/// Prepares the way to a wallet; connects to nothing.
pub(crate) fn open(settings: &Settings) -> InvoicerOpening {
    let network = settings.network.ok_or(OpenError::Missing("network"))?;
    Ok(Arc::new(NwcInvoicer { wallet: Wallet::new(settings, true)?, network, feed: Mutex::default() }))
}

impl NwcInvoicer {
    async fn make(&self, request: InvoiceRequest) -> Result<Invoice, InvoicerError> {
        supported(&request)?;
        let params = json!({
            "amount": request.amount.as_msat(),
            "description": request.description,
            "expiry": request.expiry_secs,
        });
        let record = Record::new(self.wallet.ask(MAKE_INVOICE, &params).await?.fields);
        let invoice = record.invoice()?.ok_or(InvoicerError::Garbled { field: "invoice" })?;
        if invoice.payment_hash() != record.payment_hash()? {
            return Err(InvoicerError::Garbled { field: "payment_hash" });
        }
        Ok(invoice)
    }

    /// The wallet's invoice with this hash, and its clock.
    async fn find(&self, payment_hash: PaymentHash) -> Result<Option<(Record, u64)>, InvoicerError> {
        let found = self.wallet.find(payment_hash).await?;
        let Some((record, now)) = found else { return Ok(None) };
        Ok(if record.is_incoming()?.unwrap_or(true) { Some((record, now)) } else { None })
    }

    async fn state(&self, payment_hash: PaymentHash) -> Result<InvoiceState, InvoicerError> {
        match self.find(payment_hash).await? {
            Some((record, now)) => Ok(invoice_state(&record, now)?),
            None => Ok(InvoiceState::Unknown),
        }
    }

    async fn open_one(&self, payment_hash: PaymentHash) -> Result<Option<Invoice>, InvoicerError> {
        let Some((record, now)) = self.find(payment_hash).await? else { return Ok(None) };
        if record.state()? != State::Pending {
            return Ok(None);
        }
        let Some(invoice) = record.invoice()?.filter(|invoice| !invoice.is_expired(now)) else {
            return Ok(None);
        };
        if invoice.payment_hash() != payment_hash {
            let found = invoice.payment_hash();
            return Err(Mismatch::PaymentHash { expected: payment_hash, found }.into());
        }
        if invoice.network() != self.network {
            return Err(Mismatch::Network { expected: self.network, found: invoice.network() }.into());
        }
        Ok(Some(invoice))
    }

    async fn status(&self) -> Result<NodeStatus, InvoicerError> {
        let info = self.wallet.info().await?;
        match info.lacks([MAKE_INVOICE, LOOKUP_INVOICE]) {
            Some(permission) => Err(InvoicerError::Forbidden { permission }),
            None => {
                Ok(NodeStatus { network: info.network, synced: None, version: None, clock: Some(info.clock) })
            }
        }
    }

    async fn settled_after(&self, cursor: u64) -> Result<Vec<Settlement>, InvoicerError> {
        loop {
            let told = self.feed().after(cursor);
            if !told.is_empty() {
                return Ok(told);
            }
            let mut news = self.wallet.link().await?.news;
            // From here on: what happens during the look is told of after it.
            news.mark_unchanged();
            let (records, now) = self.look(cursor).await?;
            let waits = self.feed().take(cursor, records, now);
            let told = self.feed().after(cursor);
            if !told.is_empty() {
                return Ok(told);
            }
            let pause = if waits { SECOND } else { LOOK_INTERVAL };
            match tokio::time::timeout(pause, news.changed()).await {
                Ok(Ok(())) | Err(_) => {}
                // The link ended. Relays end idle ones, so this is no outage until there is no new one.
                Ok(Err(_)) => tokio::time::sleep(SECOND).await,
            }
        }
    }

    /// Reads from the wallet's records what was settled since a little before `cursor`, and its clock at the beginning.
    async fn look(&self, cursor: u64) -> Result<(Vec<Settlement>, u64), InvoicerError> {
        let settled_from = second_of(cursor).saturating_sub(LATE_SECS_MAX);
        let from = settled_from.saturating_sub(u64::from(EXPIRY_SECS_MAX) + EXPIRY_GRACE_SECS);
        let (mut settled, mut seen, mut began_at) = (Vec::new(), HashSet::new(), None);
        let (mut offset, mut stale) = (0, 0);
        for _ in 0..PAGES_MAX {
            let params = json!({
                "from": from,
                "limit": PAGE,
                "offset": offset,
                "unpaid": false,
                "type": "incoming",
            });
            let Returned { fields, written_at } = self.wallet.ask(LIST_TRANSACTIONS, &params).await?;
            let now = *began_at.get_or_insert(written_at);
            let page = fields.objects("transactions")?;
            // Wallets put fewer on a page than they were asked for.
            offset += page.len();
            let before = seen.len();
            let mut newest = 0;
            for record in page.into_iter().map(Record::new) {
                let times = [record.created_at()?, record.settled_at()?];
                newest = newest.max(times.into_iter().flatten().max().unwrap_or(u64::MAX));
                seen.insert(record.payment_hash()?);
                settled.extend(settlement(&record)?.filter(|one| one.settled_at >= settled_from));
            }
            stale = if seen.len() == before { stale + 1 } else { 0 };
            // The page is empty; or older than what is looked for, where a wallet ignores `from`; or it ignores
            // `offset`.
            if newest < from.max(1) || stale > STALE_PAGES_MAX {
                return Ok((settled, now));
            }
        }
        Err(InvoicerError::Garbled { field: "transactions" })
    }

    fn feed(&self) -> MutexGuard<'_, Feed> {
        // Each change leaves a feed behind that at worst forgets a record, which the next look finds again.
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Invoicer for NwcInvoicer {
    fn capabilities(&self) -> InvoicerCapabilities {
        InvoicerCapabilities {
            network: self.network,
            key_control: KeyControl::None,
            amount_unit: AmountUnit::MilliSat,
            description_bytes_max: DESCRIPTION_BYTES_MAX,
            settlement_feed: SettlementFeed::Resumable,
            cancel: false,
            terms: Terms::Caller,
        }
    }

    fn create(&self, request: InvoiceRequest) -> BoxFuture<'_, Result<Invoice, InvoicerError>> {
        Box::pin(self.make(request))
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<InvoiceState, InvoicerError>> {
        Box::pin(self.state(payment_hash))
    }

    fn open_invoice(
        &self,
        payment_hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<Invoice>, InvoicerError>> {
        Box::pin(self.open_one(payment_hash))
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

/// The limits of what is asked for.
fn supported(request: &InvoiceRequest) -> Result<(), InvoicerError> {
    let what = if request.preimage.is_some() {
        Unsupported::ChosenPreimage
    } else if request.amount == MilliSat::ZERO || request.amount > AMOUNT_MAX {
        Unsupported::Amount
    } else if request.description.len() > DESCRIPTION_BYTES_MAX {
        Unsupported::Description
    } else if request.expiry_secs == 0 || request.expiry_secs > EXPIRY_SECS_MAX {
        Unsupported::Expiry
    } else {
        return Ok(());
    };
    Err(InvoicerError::Unsupported(what))
}

/// The state of an invoice at `now`, in Unix seconds by the wallet's clock.
fn invoice_state(record: &Record, now: u64) -> Result<InvoiceState, Fault> {
    Ok(match record.state()? {
        State::Settled => InvoiceState::Settled { amount: record.amount()? },
        State::Failed => InvoiceState::Cancelled,
        State::Expired => InvoiceState::Expired,
        // Locked money is not received yet, and may come late.
        State::Accepted => InvoiceState::Open,
        // Not every wallet marks invoices that were not paid in time.
        State::Pending => match record.expires_at()? {
            Some(expires_at) if now >= expires_at.saturating_add(EXPIRY_GRACE_SECS) => InvoiceState::Expired,
            _ => InvoiceState::Open,
        },
    })
}

/// The settlement that a record tells of; `None` if it is of something else.
fn settlement(record: &Record) -> Result<Option<Settlement>, Fault> {
    if record.is_incoming()? == Some(false) || record.state()? != State::Settled {
        return Ok(None);
    }
    let payment_hash = record.payment_hash()?;
    let settled_at = record.settled_at()?.ok_or(Fault::Garbled("settled_at"))?;
    let amount = record.amount()?;
    // NIP-47 knows one amount of an invoice, and does not say whether it is what was asked for or what was received.
    let settlement = Settlement { index: 0, payment_hash, amount, invoiced: None, settled_at };
    Ok(Some(placed(payment_hash, settlement)))
}
