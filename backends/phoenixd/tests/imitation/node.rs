//! The daemon: passwords, records, and the way to both sides of its API. Written from
//! <https://phoenix.acinq.co/server/api>.

use super::server::{Node, Reply};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hyper::{Method, Request, Response, StatusCode, header};
use l402::{PaymentHash, Preimage};
use l402_lightning::{
    BoxFuture, Invoice, InvoiceRequest, MilliSat,
    loopback::{Fault, LoopbackNode, WrongInvoice},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};
use testkit::VirtualClock;
use tokio::sync::{broadcast, watch};

/// `http-password`.
pub(crate) const FULL: &str = "7b0c3f1e9a5d4c8286f2e1d0b9a8c7d6";
/// `http-password-limited-access`.
pub(crate) const LIMITED: &str = "21436587a9cbed0ff0debc9a78563412";
/// Another daemon's.
pub(crate) const FOREIGN: &str = "deadbeef00112233445566778899aabb";

/// A phoenixd.
pub(crate) struct PhoenixdNode {
    pub(super) clock: VirtualClock,
    pub(super) records: Mutex<Records>,
    /// What goes out on the websockets; `None` breaks them.
    pub(super) events: broadcast::Sender<Option<String>>,
    /// Counts what became of payments, for those who wait.
    pub(super) news: watch::Sender<u64>,
}

/// What lies under the lock.
#[derive(Default)]
pub(super) struct Records {
    pub(super) incoming: Vec<Incoming>,
    /// Milliseconds within the second at which the next payment is completed.
    pub(super) millis: u64,
    pub(super) looks: usize,
    pub(super) outgoing: Vec<Outgoing>,
    /// Invoices of others that can be paid, and what paying reveals.
    pub(super) strangers: HashMap<PaymentHash, Preimage>,
    pub(super) held_event: Option<String>,
    pub(super) faults: Faults,
}

/// What goes wrong.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent faults")]
pub(crate) struct Faults {
    /// The next invoice is like this.
    pub(crate) wrong_invoice: Option<WrongInvoice>,
    /// The answer of the next `createinvoice` is lost.
    pub(crate) lose_invoice: bool,
    /// The next websocket is cut.
    pub(crate) cut_socket: bool,
    /// Events go out twice.
    pub(crate) twice: bool,
    /// The next event goes out after the one that follows it.
    pub(crate) reorder: bool,
    /// Events go out never.
    pub(crate) mute: bool,
    /// There is no websocket.
    pub(crate) no_socket: bool,
    /// The chain's tip is not known yet.
    pub(crate) no_tip: bool,
    /// Payments fail with these words.
    pub(crate) failure: Option<&'static str>,
    /// The next payment stays on its way.
    pub(crate) hold: bool,
    /// The answer of the next payment is lost.
    pub(crate) lose_payment: bool,
    /// The answer of the next payment proves nothing.
    pub(crate) proof: Option<NoProof>,
}

/// How an answer proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoProof {
    /// It has no preimage.
    Missing,
    /// It has the preimage of something else.
    Another,
}

/// A payment that was asked for.
#[derive(Clone)]
pub(super) struct Incoming {
    pub(super) payment_hash: PaymentHash,
    pub(super) preimage: Preimage,
    pub(super) text: String,
    pub(super) amount_sat: u64,
    pub(super) received_sat: u64,
    pub(super) expires_at: u64,
    pub(super) completed_at: Option<u64>,
}

/// A payment that was ordered.
#[derive(Clone)]
pub(super) struct Outgoing {
    pub(super) payment_hash: PaymentHash,
    pub(super) text: String,
    pub(super) amount: MilliSat,
    pub(super) status: Status,
}

/// How far a payment is; the greater, the further.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    Failed,
    Pending,
    Succeeded,
}

/// What a request comes to.
pub(super) enum Outcome {
    Object(Value),
    Text(StatusCode, &'static str),
    Cut,
}

impl PhoenixdNode {
    /// A daemon without payments.
    pub(crate) fn new(clock: VirtualClock) -> Self {
        Self {
            clock,
            records: Mutex::default(),
            events: broadcast::Sender::new(64),
            news: watch::Sender::new(0),
        }
    }

    /// Changes what goes wrong.
    pub(crate) fn fault(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.lock().faults);
    }

    /// Takes every fault back.
    pub(crate) fn heal(&self) {
        let held = {
            let mut records = self.lock();
            records.faults = Faults::default();
            records.held_event.take()
        };
        if let Some(held) = held {
            self.send(held);
        }
    }

    /// How many websockets are open.
    pub(crate) fn listeners(&self) -> usize {
        self.events.receiver_count()
    }

    /// How often the list of received payments was asked for.
    pub(crate) fn looks(&self) -> usize {
        self.lock().looks
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().expect("no panic under this lock")
    }

    /// Writes an invoice. Each comes from a loopback node of its own, which remembers nothing of the others.
    pub(super) fn write(&self, request: &InvoiceRequest, key: u8, wrong: Option<WrongInvoice>) -> String {
        let node = LoopbackNode::new([key; 32], self.clock.as_fn());
        if let Some(wrong) = wrong {
            node.knobs().create().set(Fault::Wrong(wrong));
        }
        let mut text = pin!(node.create_text(request));
        match text.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(text) => text.expect("a request that the node can write"),
            Poll::Pending => panic!("a loopback node without a delay answers at once"),
        }
    }

    /// A stranger's invoice that can be paid.
    pub(crate) fn invoice_of_a_stranger(&self, amount: MilliSat) -> Invoice {
        let mut records = self.lock();
        let preimage = numbered(0x51, records.strangers.len());
        records.strangers.insert(preimage.payment_hash(), preimage.clone());
        drop(records);
        let request = InvoiceRequest {
            amount,
            expiry_secs: 600,
            description: "a stranger's".to_owned(),
            preimage: Some(preimage),
        };
        Invoice::parse(&self.write(&request, 9, None)).expect("a right invoice")
    }

    async fn route(&self, request: &Request<Bytes>, full: bool) -> Outcome {
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        let form = fields(std::str::from_utf8(request.body()).unwrap_or_default());
        let query = fields(request.uri().query().unwrap_or_default());
        match (request.method(), path.as_slice()) {
            (&Method::GET, ["getinfo"]) => Outcome::Object(self.info()),
            (&Method::POST, ["createinvoice"]) => self.create_invoice(&form),
            (&Method::GET, ["payments", "incoming"]) => Outcome::Object(self.list_incoming(&query)),
            (&Method::GET, ["payments", "incoming", hash]) => self.incoming(hash),
            (&Method::GET, ["payments", "outgoingbyhash", hash]) => self.outgoing(hash),
            (&Method::POST, ["payinvoice"]) if !full => unauthorized(),
            (&Method::POST, ["payinvoice"]) => self.pay_invoice(&form).await,
            _ => Outcome::Text(StatusCode::NOT_FOUND, "Unknown endpoint (check api doc)"),
        }
    }

    fn info(&self) -> Value {
        let mut info = json!({
            "nodeId": "02".repeat(33),
            "channels": [],
            "chain": "regtest",
            "blockHeight": 110,
            "version": "0.8.0",
        });
        if self.lock().faults.no_tip
            && let Some(info) = info.as_object_mut()
        {
            info.remove("blockHeight");
        }
        info
    }
}

impl Node for PhoenixdNode {
    fn answer(self: Arc<Self>, mut request: Request<Bytes>) -> BoxFuture<'static, Reply> {
        Box::pin(async move {
            let outcome = match password(&request).as_deref() {
                Some(FULL | LIMITED) if request.uri().path() == "/websocket" => {
                    return self.open_socket(&mut request);
                }
                Some(FULL) => self.route(&request, true).await,
                Some(LIMITED) => self.route(&request, false).await,
                _ => unauthorized(),
            };
            let answer = Response::builder();
            Reply::Answer(match outcome {
                Outcome::Cut => return Reply::Cut,
                Outcome::Object(value) => answer
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(Bytes::from(serde_json::to_vec_pretty(&value).expect("JSON")))
                    .expect("a right response"),
                Outcome::Text(status, text) => {
                    answer.status(status).body(Bytes::from_static(text.as_bytes())).expect("a right response")
                }
            })
        })
    }
}

fn unauthorized() -> Outcome {
    Outcome::Text(
        StatusCode::UNAUTHORIZED,
        "Invalid authentication (use basic auth with the http password set in phoenix.conf)",
    )
}

/// The password of Basic authentication, which comes without a user.
fn password(request: &Request<Bytes>) -> Option<String> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let pair = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    Some(String::from_utf8(pair).ok()?.strip_prefix(':')?.to_owned())
}

/// The fields of a form or a query.
fn fields(text: &str) -> HashMap<String, String> {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// `application/x-www-form-urlencoded` as text.
fn decoded(text: &str) -> String {
    let (mut bytes, mut out) = (text.bytes(), Vec::new());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next(), bytes.next()].map(|digit| digit.expect("two digits"));
                let digits = std::str::from_utf8(&digits).expect("digits");
                u8::from_str_radix(digits, 16).expect("digits")
            }
            other => other,
        });
    }
    String::from_utf8(out).expect("text")
}

/// A preimage that nothing else in this world has.
pub(super) fn numbered(kind: u8, number: usize) -> Preimage {
    let mut bytes = [kind; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    Preimage::from_bytes(bytes)
}
