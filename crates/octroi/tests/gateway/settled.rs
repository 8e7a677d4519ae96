//! `settlement: settled`: a proof opens nothing before the node knows the payment, and the gateway never forgets what
//! the node said.

use crate::{
    caller::{ask_once, get, paid},
    stage::{Purse, Stage, config, everything, offers, parsed, telemetry},
};
use l402::Offer;
use l402_lightning::{
    Invoice, Invoicer, MilliSat, PayLimits, Payer as _,
    loopback::{Fault, LoopbackNode, When, WrongState},
};
use l402_paywall::{KeyFile, KeyRing, SettlementStore as _};
use l402_store_sqlite::SqliteStore;
use octroi::{edge::unix_secs, gateway::Gateway, start::RunningNode};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Duration};
use testkit::{Reply as Script, Upstream};

fn settled(upstream: &str) -> Value {
    let mut config = config(json!([everything(upstream)]));
    config["lightning"]["settlement"] = json!("settled");
    config["lightning"]["timeout"] = json!("300ms");
    config
}

/// Asks again and again, for ten seconds.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came true that {what}");
}

/// What somebody holds who has read the preimage on the node, or derived it from the gateway's key, and paid nothing.
fn unpaid(folder: &Path, offer: &Offer) -> Purse {
    let keys = KeyFile::load(&folder.join("data/keys")).expect("the keys");
    let preimage = KeyRing::new(&keys).preimage_key().preimage(&offer.identifier.token_id);
    assert_eq!(preimage.payment_hash(), offer.identifier.payment_hash);
    Purse { token: offer.token.clone(), preimage }
}

struct Shop {
    gateway: Gateway,
    node: Arc<LoopbackNode>,
}

impl Shop {
    async fn open(folder: &Path, upstream: &Upstream) -> Self {
        Self::open_with(folder, &settled(&upstream.url())).await
    }

    async fn open_with(folder: &Path, config: &Value) -> Self {
        let node = Arc::new(LoopbackNode::new([9; 32], Arc::new(unix_secs)));
        let config = parsed(config, folder);
        let telemetry = telemetry(&config);
        let running = RunningNode::of(Arc::clone(&node) as Arc<dyn Invoicer>);
        let gateway = Gateway::start_with_node(config, running, telemetry, 1).await.expect("a gateway");
        Self { gateway, node }
    }

    async fn offer(&self) -> Offer {
        offers(&ask_once(self.gateway.addresses()[0], get("/")).await.headers).remove(0)
    }

    async fn present(&self, purse: &Purse) -> crate::caller::Reply {
        ask_once(self.gateway.addresses()[0], paid("/", &purse.credential())).await
    }

    async fn pay(&self, offer: &Offer) {
        let invoice = Invoice::parse(&offer.invoice).expect("an invoice");
        let limits = PayLimits { fee_max: MilliSat::ZERO, timeout: Duration::from_secs(5) };
        self.node.pay(&invoice, limits).await.expect("paid");
    }
}

#[tokio::test]
async fn a_right_preimage_opens_nothing_before_the_payment_and_everything_after_it() {
    let upstream = Upstream::start(Script::text("sunny"));
    let stage = Stage::open(&settled(&upstream.url())).await;
    let offer = offers(&ask_once(stage.address(), get("/")).await.headers).remove(0);
    let purse = unpaid(stage.folder.path(), &offer);
    for _ in 0..3 {
        let reply = ask_once(stage.address(), paid("/", &purse.credential())).await;
        assert_eq!((reply.status.as_u16(), reply.reason().as_str()), (402, "unsettled"), "{}", reply.text());
        let again = offers(&reply.headers);
        assert_eq!((&again[0].token, &again[0].invoice), (&offer.token, &offer.invoice));
    }
    assert_eq!(upstream.count(), 0);
    crate::stage::pay(stage.gateway.wallet().expect("a wallet"), &offer).await;
    eventually("it is served", async || {
        ask_once(stage.address(), paid("/", &purse.credential())).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn what_the_node_said_once_holds_after_a_restart_even_if_the_node_has_forgotten() {
    let upstream = Upstream::start(Script::text("sunny"));
    let folder = tempfile::tempdir().expect("a folder");
    let shop = Shop::open(folder.path(), &upstream).await;
    let offer = shop.offer().await;
    let purse = unpaid(folder.path(), &offer);
    shop.pay(&offer).await;
    eventually("it is served", async || shop.present(&purse).await.status == 200).await;
    shop.gateway.drain().await;

    let shop = Shop::open(folder.path(), &upstream).await;
    shop.node.knobs().lookup().set(Fault::Hang(When::Before));
    assert_eq!(shop.present(&purse).await.text(), "sunny");
}

#[tokio::test]
async fn while_the_node_cannot_be_asked_nobody_new_gets_in_and_nobody_known_is_kept_out() {
    let upstream = Upstream::start(Script::text("sunny"));
    let folder = tempfile::tempdir().expect("a folder");
    let shop = Shop::open(folder.path(), &upstream).await;
    let (known, other) = (shop.offer().await, shop.offer().await);
    let (known_purse, other_purse) = (unpaid(folder.path(), &known), unpaid(folder.path(), &other));
    shop.pay(&known).await;
    eventually("it is served", async || shop.present(&known_purse).await.status == 200).await;
    for fault in [Fault::Fail(When::Before), Fault::Hang(When::Before), Fault::Cut(When::After)] {
        shop.node.knobs().lookup().set(fault);
        let reply = shop.present(&other_purse).await;
        assert_eq!((reply.status.as_u16(), reply.reason().as_str()), (503, "node_unavailable"), "{fault:?}");
        assert!(reply.header("retry-after").is_some() && reply.header("www-authenticate").is_none());
        assert_eq!(shop.present(&known_purse).await.status, 200, "{fault:?}");
    }
    shop.node.knobs().lookup().set(Fault::Wrong(WrongState::Unknown));
    eventually("the node says that it knows nothing", async || {
        shop.present(&other_purse).await.reason() == "unsettled"
    })
    .await;
}

/// Whatever proves a payment: the buyer gets what it was sold, and what came on top is written down, once.
#[tokio::test]
async fn what_is_paid_beyond_the_price_is_written_down_in_both_modes() {
    let upstream = Upstream::start(Script::text("sunny"));
    for settlement in ["preimage", "settled"] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("rune"), "cnVuZQ==").expect("written");
        let mut config = settled(&upstream.url());
        config["lightning"] = json!({
            "backend": "cln",
            "network": "regtest",
            "settlement": settlement,
            "cln": { "address": "https://127.0.0.1:1", "rune": "./rune" },
        });
        let shop = Shop::open_with(folder.path(), &config).await;
        let (exact, overpaid) = (shop.offer().await, shop.offer().await);
        shop.pay(&exact).await;
        shop.node.knobs().set_surplus(MilliSat::from_msat(3_001));
        shop.pay(&overpaid).await;
        let purse = unpaid(folder.path(), &overpaid);
        assert_eq!(shop.present(&purse).await.text(), "sunny", "{settlement}");
        let ops = shop.gateway.ops().expect("an ops listener");
        let has =
            async |line: &str| ask_once(ops, get("/metrics")).await.text().lines().any(|one| one == line);
        eventually("it is counted", async || has("octroi_overpaid_msat_total 3001").await).await;
        assert!(has("octroi_settled_msat_total 23001").await && has("octroi_settlements_total 2").await);
        shop.gateway.drain().await;
        let totals = SqliteStore::open(&folder.path().join("data/ledger.sqlite")).expect("a store");
        let totals = totals.totals().await.expect("totals");
        assert_eq!((totals.count, totals.overpaid, totals.excess.as_msat()), (2, 1, 3_001), "{settlement}");
    }
}

/// With the keys in a secret, nothing else makes the data folder.
#[tokio::test]
async fn the_ledger_needs_no_key_file_beside_it() {
    let upstream = Upstream::start(Script::text("sunny"));
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    KeyFile::generate(0, &mut |bytes| bytes.fill(7)).create(&secret).expect("keys");
    let mut config = settled(&upstream.url());
    config["keys"] = json!({ "secret": "file:secret" });
    let stage = Stage::open_in(folder, &config, 1).await;
    let offer = offers(&ask_once(stage.address(), get("/")).await.headers).remove(0);
    let purse = crate::stage::pay(stage.gateway.wallet().expect("a wallet"), &offer).await;
    let reply = ask_once(stage.address(), paid("/", &purse.credential())).await;
    assert_eq!(reply.text(), "sunny");
    assert!(stage.folder.path().join("data/ledger.sqlite").exists());
}

#[tokio::test]
async fn a_token_whose_invoice_has_ended_is_offered_a_new_one() {
    let upstream = Upstream::start(Script::text("sunny"));
    let folder = tempfile::tempdir().expect("a folder");
    let shop = Shop::open(folder.path(), &upstream).await;
    let offer = shop.offer().await;
    let purse = unpaid(folder.path(), &offer);
    shop.node.cancel(offer.identifier.payment_hash).await.expect("cancelled");
    let reply = shop.present(&purse).await;
    assert_eq!((reply.status.as_u16(), reply.reason().as_str()), (402, "unsettled"));
    assert_ne!(offers(&reply.headers)[0].invoice, offer.invoice);
    assert_eq!(upstream.count(), 0);
}
