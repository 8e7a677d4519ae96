//! LNbits' REST API in memory, after LNbits 1.6.2: two wallets, and a Lightning network behind that knows strangers.

use crate::{
    front::{Asked, Behind, Clock, Reply},
    rigs::Wallets,
    scribe::{Description, Draft},
};
use l402::{PaymentHash, Preimage};
use l402_lightning::{BoxFuture, Invoice, MilliSat, Network};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};
use testkit::contract::{Lack, LackOf, NodeFault, PayFault};

const SELLER: usize = 0;
const BUYER: usize = 1;
const ONLOOKER: usize = 2;
/// Admin and invoice key of each wallet.
const KEYS: [(&str, &str); 3] = [
    ("a1d5e11e5a1d5e11e5a1d5e11e5a1d5e", "1a5e11e51a5e11e51a5e11e51a5e11e5"),
    ("a1db0e5a1db0e5a1db0e5a1db0e5a1db", "1ab0e51ab0e51ab0e51ab0e51ab0e51a"),
    ("a1d1009a1d1009a1d1009a1d1009a1d1", "1a1009ec1a1009ec1a1009ec1a1009ec"),
];
/// What LNbits reserves for routing by default, in msat.
const RESERVE_MSAT: u64 = 2_000;
const FEE_MSAT: i64 = -1_000;

/// The service.
pub(crate) struct Imitation {
    clock: Clock,
    books: Mutex<Books>,
}

/// What it knows and how it behaves.
pub(crate) struct Books {
    payments: Vec<Payment>,
    /// Invoices of nodes elsewhere.
    strangers: HashMap<PaymentHash, Preimage>,
    drawn: u64,
    fault: Option<PayFault>,
    /// It shows preimages of unpaid invoices, as LNbits 1.5 did.
    pub(crate) leaks: bool,
    /// Its payments have the names and the brevity of LNbits before 1.0.
    pub(crate) old_names: bool,
    /// Every request, in order.
    pub(crate) seen: Vec<Asked>,
}

#[derive(Clone)]
struct Payment {
    wallet: usize,
    hash: PaymentHash,
    amount: i64,
    fee: i64,
    status: &'static str,
    bolt11: String,
    memo: String,
    preimage: Option<Preimage>,
    labels: Vec<&'static str>,
}

impl Imitation {
    pub(crate) fn new(clock: Clock) -> Self {
        let (payments, strangers, seen) = (Vec::new(), HashMap::new(), Vec::new());
        let books =
            Books { payments, strangers, drawn: 0, fault: None, leaks: false, old_names: false, seen };
        Self { clock, books: Mutex::new(books) }
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("a sound lock")
    }

    fn reply(&self, asked: &Asked) -> Reply {
        let now = (self.clock)();
        let mut books = self.books();
        books.seen.push(asked.clone());
        let key = asked.header("x-api-key");
        let wallet = KEYS.iter().position(|(admin, invoice)| key == Some(*admin) || key == Some(*invoice));
        let path = asked.path().strip_prefix("/api/v1/").unwrap_or_default().to_owned();
        let result = match (asked.method.as_str(), path.as_str(), wallet) {
            ("GET", "payments/fee-reserve", _) => books.fee_reserve(asked.query("invoice")),
            ("GET", path, wallet) if path.starts_with("payments/") => {
                books.lookup(path.trim_start_matches("payments/"), wallet, now)
            }
            _ if key.is_none() => Err(error(401, "No Api Key provided.")),
            (_, _, None) => Err(error(404, "Wallet not found.")),
            ("GET", "wallet", Some(wallet)) => {
                let mut body = json!({ "name": "wallet", "balance": 1_000_000 });
                if key == Some(KEYS[wallet].0) {
                    body["id"] = json!(wallet.to_string());
                }
                Ok((200, body))
            }
            ("GET", "payments", Some(wallet)) => {
                let hash = asked.query("payment_hash").unwrap_or_default();
                Ok((200, json!(books.list(&hash, wallet))))
            }
            ("POST", "payments", Some(wallet)) => {
                let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
                match body["out"].as_bool() {
                    Some(true) if key == Some(KEYS[wallet].0) => {
                        books.pay(body["bolt11"].as_str().unwrap_or_default(), wallet, now)
                    }
                    Some(true) => Err(error(403, "Invoice (or Admin) key required.")),
                    _ => books.create(&body, wallet, now),
                }
            }
            _ => Err(error(404, "Not Found")),
        };
        let (status, body) = result.unwrap_or_else(|refusal| refusal);
        Reply::json(status, &body)
    }
}

impl Behind for Imitation {
    fn answer(&self, asked: Asked) -> BoxFuture<'_, Reply> {
        Box::pin(async move { self.reply(&asked) })
    }
}

type Answer = Result<(u16, Value), (u16, Value)>;

fn error(status: u16, detail: &str) -> (u16, Value) {
    (status, json!({ "detail": detail }))
}

fn payment_error(detail: &str, status: &str) -> (u16, Value) {
    (520, json!({ "detail": detail, "status": status }))
}

impl Books {
    fn draw(&mut self) -> Preimage {
        self.drawn += 1;
        let mut bytes = [0x1b; 32];
        bytes[..8].copy_from_slice(&self.drawn.to_be_bytes());
        Preimage::from_bytes(bytes)
    }

    fn create(&mut self, body: &Value, wallet: usize, now: u64) -> Answer {
        if wallet == ONLOOKER {
            return Err(payment_error("Wallet does not have permission to create invoices.", "failed"));
        }
        let (Some(sats), Some("sat")) =
            (body["amount"].as_u64().filter(|sats| *sats > 0), body["unit"].as_str())
        else {
            return Err(payment_error("Amountless invoices not supported.", "failed"));
        };
        let memo = body["memo"].as_str().unwrap_or("LNbits").to_owned();
        if memo.chars().count() > 640 {
            return Err((
                400,
                json!({ "detail": [{ "msg": "ensure this value has at most 640 characters" }] }),
            ));
        }
        let preimage = self.draw();
        let draft = Draft {
            network: Network::Regtest,
            amount: MilliSat::from_sat(sats).expect("an amount in its range"),
            payment_hash: preimage.payment_hash(),
            description: Description::Text(memo.clone()),
            created_at: now,
            expiry_secs: body["expiry"].as_u64().unwrap_or(3_600),
        };
        let payment = Payment {
            wallet,
            hash: draft.payment_hash,
            amount: i64::try_from(sats * 1_000).expect("an amount in its range"),
            fee: 0,
            status: "pending",
            bolt11: draft.write(),
            memo,
            preimage: Some(preimage),
            labels: Vec::new(),
        };
        self.payments.push(payment.clone());
        let mut shown = payment.shown();
        if self.old_names {
            shown = json!({ "payment_hash": payment.hash.to_string(), "payment_request": payment.bolt11 });
        }
        Ok((201, shown))
    }

    fn fee_reserve(&self, invoice: Option<String>) -> Answer {
        let invoice =
            Invoice::parse(&invoice.unwrap_or_default()).map_err(|_| error(400, "Invalid invoice"))?;
        let reserve = match self.fault {
            Some(PayFault::FeeAbove(least)) => least.as_msat() + 1,
            _ => RESERVE_MSAT.max(invoice.amount().map_or(0, MilliSat::as_msat) / 100),
        };
        Ok((200, json!({ "fee_reserve": reserve })))
    }

    /// A wallet's payment with this hash, the one that was made before the one that was received.
    fn find(&mut self, hash: &str, wallet: Option<usize>) -> Option<&mut Payment> {
        self.payments
            .iter_mut()
            .filter(|payment| {
                payment.hash.to_string() == hash && wallet.is_none_or(|own| own == payment.wallet)
            })
            .min_by_key(|payment| payment.amount)
    }

    fn lookup(&mut self, hash: &str, wallet: Option<usize>, now: u64) -> Answer {
        let leaks = self.leaks;
        let Some(payment) = self.find(hash, wallet) else {
            return Err(error(404, "Payment does not exist."));
        };
        let late = Invoice::parse(&payment.bolt11).expect("an invoice").is_expired(now);
        if late && payment.amount > 0 && payment.status == "pending" {
            payment.status = "failed";
            payment.labels.push("expired");
        }
        let paid = payment.status == "success";
        let preimage = payment.preimage.as_ref().filter(|_| paid || leaks).map(Preimage::reveal_hex);
        let mut body = json!({ "paid": paid, "preimage": preimage });
        if wallet.is_some() {
            body["status"] = json!(payment.status);
            body["details"] = payment.shown();
        }
        Ok((200, body))
    }

    fn list(&self, hash: &str, wallet: usize) -> Vec<Value> {
        let wanted = |payment: &&Payment| {
            payment.wallet == wallet && payment.hash.to_string() == hash && payment.status != "failed"
        };
        self.payments.iter().filter(wanted).map(Payment::shown).collect()
    }

    fn pay(&mut self, bolt11: &str, wallet: usize, now: u64) -> Answer {
        let refused = |detail| Err(payment_error(detail, "failed"));
        let Ok(invoice) = Invoice::parse(bolt11) else { return refused("Bolt11 decoding failed.") };
        let Some(amount) = invoice.amount() else { return refused("Amountless invoices not supported.") };
        let amount = -i64::try_from(amount.as_msat()).expect("an amount in its range");
        let hash = invoice.payment_hash();
        let mut payment = Payment {
            wallet,
            hash,
            amount,
            fee: FEE_MSAT,
            status: "pending",
            bolt11: bolt11.to_owned(),
            memo: String::new(),
            preimage: None,
            labels: Vec::new(),
        };
        let own = self.payments.iter_mut().find(|own| own.hash == hash && own.amount > 0);
        if matches!(self.fault, Some(PayFault::InsufficientBalance)) {
            return refused("Insufficient balance.");
        }
        if let Some(own) = own {
            if own.status == "success" {
                return refused("Internal invoice already paid.");
            }
            own.status = "success";
            (payment.fee, payment.status, payment.preimage) = (0, "success", own.preimage.clone());
            self.payments.push(payment.clone());
            return Ok((201, payment.shown()));
        }
        match self.payments.iter().find(|old| old.hash == hash).map(|old| old.status) {
            Some("pending") => return Err(payment_error("Payment is still pending.", "pending")),
            Some("success") => return Err(payment_error("Payment already paid.", "success")),
            _ => self.payments.retain(|old| old.hash != hash),
        }
        let problem = match self.fault {
            Some(PayFault::NoRoute) => Some("Payment failed: no_route"),
            _ if invoice.is_expired(now) => Some("Payment failed: invoice expired"),
            _ if invoice.network() != Network::Regtest => Some("Payment failed: wrong network"),
            _ => None,
        };
        let held = matches!(self.fault, Some(PayFault::Hold));
        payment.status = if problem.is_some() {
            "failed"
        } else if held {
            "pending"
        } else {
            "success"
        };
        payment.preimage = self.strangers.get(&hash).filter(|_| payment.status == "success").cloned();
        self.payments.push(payment.clone());
        if held {
            self.fault = None;
        }
        match problem {
            Some(detail) => refused(detail),
            None if self.old_names => Ok((201, json!({ "payment_hash": hash.to_string() }))),
            None => Ok((201, payment.shown())),
        }
    }
}

impl Payment {
    fn shown(&self) -> Value {
        json!({
            "checking_id": self.hash.to_string(),
            "payment_hash": self.hash.to_string(),
            "wallet_id": self.wallet.to_string(),
            "amount": self.amount,
            "fee": self.fee,
            "bolt11": self.bolt11,
            "payment_request": self.bolt11,
            "status": self.status,
            "memo": self.memo,
            "preimage": self.preimage.as_ref().map(Preimage::reveal_hex),
            "labels": self.labels,
        })
    }
}

impl Wallets for Imitation {
    const NETWORK: Network = Network::Regtest;
    const SELLER_LACKS: &[Lack] = &[
        Lack::of(LackOf::Fault(NodeFault::FeedCut), "there is no feed"),
        Lack::of(LackOf::Fault(NodeFault::FeedDuplicate), "there is no feed"),
        Lack::of(LackOf::Fault(NodeFault::FeedReorder), "there is no feed"),
        Lack::of(LackOf::Fault(NodeFault::FeedGap), "there is no feed"),
        Lack::of(LackOf::Fault(NodeFault::Locked), "LNbits does not tell of its funding source"),
        Lack::of(LackOf::Fault(NodeFault::Starting), "LNbits does not tell of its funding source"),
        Lack::of(LackOf::ChosenPreimage, "the funding source chooses"),
        Lack::of(LackOf::MilliSat, "amounts are in satoshis"),
        Lack::of(LackOf::Cancel, "only hold invoices can be cancelled, with the admin key"),
        Lack::of(LackOf::Feed, "invoices are looked up one by one"),
    ];
    const BUYER_LACKS: &[Lack] =
        &[Lack::of(LackOf::PayFault(PayFault::Locked), "LNbits does not tell of its funding source")];

    fn seller_key(&self) -> String {
        KEYS[SELLER].1.to_owned()
    }

    fn buyer_key(&self) -> String {
        KEYS[BUYER].0.to_owned()
    }

    fn buyer_invoice_key(&self) -> String {
        KEYS[BUYER].1.to_owned()
    }

    fn key_without_rights(&self) -> Option<String> {
        Some(KEYS[ONLOOKER].1.to_owned())
    }

    fn pay<'a>(&'a self, invoice: &'a Invoice) -> BoxFuture<'a, Preimage> {
        Box::pin(async move {
            let mut books = self.books();
            let answer =
                books.pay(invoice.text(), BUYER, (self.clock)()).expect("an invoice of this service");
            Preimage::from_hex(answer.1["preimage"].as_str().expect("a preimage").as_bytes()).expect("hex")
        })
    }

    fn invoice(&self, amount: MilliSat) -> Invoice {
        let mut books = self.books();
        let preimage = books.draw();
        let payment_hash = preimage.payment_hash();
        books.strangers.insert(payment_hash, preimage);
        let draft = Draft {
            network: Network::Regtest,
            amount,
            payment_hash,
            description: Description::Text("a stranger's goods".to_owned()),
            created_at: (self.clock)(),
            expiry_secs: 600,
        };
        Invoice::parse(&draft.write()).expect("an invoice")
    }

    fn payment_count(&self, hash: PaymentHash) -> usize {
        let made = |payment: &&Payment| {
            payment.hash == hash
                && payment.amount < 0
                && payment.wallet == BUYER
                && payment.status != "failed"
        };
        self.books().payments.iter().filter(made).count()
    }

    fn arm(&self, fault: Option<PayFault>) -> bool {
        self.books().fault = fault;
        true
    }

    fn release(&self) {
        let mut books = self.books();
        let Books { payments, strangers, .. } = &mut *books;
        for payment in payments.iter_mut().filter(|payment| payment.amount < 0 && payment.status == "pending")
        {
            payment.status = "success";
            payment.preimage = strangers.get(&payment.hash).cloned();
        }
    }
}
