//! A Lightning node that fails, hangs, lies or panics: no invoice gets out, and who has paid is served.

use crate::{
    caller::{Caller, Reply, ask_once, get, paid},
    stage::{Purse, both, config, everything, offers, parsed, telemetry},
};
use l402::PaymentHash;
use l402_lightning::{
    BoxFuture, Invoice, InvoiceRequest, InvoiceState, Invoicer, InvoicerCapabilities, InvoicerError,
    MilliSat, Network, NodeStatus, PayLimits, Payer as _, Settlement,
    loopback::{Fault, LoopbackNode, When, WrongInvoice},
};
use octroi::{edge::unix_secs, gateway::Gateway, start::RunningNode};
use serde_json::json;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use testkit::{Reply as Script, Upstream};

/// A gateway that is paid by a node of the test's own.
struct Paid {
    gateway: Gateway,
    upstream: Upstream,
    _folder: TempDir,
}

async fn paid_by(node: Arc<dyn Invoicer>) -> Paid {
    let upstream = Upstream::start(Script::text("sunny"));
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config(json!([everything(&upstream.url())]));
    config["lightning"]["timeout"] = json!("200ms");
    let config = parsed(&config, folder.path());
    let telemetry = telemetry(&config);
    let node = RunningNode::of(node);
    let gateway = Gateway::start_with_node(config, node, telemetry, 1).await.expect("a gateway");
    Paid { gateway, upstream, _folder: folder }
}

impl Paid {
    fn address(&self) -> SocketAddr {
        self.gateway.addresses()[0]
    }

    /// Asks and pays the node itself.
    async fn credential(&self, node: &LoopbackNode) -> String {
        let refused = ask_once(self.address(), get("/")).await;
        let offer = offers(&refused.headers).remove(0);
        let invoice = Invoice::parse(&offer.invoice).expect("an invoice");
        let limits = PayLimits { fee_max: MilliSat::ZERO, timeout: Duration::from_secs(5) };
        let paid = node.pay(&invoice, limits).await.expect("paid");
        Purse { token: offer.token, preimage: paid.preimage }.credential()
    }
}

fn loopback() -> Arc<LoopbackNode> {
    Arc::new(LoopbackNode::new([7; 32], Arc::new(unix_secs)))
}

/// What a client gets while nothing can be sold: when to come back, and nothing that could be paid.
fn assert_closed(reply: &Reply, what: &str) {
    assert_eq!((reply.status.as_u16(), reply.reason().as_str()), (503, "node_unavailable"), "{what}");
    let retry: u64 = reply.header("retry-after").and_then(|secs| secs.parse().ok()).expect("a number");
    assert!((1..=5).contains(&retry), "{what}: {retry}");
    assert_eq!(reply.header("www-authenticate"), None, "{what}");
    let all = format!("{:?} {}", reply.headers, reply.text());
    assert!(!all.contains("lnbc") && !all.contains("macaroon"), "{what}: {all}");
}

#[tokio::test]
async fn a_node_that_fails_hangs_or_lies_sells_nothing_and_holds_up_nobody_who_paid() {
    let node = loopback();
    let stage = paid_by(node.clone()).await;
    let credential = stage.credential(&node).await;
    let wrong = [
        WrongInvoice::Network(Network::Mainnet),
        WrongInvoice::Network(Network::Signet),
        WrongInvoice::Amount(MilliSat::from_msat(9_999)),
        WrongInvoice::Amount(MilliSat::from_msat(10_001)),
        WrongInvoice::NoAmount,
        WrongInvoice::SubMilliSatoshi,
        WrongInvoice::AmountTooLarge,
        WrongInvoice::PaymentHash,
        WrongInvoice::ExpirySecs(1),
        WrongInvoice::ExpirySecs(86_400),
        WrongInvoice::Expired,
        WrongInvoice::CreatedAt(1),
        WrongInvoice::Description,
        WrongInvoice::Signature,
    ];
    let faults = [
        Fault::Fail(When::Before),
        Fault::Fail(When::After),
        Fault::Hang(When::Before),
        Fault::Hang(When::After),
        Fault::Cut(When::Before),
        Fault::Cut(When::After),
    ];
    let mut served = 0;
    for fault in faults.into_iter().chain(wrong.into_iter().map(Fault::Wrong)) {
        node.knobs().create().set(fault);
        let mut caller = Caller::http1(stage.address()).await;
        assert_closed(&caller.get("/").await, &format!("{fault:?}"));
        assert_eq!(caller.ask(paid("/", &credential)).await.text(), "sunny", "{fault:?}");
        served += 1;
    }
    assert_eq!(stage.upstream.count(), served);
    node.knobs().clear();
    sells_again(stage.address()).await;
}

/// The node is tried again by itself, within a few seconds.
async fn sells_again(address: SocketAddr) {
    for _ in 0..200 {
        if ask_once(address, get("/")).await.status == 402 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never sold again");
}

/// The node says that it has this invoice already, as after an answer that was lost: that invoice is sold.
#[tokio::test]
async fn an_invoice_that_the_node_had_made_already_is_sold() {
    let node = loopback();
    let stage = paid_by(node.clone()).await;
    node.knobs().create().set(Fault::Duplicate);
    let credential = stage.credential(&node).await;
    assert_eq!(ask_once(stage.address(), paid("/", &credential)).await.text(), "sunny");
    assert_eq!(node.payments().len(), 1);
}

/// Once a node is known to be gone it is left alone: the answer comes at once, and no customer's request is the probe.
#[tokio::test]
async fn a_node_that_is_gone_is_asked_by_nobody_until_it_is_back() {
    let node = loopback();
    let stage = paid_by(node.clone()).await;
    sells_again(stage.address()).await;
    node.knobs().create().set(Fault::Cut(When::Before));
    node.knobs().probe().set(Fault::Cut(When::Before));
    assert_closed(&ask_once(stage.address(), get("/")).await, "the call that finds out");
    let asked = node.calls().create;
    for round in 0..50 {
        assert_closed(&ask_once(stage.address(), get("/")).await, &format!("round {round}"));
    }
    assert_eq!(node.calls().create, asked);
    let report = ask_once(stage.gateway.ops().expect("ops"), get("/readyz")).await;
    let report: serde_json::Value = serde_json::from_str(report.text()).expect("JSON");
    assert_eq!((&report["ready"], &report["parts"]["node"]["state"]), (&json!(true), &json!("down")));
    assert!(report["parts"]["node"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{report}");
    node.knobs().clear();
    sells_again(stage.address()).await;
}

/// One request waits for the node; others on the same thread and the same connection do not.
#[tokio::test]
async fn a_hanging_node_is_waited_for_by_its_own_request_only() {
    let node = loopback();
    let stage = paid_by(node.clone()).await;
    let credential = stage.credential(&node).await;
    node.knobs().create().set(Fault::Hang(When::Before));
    let Caller::Http2(mut waiting) = Caller::http2(stage.address()).await else { unreachable!("made so") };
    let mut other = waiting.clone();
    let ask = http::Request::get("http://api.example.com/");
    let hanging = waiting.send_request(ask.body(crate::payload::Payload::empty()).expect("a request"));
    let mut hanging = Box::pin(hanging);
    let ask = http::Request::get("http://api.example.com/").header("authorization", &credential);
    let served = other.send_request(ask.body(crate::payload::Payload::empty()).expect("a request"));
    tokio::select! {
        biased;
        early = &mut hanging => panic!("{early:?} before the paid one"),
        served = served => assert_eq!(served.expect("an answer").status(), 200),
    }
    assert_eq!(hanging.await.expect("an answer").status(), 503);
}

/// Panics when it is asked for an invoice, as a library deep below may.
struct Panicking(AtomicUsize);

impl Invoicer for Panicking {
    fn capabilities(&self) -> InvoicerCapabilities {
        Invoicer::capabilities(&*loopback())
    }

    fn create(&self, _: InvoiceRequest) -> BoxFuture<'_, Result<Invoice, InvoicerError>> {
        Box::pin(async {
            tokio::task::yield_now().await;
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("this panic is part of the test");
        })
    }

    fn lookup(&self, _: PaymentHash) -> BoxFuture<'_, Result<InvoiceState, InvoicerError>> {
        Box::pin(async { Err(InvoicerError::Unreachable) })
    }

    fn open_invoice(&self, _: PaymentHash) -> BoxFuture<'_, Result<Option<Invoice>, InvoicerError>> {
        Box::pin(async { Err(InvoicerError::Unreachable) })
    }

    fn cancel(&self, _: PaymentHash) -> BoxFuture<'_, Result<(), InvoicerError>> {
        Box::pin(async { Err(InvoicerError::Unreachable) })
    }

    fn probe(&self) -> BoxFuture<'_, Result<NodeStatus, InvoicerError>> {
        Box::pin(async { Ok(NodeStatus::default()) })
    }

    fn settlements(&self, _: u64) -> BoxFuture<'_, Result<Vec<Settlement>, InvoicerError>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_panic_ends_its_own_request_and_nothing_else() {
    let panicking = Arc::new(Panicking(AtomicUsize::new(0)));
    let upstream = Upstream::start(Script::Events);
    let folder = tempfile::tempdir().expect("a folder");
    let mut service = everything(&upstream.url());
    service["routes"] = json!([{ "path": "/free", "access": "free" }]);
    let config = parsed(&config(json!([service])), folder.path());
    let telemetry = telemetry(&config);
    let node = RunningNode::of(panicking.clone());
    let gateway = Gateway::start_with_node(config, node, telemetry, 1).await.expect("a gateway");
    let address = gateway.addresses()[0];
    let mut streaming = Caller::http2(address).await;
    let mut stream = streaming.send(get("/free")).await.expect("a head");
    for round in 1..=3 {
        for mut caller in both(address).await {
            let reply = caller.ask(get("/")).await;
            assert_eq!((reply.status.as_u16(), reply.body.len()), (500, 0));
        }
        // Beside it on the same connection, too.
        assert_eq!(streaming.get("/").await.status, 500);
        assert_eq!(panicking.0.load(Ordering::SeqCst), 3 * round);
        upstream.push("still here");
        let frame =
            http_body_util::BodyExt::frame(stream.body_mut()).await.expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data"), "still here");
    }
    upstream.reply(Script::text("sunny"));
    assert_eq!(ask_once(address, get("/free")).await.text(), "sunny");
}

/// However many ask, the node is called within the budget, and only for who may buy.
#[tokio::test]
async fn anonymous_crowds_reach_the_node_within_the_budget() {
    let node = loopback();
    let upstream = Upstream::start(Script::text("sunny"));
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config(json!([everything(&upstream.url())]));
    config["limits"]["mint"] = json!({ "per_network": "20/h" });
    let config = parsed(&config, folder.path());
    let telemetry = telemetry(&config);
    let running = RunningNode::of(node.clone());
    let gateway = Gateway::start_with_node(config, running, telemetry, 2).await.expect("a gateway");
    let mut callers = both(gateway.addresses()[0]).await;
    for attempt in 0..500 {
        for caller in &mut callers {
            let target = format!("/{attempt}?token={attempt}");
            let status = caller.ask(paid(&target, &format!("Bearer {attempt}"))).await.status.as_u16();
            assert!(matches!(status, 402 | 429), "{status}");
        }
    }
    assert_eq!((node.calls().create, upstream.count()), (20, 0));
}
