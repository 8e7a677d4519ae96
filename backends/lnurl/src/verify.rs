//! Where the state of each invoice is asked for (LUD-21), and what the answer says.

use l402::{PaymentHash, Preimage};
use l402_lightning::{Invoice, InvoiceState, InvoicerError};
use l402_node_http::Fields;
use std::collections::{HashMap, VecDeque};

/// Most URLs that are remembered.
const URLS_MAX: usize = 4_096;

/// The `verify` URLs of a service.
///
/// Each invoice comes with one. Where they are all the same but for the payment hash, the URL of any invoice is known;
/// two invoices are taken for all. Else the newest are remembered.
#[derive(Debug, Default)]
pub(crate) struct VerifyUrls {
    form: Form,
    urls: HashMap<PaymentHash, String>,
    /// The hashes of `urls`, oldest first.
    order: VecDeque<PaymentHash>,
}

/// What is known of the form of the URLs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Form {
    /// No invoice yet.
    #[default]
    Untold,
    /// One invoice's URL has its hash in it.
    Told(Around),
    /// Two invoices agree.
    Sure(Around),
    /// The payment hash alone does not lead to the URL.
    Free,
}

/// What stands around the payment hash in a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Around {
    before: String,
    after: String,
}

/// Where to ask about an invoice.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// There.
    At(String),
    /// Another invoice's URL would tell.
    MoreNeeded,
    /// Nowhere: the service's URLs cannot be found by hash, and this one is not remembered.
    None,
}

impl VerifyUrls {
    /// Learns from an invoice's URL.
    pub(crate) fn learn(&mut self, hash: PaymentHash, url: &str) {
        let around = Around::of(hash, url);
        self.form = match (std::mem::take(&mut self.form), around) {
            (Form::Untold, Some(around)) => Form::Told(around),
            (Form::Told(known) | Form::Sure(known), Some(around)) if known == around => Form::Sure(known),
            _ => Form::Free,
        };
        if let Form::Sure(_) = self.form {
            self.urls.clear();
            self.order.clear();
            return;
        }
        if self.urls.insert(hash, url.to_owned()).is_none() {
            self.order.push_back(hash);
        }
        if self.order.len() > URLS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.urls.remove(&oldest);
        }
    }

    /// Where to ask about the invoice with this hash.
    pub(crate) fn way(&self, hash: PaymentHash) -> Way {
        match (self.urls.get(&hash), &self.form) {
            (Some(url), _) => Way::At(url.clone()),
            (None, Form::Sure(around)) => Way::At(around.url(hash)),
            (None, Form::Untold | Form::Told(_)) => Way::MoreNeeded,
            (None, Form::Free) => Way::None,
        }
    }
}

impl Around {
    fn of(hash: PaymentHash, url: &str) -> Option<Self> {
        let (before, after) = url.split_once(&hash.to_string())?;
        Some(Self { before: before.to_owned(), after: after.to_owned() })
    }

    fn url(&self, hash: PaymentHash) -> String {
        format!("{}{hash}{}", self.before, self.after)
    }
}

/// Reads the answer about the invoice with this hash: its state, and the invoice itself. `date` is the service's clock.
pub(crate) fn read(
    hash: PaymentHash,
    fields: &Fields,
    date: Option<u64>,
) -> Result<(InvoiceState, Invoice), InvoicerError> {
    let invoice = fields.invoice("pr")?;
    if invoice.payment_hash() != hash {
        return Err(InvoicerError::Garbled { field: "pr" });
    }
    let amount = invoice.amount().ok_or(InvoicerError::Garbled { field: "pr" })?;
    if fields.flag("settled")? {
        return Ok((InvoiceState::Settled { amount }, invoice));
    }
    if shows_preimage(hash, fields) {
        return Err(InvoicerError::Unsafe { fault: "it shows preimages of unpaid invoices to anyone" });
    }
    let now = date.ok_or(InvoicerError::Garbled { field: "Date (header)" })?;
    let state = if invoice.is_expired(now) { InvoiceState::Expired } else { InvoiceState::Open };
    Ok((state, invoice))
}

fn shows_preimage(hash: PaymentHash, fields: &Fields) -> bool {
    let text = fields.text("preimage").unwrap_or_default();
    Preimage::from_hex(text.as_bytes()).is_ok_and(|preimage| preimage.payment_hash() == hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u16) -> PaymentHash {
        let mut bytes = [7; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        PaymentHash::from_bytes(bytes)
    }

    #[test]
    fn two_urls_that_differ_by_the_hash_alone_tell_all_others() {
        let url = |n| format!("https://example.com/verify/{}?v=1", hash(n));
        let mut urls = VerifyUrls::default();
        assert_eq!(urls.way(hash(1)), Way::MoreNeeded);
        urls.learn(hash(1), &url(1));
        assert_eq!((urls.way(hash(1)), urls.way(hash(9))), (Way::At(url(1)), Way::MoreNeeded));
        urls.learn(hash(2), &url(2));
        for n in [1, 2, 9] {
            assert_eq!(urls.way(hash(n)), Way::At(url(n)));
        }
        assert!(urls.urls.is_empty(), "what can be found by hash need not be remembered");
    }

    #[test]
    fn urls_that_differ_otherwise_are_remembered_each() {
        let url = |n| format!("https://example.com/{n}/verify/{}", hash(n));
        let mut urls = VerifyUrls::default();
        for n in 1..=2 {
            urls.learn(hash(n), &url(n));
        }
        for n in 1..=2 {
            assert_eq!(urls.way(hash(n)), Way::At(url(n)));
        }
        assert_eq!(urls.way(hash(9)), Way::None);
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_newest() {
        let mut urls = VerifyUrls::default();
        let count = u16::try_from(URLS_MAX).unwrap() + 10;
        for n in 0..count {
            urls.learn(hash(n), &format!("https://example.com/verify/{n}"));
        }
        assert_eq!((urls.urls.len(), urls.order.len()), (URLS_MAX, URLS_MAX));
        assert_eq!(urls.way(hash(9)), Way::None);
        assert_eq!(urls.way(hash(10)), Way::At("https://example.com/verify/10".to_owned()));
    }
}
