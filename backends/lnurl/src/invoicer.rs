//! The node that is paid.

use crate::{
    offer::Offer,
    sites::Sites,
    verify::{self, VerifyUrls, Way},
    web::{Said, Web},
};
use l402::PaymentHash;
use l402_lightning::{
    AmountUnit, BoxFuture, Invoice, InvoiceRequest, InvoiceState, Invoicer, InvoicerCapabilities,
    InvoicerError, KeyControl, MilliSat, Network, NodeStatus, Settlement, SettlementFeed, Terms, Unsupported,
};
use reqwest::Url;
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long a document holds. A service that changes its metadata before is found out by the hash in its invoices.
const OFFER_LIFETIME: Duration = Duration::from_mins(10);

/// Invoices that may be needed to learn where their states are asked for: two that agree, or not.
const LESSONS_MAX: usize = 2;

/// An LNURL-pay service.
pub(crate) struct LnurlInvoicer {
    web: Web,
    sites: Sites,
    document: Url,
    network: Network,
    offer: Mutex<Option<(Instant, Offer)>>,
    verify_urls: Mutex<VerifyUrls>,
    /// Whether the service has answered rightly about an invoice of its own.
    tried: AtomicBool,
}

impl LnurlInvoicer {
    /// A service with its document at this URL.
    pub(crate) fn new(web: Web, sites: Sites, document: Url, network: Network) -> Self {
        Self {
            web,
            sites,
            document,
            network,
            offer: Mutex::default(),
            verify_urls: Mutex::default(),
            tried: AtomicBool::new(false),
        }
    }

    async fn issue(&self, request: &InvoiceRequest) -> Result<Invoice, InvoicerError> {
        if request.preimage.is_some() {
            return Err(InvoicerError::Unsupported(Unsupported::ChosenPreimage));
        }
        if request.amount == MilliSat::ZERO {
            return Err(InvoicerError::Unsupported(Unsupported::Amount));
        }
        let offer = self.offer().await?;
        if !offer.takes(request.amount) {
            return Err(InvoicerError::Unsupported(Unsupported::Amount));
        }
        let invoice = self.fetch(&offer, request.amount, &request.description).await?;
        if !self.tried.load(Ordering::Relaxed) {
            self.try_verify(invoice.payment_hash()).await?;
            self.tried.store(true, Ordering::Relaxed);
        }
        Ok(invoice)
    }

    /// The document, fetched anew when it is old.
    async fn offer(&self) -> Result<Offer, InvoicerError> {
        if let Some((fetched, offer)) = &*lock(&self.offer)
            && fetched.elapsed() < OFFER_LIFETIME
        {
            return Ok(offer.clone());
        }
        let (offer, _) = self.fetch_offer().await?;
        Ok(offer)
    }

    async fn fetch_offer(&self) -> Result<(Offer, Option<u64>), InvoicerError> {
        let (fields, date) = self.web.ask(self.document.clone()).await?.granted()?;
        let offer = Offer::read(&fields, &self.sites)?;
        *lock(&self.offer) = Some((Instant::now(), offer.clone()));
        Ok((offer, date))
    }

    /// An invoice of this offer, and where its state is asked for.
    async fn fetch(&self, offer: &Offer, amount: MilliSat, comment: &str) -> Result<Invoice, InvoicerError> {
        let (fields, _) = self.web.ask(offer.question(amount, comment)).await?.granted()?;
        let invoice = fields.invoice("pr")?;
        offer.check(&invoice, amount, self.network).inspect_err(|_| {
            // The service may have another document by now.
            *lock(&self.offer) = None;
        })?;
        if fields.get("verify").is_none() {
            return Err(InvoicerError::NoService { service: "LUD-21 `verify`" });
        }
        let verify = self.sites.admit(fields.text("verify")?).ok_or(InvoicerError::Garbled {
            field: "verify (https, at the address's host or one that `allow_host` names)",
        })?;
        lock(&self.verify_urls).learn(invoice.payment_hash(), verify.as_str());
        Ok(invoice)
    }

    /// Nothing is sold before the service has shown that it knows its own invoices, and keeps them to itself.
    async fn try_verify(&self, hash: PaymentHash) -> Result<(), InvoicerError> {
        match self.state(hash).await? {
            Some((InvoiceState::Settled { .. }, _)) => {
                Err(InvoicerError::Unsafe { fault: "it calls an invoice paid that nobody has seen" })
            }
            Some(_) => Ok(()),
            None => Err(InvoicerError::NoService { service: "LUD-21 `verify` that knows its own invoices" }),
        }
    }

    /// What the service says of the invoice with this hash; `None` if it knows no such invoice.
    async fn state(&self, hash: PaymentHash) -> Result<Option<(InvoiceState, Invoice)>, InvoicerError> {
        let url = self.verify_url(hash).await?;
        match self.web.ask(url).await? {
            Said::Fields { fields, date } => verify::read(hash, &fields, date).map(Some),
            Said::Refused { not_found, reason } => {
                // LUD-21's own words for it are "Not found".
                if not_found || reason.as_raw().to_ascii_lowercase().contains("not found") {
                    Ok(None)
                } else {
                    Err(InvoicerError::Refused { message: reason })
                }
            }
        }
    }

    /// Where the state of an invoice is asked for. After a restart the service's URLs are learnt from invoices for its
    /// least amount, which nobody gets to see.
    async fn verify_url(&self, hash: PaymentHash) -> Result<Url, InvoicerError> {
        for lessons in 0..=LESSONS_MAX {
            let way = lock(&self.verify_urls).way(hash);
            match way {
                Way::At(url) => {
                    return self.sites.admit(&url).ok_or(InvoicerError::Garbled { field: "verify" });
                }
                Way::MoreNeeded if lessons < LESSONS_MAX => {
                    let offer = self.offer().await?;
                    self.fetch(&offer, offer.least, "").await?;
                }
                Way::MoreNeeded | Way::None => break,
            }
        }
        Err(InvoicerError::NoService { service: "`verify` URLs that can be found by payment hash" })
    }
}

impl Invoicer for LnurlInvoicer {
    fn capabilities(&self) -> InvoicerCapabilities {
        InvoicerCapabilities {
            network: self.network,
            key_control: KeyControl::None,
            amount_unit: AmountUnit::MilliSat,
            // The service words its invoices: any description is as good as none.
            description_bytes_max: usize::MAX,
            settlement_feed: SettlementFeed::Poll,
            cancel: false,
            terms: Terms::Service,
        }
    }

    fn create(&self, request: InvoiceRequest) -> BoxFuture<'_, Result<Invoice, InvoicerError>> {
        Box::pin(async move { self.issue(&request).await })
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<InvoiceState, InvoicerError>> {
        Box::pin(async move {
            let found = self.state(payment_hash).await?;
            Ok(found.map_or(InvoiceState::Unknown, |(state, _)| state))
        })
    }

    fn open_invoice(
        &self,
        payment_hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<Invoice>, InvoicerError>> {
        Box::pin(async move {
            let found = self.state(payment_hash).await?;
            Ok(found.and_then(|(state, invoice)| (state == InvoiceState::Open).then_some(invoice)))
        })
    }

    fn cancel(&self, _payment_hash: PaymentHash) -> BoxFuture<'_, Result<(), InvoicerError>> {
        Box::pin(std::future::ready(Err(InvoicerError::Unsupported(Unsupported::Cancel))))
    }

    fn probe(&self) -> BoxFuture<'_, Result<NodeStatus, InvoicerError>> {
        Box::pin(async move {
            let (_, clock) = self.fetch_offer().await?;
            Ok(NodeStatus { clock, ..NodeStatus::default() })
        })
    }

    fn settlements(&self, _cursor: u64) -> BoxFuture<'_, Result<Vec<Settlement>, InvoicerError>> {
        Box::pin(std::future::ready(Err(InvoicerError::Unsupported(Unsupported::Feed))))
    }
}

/// What is behind the lock is whole after every statement, also after a panic elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
