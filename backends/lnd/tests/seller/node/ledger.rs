//! The imitation's records, and who is told of them.

use super::messages::Invoice;
use l402::{PaymentHash, Preimage};
use l402_lightning::MilliSat;
use std::collections::HashMap;
use tokio::sync::mpsc;

/// `lnrpc.Invoice.InvoiceState`.
pub(crate) const OPEN: i32 = 0;
pub(crate) const SETTLED: i32 = 1;
pub(crate) const CANCELLED: i32 = 2;

/// The records.
#[derive(Default)]
pub(crate) struct Ledger {
    /// In the order in which they were added: the first one has `add_index` 1.
    invoices: Vec<Invoice>,
    by_hash: HashMap<Vec<u8>, usize>,
    /// Places of the settled ones: the first one has `settle_index` 1.
    settled: Vec<usize>,
    listeners: Vec<Listener>,
    /// Notifications that another one has to overtake.
    overtaken: Vec<Invoice>,
}

/// Somebody who is told of invoices. lnd remembers the last settlement it told of.
struct Listener {
    settle_index: u64,
    news: mpsc::UnboundedSender<Invoice>,
}

/// How a settlement is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    Once,
    Twice,
    Never,
    AfterTheNext,
}

impl Ledger {
    /// How many invoices there are.
    pub(crate) fn len(&self) -> usize {
        self.invoices.len()
    }

    /// Notes an invoice; gives its `add_index`. `None` if there is one with its hash.
    pub(crate) fn add(&mut self, mut invoice: Invoice) -> Option<u64> {
        if self.by_hash.contains_key(&invoice.r_hash) {
            return None;
        }
        self.by_hash.insert(invoice.r_hash.clone(), self.invoices.len());
        let add_index = u64::try_from(self.invoices.len()).unwrap() + 1;
        invoice.add_index = add_index;
        invoice.state = OPEN;
        self.invoices.push(invoice.clone());
        self.tell(&invoice);
        Some(add_index)
    }

    /// Withdraws what was not paid in time.
    pub(crate) fn sweep(&mut self, now: u64) {
        let now = i64::try_from(now).unwrap();
        for invoice in self.invoices.iter_mut().filter(|invoice| invoice.state == OPEN) {
            if invoice.creation_date + invoice.expiry <= now {
                invoice.state = CANCELLED;
            }
        }
    }

    pub(crate) fn find(&self, hash: &[u8]) -> Option<&Invoice> {
        self.by_hash.get(hash).map(|place| &self.invoices[*place])
    }

    /// The record itself, to be spoiled.
    pub(crate) fn find_mut(&mut self, hash: PaymentHash) -> &mut Invoice {
        let place = self.by_hash[&hash.as_bytes()[..]];
        &mut self.invoices[place]
    }

    /// Those after an `add_index`, in order.
    pub(crate) fn after(&self, add_index: u64) -> &[Invoice] {
        let from = usize::try_from(add_index).unwrap().min(self.invoices.len());
        &self.invoices[from..]
    }

    /// Somebody pays, perhaps more than was asked for; gives the preimage.
    pub(crate) fn settle(
        &mut self,
        hash: PaymentHash,
        excess: MilliSat,
        now: u64,
        telling: Telling,
    ) -> Preimage {
        let place = self.by_hash[&hash.as_bytes()[..]];
        self.settled.push(place);
        let settle_index = u64::try_from(self.settled.len()).unwrap();
        let invoice = &mut self.invoices[place];
        assert_eq!(invoice.state, OPEN, "only an open invoice can be paid");
        invoice.state = SETTLED;
        invoice.settled = true;
        invoice.settle_index = settle_index;
        invoice.settle_date = i64::try_from(now).unwrap();
        invoice.amt_paid_msat = invoice.value_msat + i64::try_from(excess.as_msat()).unwrap();
        invoice.amt_paid_sat = invoice.amt_paid_msat / 1000;
        let (invoice, preimage) = (invoice.clone(), invoice.r_preimage.clone());
        match telling {
            Telling::Never => {}
            Telling::AfterTheNext => self.overtaken.push(invoice),
            Telling::Once | Telling::Twice => {
                self.tell(&invoice);
                if telling == Telling::Twice {
                    self.tell_all(&invoice);
                }
                for invoice in std::mem::take(&mut self.overtaken) {
                    self.tell_all(&invoice);
                }
            }
        }
        Preimage::from_bytes(preimage.try_into().unwrap())
    }

    /// Withdraws an invoice, in lnd's words where it will not.
    pub(crate) fn cancel(&mut self, hash: &[u8]) -> Result<(), &'static str> {
        let place = *self.by_hash.get(hash).ok_or("unable to locate invoice")?;
        match &mut self.invoices[place].state {
            state @ &mut (OPEN | CANCELLED) => *state = CANCELLED,
            _ => return Err("invoice already settled"),
        }
        Ok(())
    }

    /// Tells of everything after these indices (0: nothing) and then of whatever happens.
    pub(crate) fn listen(&mut self, add_index: u64, settle_index: u64) -> mpsc::UnboundedReceiver<Invoice> {
        let (news, inbox) = mpsc::unbounded_channel();
        if add_index > 0 {
            for invoice in self.after(add_index).iter().filter(|invoice| invoice.state != CANCELLED) {
                news.send(invoice.clone()).unwrap();
            }
        }
        if settle_index > 0 {
            for place in self.settled.iter().skip(usize::try_from(settle_index).unwrap()) {
                news.send(self.invoices[*place].clone()).unwrap();
            }
        }
        self.listeners.push(Listener { settle_index, news });
        inbox
    }

    /// Ends all that is being told; `false` if nothing is.
    pub(crate) fn hush(&mut self) -> bool {
        self.listeners.retain(|listener| !listener.news.is_closed());
        !std::mem::take(&mut self.listeners).is_empty()
    }

    /// How many are being told.
    pub(crate) fn listeners(&mut self) -> usize {
        self.listeners.retain(|listener| !listener.news.is_closed());
        self.listeners.len()
    }

    /// Tells everybody who was not told of it yet.
    fn tell(&mut self, invoice: &Invoice) {
        self.listeners.retain_mut(|listener| {
            if invoice.state == SETTLED {
                if listener.settle_index >= invoice.settle_index {
                    return true;
                }
                listener.settle_index = invoice.settle_index;
            }
            listener.news.send(invoice.clone()).is_ok()
        });
    }

    /// Tells everybody, told or not.
    pub(crate) fn tell_all(&mut self, invoice: &Invoice) {
        self.listeners.retain(|listener| listener.news.send(invoice.clone()).is_ok());
    }
}
