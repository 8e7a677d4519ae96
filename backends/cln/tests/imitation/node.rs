//! lightningd and clnrest. Written from the schemas in `doc/schemas` and from the documents of clnrest.

use super::{
    rune,
    server::{Node, Reply},
};
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
    time::{Duration, UNIX_EPOCH},
};
use testkit::VirtualClock;
use tokio::sync::watch;

/// An error of lightningd.
pub(super) type Failure = (i64, String);

/// A Core Lightning node.
pub(crate) struct ClnNode {
    pub(super) clock: VirtualClock,
    pub(super) records: Mutex<Records>,
    /// Counts what happened, for those who wait for something.
    pub(super) news: watch::Sender<u64>,
}

/// What lies under the lock.
#[derive(Default)]
pub(super) struct Records {
    pub(super) invoices: Vec<InvoiceRecord>,
    pub(super) made: usize,
    pub(super) paid: u64,
    pub(super) pays: HashMap<PaymentHash, Vec<Pay>>,
    /// Invoices of others that can be paid, and what paying reveals.
    pub(super) strangers: HashMap<PaymentHash, Preimage>,
    pub(super) made_by_strangers: u64,
    pub(super) faults: Faults,
}

/// What goes wrong.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent faults")]
pub(crate) struct Faults {
    /// The next invoice is like this.
    pub(crate) wrong_invoice: Option<WrongInvoice>,
    /// The answer of the next `invoice` is lost.
    pub(crate) lose_invoice: bool,
    /// The next feed, or the open one, is cut.
    pub(crate) cut_feed: bool,
    /// `getinfo` warns.
    pub(crate) behind: bool,
    /// There is no route.
    pub(crate) no_route: bool,
    /// Every route costs one millisatoshi more than this.
    pub(crate) fee_above: Option<MilliSat>,
    /// The next payment stays on its way.
    pub(crate) hold: bool,
    /// The answer of the next payment is lost.
    pub(crate) lose_payment: bool,
    /// The answer of the next payment proves nothing.
    pub(crate) proof: Option<NoProof>,
    /// The next `xpay` fails with this code while its one part is still on its way.
    pub(crate) early_error: Option<i64>,
}

/// How an answer proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoProof {
    /// It has no preimage.
    Missing,
    /// It has the preimage of something else.
    Another,
}

pub(super) struct InvoiceRecord {
    pub(super) label: String,
    pub(super) payment_hash: PaymentHash,
    pub(super) preimage: Preimage,
    pub(super) text: String,
    pub(super) amount: u64,
    pub(super) expires_at: u64,
    pub(super) paid: Option<Payment>,
}

#[derive(Clone, Copy)]
pub(super) struct Payment {
    pub(super) index: u64,
    pub(super) at: u64,
    pub(super) amount: u64,
}

#[derive(Clone)]
pub(super) struct Pay {
    pub(super) status: &'static str,
    pub(super) began_at: u64,
    pub(super) amount: u64,
    pub(super) fee: u64,
}

impl ClnNode {
    /// A node without invoices and payments.
    pub(crate) fn new(clock: VirtualClock) -> Self {
        Self { clock, records: Mutex::default(), news: watch::Sender::new(0) }
    }

    /// Changes what goes wrong.
    pub(crate) fn fault(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.lock().faults);
        self.tell();
    }

    /// Takes every fault back.
    pub(crate) fn heal(&self) {
        self.fault(|faults| *faults = Faults::default());
    }

    /// How many invoices were made.
    pub(crate) fn made(&self) -> usize {
        self.lock().made
    }

    /// The labels of the invoices that there are.
    pub(crate) fn labels(&self) -> Vec<String> {
        self.lock().invoices.iter().map(|record| record.label.clone()).collect()
    }

    /// Somebody pays an invoice, `over` millisatoshis more than it asks for.
    pub(crate) fn settle(&self, payment_hash: PaymentHash, over: u64) -> Preimage {
        let at = self.clock.now();
        let mut records = self.lock();
        records.paid += 1;
        let index = records.paid;
        let record = records.invoices.iter_mut().find(|record| record.payment_hash == payment_hash);
        let record = record.expect("an invoice of this node");
        assert!(record.paid.is_none() && at < record.expires_at, "an invoice that can be paid");
        record.paid = Some(Payment { index, at, amount: record.amount + over });
        let preimage = record.preimage.clone();
        drop(records);
        self.tell();
        preimage
    }

    /// A stranger's invoice that this node can pay.
    pub(crate) fn invoice_of_a_stranger(&self, amount: MilliSat) -> Invoice {
        let mut records = self.lock();
        records.made_by_strangers += 1;
        let preimage = numbered(0x51, records.made_by_strangers);
        records.strangers.insert(preimage.payment_hash(), preimage.clone());
        drop(records);
        self.stranger(amount, preimage)
    }

    /// A stranger's invoice that the stranger will refuse.
    pub(crate) fn invoice_to_be_refused(&self, amount: MilliSat) -> Invoice {
        self.stranger(amount, Preimage::from_bytes([0x77; 32]))
    }

    /// Lets the payments that are on their way succeed.
    pub(crate) fn release(&self) {
        for pay in self.lock().pays.values_mut().flatten().filter(|pay| pay.status == "pending") {
            pay.status = "complete";
        }
        self.tell();
    }

    /// How often money moved for this hash, or is on its way.
    pub(crate) fn payment_count(&self, payment_hash: PaymentHash) -> usize {
        let records = self.lock();
        let pays = records.pays.get(&payment_hash).into_iter().flatten();
        pays.filter(|pay| pay.status != "failed").count()
    }

    fn stranger(&self, amount: MilliSat, preimage: Preimage) -> Invoice {
        let request = InvoiceRequest {
            amount,
            expiry_secs: 600,
            description: "a stranger's".to_owned(),
            preimage: Some(preimage),
        };
        Invoice::parse(&self.write(&request, 9, None)).expect("a right invoice")
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

    pub(super) fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().expect("no panic under this lock")
    }

    pub(super) fn tell(&self) {
        self.news.send_modify(|count| *count += 1);
    }

    async fn call(&self, method: &str, params: &Value) -> Result<Value, Ending> {
        match method {
            "getinfo" => Ok(self.info()),
            "invoice" => self.invoice(params),
            "listinvoices" => Ok(self.list_invoices(params)?),
            "delinvoice" => Ok(self.delete(params)?),
            "waitanyinvoice" => self.wait_any(params).await,
            "xpay" => self.xpay(params).await,
            "listpays" => Ok(self.list_pays(params)?),
            _ => Err(Ending::Failed((-32601, format!("Unknown command '{method}'")))),
        }
    }

    fn info(&self) -> Value {
        let mut info = json!({
            "id": "02".repeat(33),
            "alias": "SILENTARTIST",
            "version": "v25.05",
            "blockheight": 110,
            "network": "regtest",
        });
        if self.lock().faults.behind {
            info["warning_lightningd_sync"] = "Still loading latest blocks from bitcoind.".into();
        }
        info
    }
}

impl Node for ClnNode {
    fn answer(self: Arc<Self>, request: Request<Bytes>) -> BoxFuture<'static, Reply> {
        Box::pin(async move {
            let method = request.uri().path().strip_prefix("/v1/").unwrap_or_default().to_owned();
            let params: Value = serde_json::from_slice(request.body()).unwrap_or_else(|_| json!({}));
            let rune = request.headers().get("rune").and_then(|rune| rune.to_str().ok());
            let (status, body) = if request.method() != Method::POST {
                (StatusCode::METHOD_NOT_ALLOWED, failure((-32601, "Wrong http method".to_owned())))
            } else if let Some(rune) = rune {
                match rune::check(rune, &method) {
                    Err(refused) => (StatusCode::UNAUTHORIZED, failure(refused)),
                    Ok(()) => match self.call(&method, &params).await {
                        Ok(result) => (StatusCode::CREATED, result),
                        Err(Ending::Cut) => return Reply::Cut,
                        Err(Ending::Failed(failed)) => {
                            let unknown = failed.0 == -32601;
                            let status = if unknown {
                                StatusCode::NOT_FOUND
                            } else {
                                StatusCode::INTERNAL_SERVER_ERROR
                            };
                            (status, failure(failed))
                        }
                    },
                }
            } else {
                (StatusCode::FORBIDDEN, failure((1501, "Not authorized: Missing rune".to_owned())))
            };
            Reply::Answer(self.response(status, &body))
        })
    }
}

impl ClnNode {
    fn response(&self, status: StatusCode, body: &Value) -> Response<Bytes> {
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(self.clock.now()));
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::DATE, date)
            .body(Bytes::from(body.to_string()))
            .expect("a right response")
    }
}

/// Why a call has no result.
pub(super) enum Ending {
    Failed(Failure),
    Cut,
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A preimage that nothing else in this world has.
pub(super) fn numbered(kind: u8, number: u64) -> Preimage {
    let mut bytes = [kind; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Preimage::from_bytes(bytes)
}

fn failure((code, message): Failure) -> Value {
    json!({ "code": code, "message": message })
}
