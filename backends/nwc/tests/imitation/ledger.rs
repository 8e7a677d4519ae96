//! The wallet's money: invoices, payments, and what goes wrong with them.

use l402::{PaymentHash, Preimage};
use l402_lightning::{
    Invoice, InvoiceRequest, MilliSat,
    loopback::{Fault, LoopbackNode, WrongInvoice},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    pin::pin,
    sync::{Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};
use testkit::VirtualClock;
use tokio::sync::watch;

/// What every payment costs on top.
pub(crate) const FEE_MSAT: u64 = 21;
/// Most transactions on a page, whatever was asked for.
const PAGE_MAX: usize = 8;

/// An error of NIP-47.
pub(crate) type Failure = (&'static str, &'static str);

/// Invoices and payments.
pub(crate) struct Ledger {
    pub(crate) clock: VirtualClock,
    books: Mutex<Books>,
    /// Counts releases, for payments that are held.
    released: watch::Sender<u64>,
}

#[derive(Default)]
struct Books {
    transactions: Vec<Transaction>,
    strangers: HashMap<PaymentHash, Preimage>,
    made: u64,
    faults: Faults,
}

/// What goes wrong with money.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent faults")]
pub(crate) struct Faults {
    /// The next invoice is like this.
    pub(crate) wrong_invoice: Option<WrongInvoice>,
    /// There is no route.
    pub(crate) no_route: bool,
    /// There is no money.
    pub(crate) poor: bool,
    /// The next payment stays on its way.
    pub(crate) hold: bool,
    /// The next payment is answered with this error, and is on its way.
    pub(crate) early_error: Option<&'static str>,
    /// Every payment is answered with this error, and is not made.
    pub(crate) refusal: Option<&'static str>,
    /// The answer of the next payment proves nothing.
    pub(crate) proof: Option<NoProof>,
    /// It pays again what it has paid: NIP-47 does not forbid that.
    pub(crate) careless: bool,
    /// Records have no `state`, as in wallets before the field.
    pub(crate) stateless: bool,
}

/// How an answer proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoProof {
    /// It has no preimage.
    Missing,
    /// It has the preimage of something else.
    Another,
}

struct Transaction {
    incoming: bool,
    invoice: String,
    payment_hash: PaymentHash,
    preimage: Preimage,
    amount: u64,
    created_at: u64,
    expires_at: u64,
    state: &'static str,
    settled_at: u64,
}

/// A payment that was begun.
pub(crate) struct Begun {
    payment_hash: PaymentHash,
    hold: bool,
    proof: Option<NoProof>,
}

impl Ledger {
    pub(crate) fn new(clock: VirtualClock) -> Self {
        Self { clock, books: Mutex::default(), released: watch::Sender::new(0) }
    }

    /// Changes what goes wrong.
    pub(crate) fn fault(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.books().faults);
    }

    /// How many invoices were made.
    pub(crate) fn made(&self) -> usize {
        self.books().transactions.iter().filter(|one| one.incoming).count()
    }

    /// How often money moved for this hash, or is on its way.
    pub(crate) fn payment_count(&self, payment_hash: PaymentHash) -> usize {
        let books = self.books();
        let ours = books.transactions.iter().filter(|one| !one.incoming && one.payment_hash == payment_hash);
        ours.filter(|one| one.state != "failed").count()
    }

    /// Somebody pays an invoice; gives the preimage and what the wallet tells of it.
    pub(crate) fn settle(&self, payment_hash: PaymentHash) -> (Preimage, Value) {
        let now = self.clock.now();
        let mut books = self.books();
        let stateless = books.faults.stateless;
        let found =
            books.transactions.iter_mut().find(|one| one.incoming && one.payment_hash == payment_hash);
        let one = found.expect("an invoice of this wallet");
        assert!(one.state == "pending" && now < one.expires_at, "an invoice that can be paid");
        (one.state, one.settled_at) = ("settled", now);
        (one.preimage.clone(), one.shown(now, stateless))
    }

    /// A stranger's invoice that can be paid.
    pub(crate) fn invoice_of_a_stranger(&self, amount: MilliSat) -> Invoice {
        let mut books = self.books();
        let preimage = books.next_preimage(0x51);
        books.strangers.insert(preimage.payment_hash(), preimage.clone());
        let request = request(amount.as_msat(), "a stranger's", 600, preimage);
        Invoice::parse(&self.write(&request, 9, None)).expect("a right invoice")
    }

    /// Lets the payments that are on their way succeed.
    pub(crate) fn release(&self) {
        let now = self.clock.now();
        for one in self.books().transactions.iter_mut().filter(|one| !one.incoming && one.state == "pending")
        {
            (one.state, one.settled_at) = ("settled", now);
        }
        self.released.send_modify(|count| *count += 1);
    }

    /// `make_invoice`.
    pub(crate) fn make_invoice(&self, params: &Value) -> Result<Value, Failure> {
        let number = |name: &str| params[name].as_u64().ok_or(("OTHER", "a number is missing"));
        let (amount, expiry) = (number("amount")?, number("expiry")?);
        let description = params["description"].as_str().ok_or(("OTHER", "no description"))?;
        let now = self.clock.now();
        let mut books = self.books();
        let preimage = books.next_preimage(0x31);
        let payment_hash = preimage.payment_hash();
        let wrong = books.faults.wrong_invoice.take();
        let expiry_secs = u32::try_from(expiry).map_err(|_| ("OTHER", "too long an expiry"))?;
        let request = request(amount, description, expiry_secs, preimage.clone());
        let invoice = self.write(&request, 7, wrong);
        books.transactions.push(Transaction {
            incoming: true,
            invoice,
            payment_hash,
            preimage,
            amount,
            created_at: now,
            expires_at: now + expiry,
            state: "pending",
            settled_at: 0,
        });
        let stateless = books.faults.stateless;
        Ok(books.transactions.last().expect("the one just made").shown(now, stateless))
    }

    /// `lookup_invoice`.
    pub(crate) fn lookup_invoice(&self, params: &Value) -> Result<Value, Failure> {
        let hash = params["payment_hash"].as_str().and_then(|hash| hash.parse::<PaymentHash>().ok());
        let hash = hash.ok_or(("OTHER", "no payment hash"))?;
        let books = self.books();
        let mut found: Vec<&Transaction> =
            books.transactions.iter().filter(|one| one.payment_hash == hash).collect();
        // Settled ones first, else the newest.
        found.sort_by_key(|one| (one.settled_at, one.created_at));
        let newest = found.last().ok_or(("NOT_FOUND", "there is no such invoice"))?;
        Ok(newest.shown(self.clock.now(), books.faults.stateless))
    }

    /// `list_transactions`.
    pub(crate) fn list_transactions(&self, params: &Value) -> Value {
        let number = |name: &str, absent: u64| params[name].as_u64().unwrap_or(absent);
        let (from, until) = (number("from", 0), number("until", u64::MAX));
        let count = |name: &str, absent| usize::try_from(number(name, absent)).expect("a small number");
        let unpaid = params["unpaid"].as_bool().unwrap_or(false);
        let books = self.books();
        let listed = books.transactions.iter().rev().filter(|one| {
            let kind = if one.incoming { "incoming" } else { "outgoing" };
            (from..=until).contains(&one.created_at)
                && (unpaid || one.state == "settled")
                && params["type"].as_str().is_none_or(|wanted| wanted == kind)
        });
        let page = listed.skip(count("offset", 0)).take(count("limit", 10).min(PAGE_MAX));
        let stateless = books.faults.stateless;
        json!({ "transactions": page.map(|one| one.shown(self.clock.now(), stateless)).collect::<Vec<_>>() })
    }

    /// `pay_invoice`, until the payment is on its way.
    pub(crate) fn begin(&self, params: &Value) -> Result<Begun, Failure> {
        let text = params["invoice"].as_str().unwrap_or_default();
        let invoice = Invoice::parse(text).map_err(|_| ("OTHER", "no invoice"))?;
        let now = self.clock.now();
        let payment_hash = invoice.payment_hash();
        let mut books = self.books();
        let faults = books.faults;
        if let Some(code) = faults.refusal {
            return Err((code, "it was told to"));
        }
        if invoice.is_expired(now) {
            return Err(("PAYMENT_FAILED", "the invoice has expired"));
        }
        if faults.poor {
            return Err(("INSUFFICIENT_BALANCE", "there is not enough money"));
        }
        let ours = |one: &&Transaction| !one.incoming && one.payment_hash == payment_hash;
        if !faults.careless && books.transactions.iter().filter(ours).any(|one| one.state != "failed") {
            return Err(("INTERNAL", "this invoice was paid already, or is being paid"));
        }
        let preimage =
            books.strangers.get(&payment_hash).cloned().ok_or(("PAYMENT_FAILED", "unknown payee"))?;
        books.transactions.push(Transaction {
            incoming: false,
            invoice: text.to_owned(),
            payment_hash,
            preimage,
            amount: invoice.amount().ok_or(("OTHER", "no amount"))?.as_msat(),
            created_at: now,
            expires_at: invoice.expires_at(),
            state: if faults.no_route { "failed" } else { "pending" },
            settled_at: 0,
        });
        if faults.no_route {
            return Err(("PAYMENT_FAILED", "there is no route"));
        }
        books.faults.hold = false;
        books.faults.proof = None;
        match books.faults.early_error.take() {
            Some(code) => Err((code, "it was told to")),
            None => Ok(Begun { payment_hash, hold: faults.hold, proof: faults.proof }),
        }
    }

    /// `pay_invoice`, to its end.
    pub(crate) async fn finish(&self, begun: Begun) -> Value {
        if begun.hold {
            let mut released = self.released.subscribe();
            released.changed().await.expect("the ledger lives");
        }
        let now = self.clock.now();
        let mut books = self.books();
        let ours = books.transactions.iter_mut().rev();
        let mut ours = ours.filter(|one| !one.incoming && one.payment_hash == begun.payment_hash);
        let one = ours.next().expect("a payment that was begun");
        if one.state == "pending" {
            (one.state, one.settled_at) = ("settled", now);
        }
        match begun.proof {
            None => json!({ "preimage": hex::encode(one.preimage.as_bytes()), "fees_paid": FEE_MSAT }),
            Some(NoProof::Missing) => json!({ "fees_paid": FEE_MSAT }),
            Some(NoProof::Another) => json!({ "preimage": "5a".repeat(32), "fees_paid": FEE_MSAT }),
        }
    }

    /// Writes an invoice. Each comes from a loopback node of its own, which remembers nothing of the others.
    fn write(&self, request: &InvoiceRequest, key: u8, wrong: Option<WrongInvoice>) -> String {
        let node = LoopbackNode::new([key; 32], self.clock.as_fn());
        if let Some(wrong) = wrong {
            node.knobs().create().set(Fault::Wrong(wrong));
        }
        let mut text = pin!(node.create_text(request));
        match text.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(text) => text.expect("a request that the node can write"),
            Poll::Pending => panic!("a node without delays answers at once"),
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no panic under the lock")
    }
}

impl Books {
    fn next_preimage(&mut self, family: u8) -> Preimage {
        self.made += 1;
        let mut bytes = [family; 32];
        bytes[..8].copy_from_slice(&self.made.to_be_bytes());
        Preimage::from_bytes(bytes)
    }
}

impl Transaction {
    /// As NIP-47 writes it.
    fn shown(&self, now: u64, stateless: bool) -> Value {
        let late = self.incoming && self.state == "pending" && now >= self.expires_at;
        let settled = self.settled_at > 0;
        let mut shown = json!({
            "type": if self.incoming { "incoming" } else { "outgoing" },
            "state": if late { "expired" } else { self.state },
            "invoice": self.invoice,
            "payment_hash": self.payment_hash.to_string(),
            "amount": self.amount,
            "fees_paid": if self.incoming { 0 } else { FEE_MSAT },
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "metadata": {},
        });
        if settled {
            shown["settled_at"] = self.settled_at.into();
        }
        // NIP-47 lets a wallet tell the preimage of its own unpaid invoice.
        if settled || self.incoming {
            shown["preimage"] = hex::encode(self.preimage.as_bytes()).into();
        }
        if stateless {
            shown.as_object_mut().expect("an object").remove("state");
        }
        shown
    }
}

fn request(amount: u64, description: &str, expiry_secs: u32, preimage: Preimage) -> InvoiceRequest {
    InvoiceRequest {
        amount: MilliSat::from_msat(amount),
        expiry_secs,
        description: description.to_owned(),
        preimage: Some(preimage),
    }
}
