//! An LNURL-pay service as LUD-06, LUD-12, LUD-16 and LUD-21 describe it, with faults.

use crate::{
    front::{Asked, Behind, Clock, Reply},
    scribe::{Description, Draft},
};
use l402::{PaymentHash, Preimage};
use l402_lightning::{BoxFuture, MilliSat, Network};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

/// Seconds that its invoices may be paid for, whatever anybody would like.
pub(crate) const EXPIRY_SECS: u64 = 900;

const METADATA: &str = "[[\"text/identifier\",\"shop@example.com\"],[\"text/plain\",\"Weather, 天気\"]]";

/// The service.
pub(crate) struct Site {
    clock: Clock,
    books: Mutex<Books>,
}

/// What it knows and how it behaves.
pub(crate) struct Books {
    /// `http://127.0.0.1:port`.
    pub(crate) base: String,
    pub(crate) manners: Manners,
    /// The next invoice is changed so.
    pub(crate) lie: Option<fn(&mut Draft)>,
    invoices: HashMap<PaymentHash, Entry>,
    /// Every request's target, in order.
    pub(crate) seen: Vec<String>,
}

/// How it behaves.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    pub(crate) verify: Verify,
    /// The document's callback, if not its own.
    pub(crate) callback: Option<String>,
    /// Unpaid invoices' preimages are shown.
    pub(crate) leaks: bool,
    /// Every invoice is called settled.
    pub(crate) flatters: bool,
    /// The document is elsewhere.
    pub(crate) redirects: bool,
    /// The document is this large.
    pub(crate) padding: usize,
    pub(crate) most_msat: u64,
}

/// Where it says that invoices are asked for.
#[derive(Clone, Debug)]
pub(crate) enum Verify {
    ByHash,
    ById,
    None,
    At(String),
    Forgotten,
}

struct Entry {
    id: usize,
    preimage: Preimage,
    text: String,
    comment: Option<String>,
    settled: bool,
}

impl Site {
    pub(crate) fn new(clock: Clock) -> Self {
        let manners = Manners {
            verify: Verify::ByHash,
            callback: None,
            leaks: false,
            flatters: false,
            redirects: false,
            padding: 0,
            most_msat: 100_000_000_000,
        };
        let (invoices, seen) = (HashMap::new(), Vec::new());
        let books = Books { base: String::new(), manners, lie: None, invoices, seen };
        Self { clock, books: Mutex::new(books) }
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("a sound lock")
    }

    /// Invoices for which it was told what they are for: not those that only teach where to ask.
    pub(crate) fn sold(&self) -> usize {
        self.books().invoices.values().filter(|entry| entry.comment.is_some()).count()
    }

    /// Invoices in all.
    pub(crate) fn issued(&self) -> usize {
        self.books().invoices.len()
    }

    /// Somebody pays.
    pub(crate) fn settle(&self, hash: PaymentHash) -> Preimage {
        let mut books = self.books();
        let entry = books.invoices.get_mut(&hash).expect("an invoice of this service");
        entry.settled = true;
        entry.preimage.clone()
    }

    fn reply(&self, asked: &Asked) -> Reply {
        let mut books = self.books();
        books.seen.push(asked.target.clone());
        if asked.method != "GET" {
            return Reply::json(405, &json!({}));
        }
        match asked.path().trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
            [".well-known", "lnurlp", "shop"] if books.manners.redirects => Reply {
                status: 302,
                headers: vec![("location", format!("{}/moved", books.base))],
                body: Vec::new(),
            },
            [".well-known", "lnurlp", "shop"] | ["moved"] => Reply::json(200, &books.document()),
            ["callback"] => Reply::json(200, &books.invoice(asked, (self.clock)())),
            ["verify", hash] => {
                let entry = hash.parse().ok().and_then(|hash: PaymentHash| books.invoices.get(&hash));
                books.state(entry)
            }
            ["check", id] => books.state(books.invoices.values().find(|entry| entry.id.to_string() == id)),
            _ => Reply::json(404, &refusal("no such user")),
        }
    }
}

impl Behind for Site {
    fn answer(&self, asked: Asked) -> BoxFuture<'_, Reply> {
        Box::pin(async move { self.reply(&asked) })
    }
}

impl Books {
    fn document(&self) -> Value {
        json!({
            "tag": "payRequest",
            "callback": self.manners.callback.clone().unwrap_or_else(|| format!("{}/callback?user=1", self.base)),
            "minSendable": 1,
            "maxSendable": self.manners.most_msat,
            "metadata": METADATA,
            "commentAllowed": 64,
            "padding": "x".repeat(self.manners.padding),
        })
    }

    fn invoice(&mut self, asked: &Asked, now: u64) -> Value {
        let amount = asked.query("amount").and_then(|amount| amount.parse().ok()).unwrap_or(0);
        if asked.query("user").as_deref() != Some("1") || !(1..=self.manners.most_msat).contains(&amount) {
            return refusal("the amount is out of range");
        }
        let id = self.invoices.len();
        let mut secret = [0x77; 32];
        secret[..8].copy_from_slice(&id.to_be_bytes());
        secret[8..16].copy_from_slice(&now.to_be_bytes());
        let preimage = Preimage::from_bytes(secret);
        let hash = preimage.payment_hash();
        let mut draft = Draft {
            network: Network::Regtest,
            amount: MilliSat::from_msat(amount),
            payment_hash: hash,
            description: Description::Hash(Sha256::digest(METADATA.as_bytes()).into()),
            created_at: now,
            expiry_secs: EXPIRY_SECS,
        };
        if let Some(lie) = self.lie.take() {
            lie(&mut draft);
        }
        let text = draft.write();
        let verify = match &self.manners.verify {
            Verify::None => Value::Null,
            Verify::ByHash | Verify::Forgotten => json!(format!("{}/verify/{hash}", self.base)),
            Verify::ById => json!(format!("{}/check/{id}", self.base)),
            Verify::At(url) => json!(url),
        };
        let comment = asked.query("comment");
        let entry = Entry { id, preimage, text: text.clone(), comment, settled: false };
        self.invoices.insert(hash, entry);
        json!({ "status": "OK", "routes": [], "pr": text, "verify": verify })
    }

    fn state(&self, entry: Option<&Entry>) -> Reply {
        let Some(entry) = entry.filter(|_| !matches!(self.manners.verify, Verify::Forgotten)) else {
            return Reply::json(404, &refusal("Not found"));
        };
        let settled = entry.settled || self.manners.flatters;
        let preimage = (settled || self.manners.leaks).then(|| entry.preimage.reveal_hex());
        let state = json!({ "status": "OK", "settled": settled, "preimage": preimage, "pr": entry.text });
        Reply::json(200, &state)
    }
}

fn refusal(reason: &str) -> Value {
    json!({ "status": "ERROR", "reason": reason })
}
