//! A wallet behind Nostr Wallet Connect keeps the contract of a Lightning backend; and what is its own.
//!
//! Relay and wallet are imitations in this process, with real keys, signatures and encryption.

#![expect(clippy::expect_used, clippy::panic, reason = "a step that fails ends the test")]

mod imitation;
mod rig;

use imitation::client::Client;
use l402_lightning::{
    FailureReason, InvoiceRequest, InvoiceState, Invoicer, InvoicerError, MilliSat, Network, NotSent,
    OpenError, PayError, PayLimits, PaymentState, Settlement, UnknownCause,
};
use rig::Rig;
use std::time::Duration;

async fn rig() -> Rig {
    Rig::new()
}

testkit::seller_contract!(rig);
testkit::buyer_contract!(rig);

const PRICE: MilliSat = MilliSat::from_msat(10_001);
const LIMITS: PayLimits = PayLimits { fee_max: MilliSat::from_msat(1_000), timeout: Duration::from_secs(5) };
const HASTY: PayLimits = PayLimits { timeout: Duration::from_secs(1), ..LIMITS };

fn request() -> InvoiceRequest {
    InvoiceRequest {
        amount: PRICE,
        expiry_secs: 60,
        description: "weather of today".to_owned(),
        preimage: None,
    }
}

/// Asks until there is an answer that will do.
async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..100 {
        if let Some(found) = ask().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it has to come to pass by itself")
}

async fn told(seller: &dyn Invoicer, cursor: u64) -> Vec<Settlement> {
    let told = tokio::time::timeout(Duration::from_secs(20), seller.settlements(cursor)).await;
    told.expect("the feed has to tell").expect("settlements")
}

#[tokio::test]
async fn wallets_that_know_only_nip04_are_served() {
    for (offered, stateless) in [(Some("nip04"), false), (None, true)] {
        let rig = Rig::new();
        rig.service.change(|manners| manners.encryption = offered);
        rig.service.ledger.fault(|faults| faults.stateless = stateless);
        let seller = rig.seller();
        let hash = seller.create(request()).await.unwrap().payment_hash();
        assert_eq!(seller.lookup(hash).await, Ok(InvoiceState::Open));
        rig.pay(hash, 1);
        assert_eq!(seller.lookup(hash).await, Ok(InvoiceState::Settled { amount: PRICE }));
        assert_eq!(told(&*seller, 0).await[0].payment_hash, hash);
        let buyer = rig.buyer().await;
        let invoice = rig.service.ledger.invoice_of_a_stranger(PRICE);
        let paid = buyer.pay(&invoice, LIMITS).await.unwrap();
        assert_eq!((paid.amount, paid.fee.as_msat()), (PRICE, imitation::ledger::FEE_MSAT));
        let state = buyer.lookup(invoice.payment_hash()).await;
        assert!(matches!(state, Ok(PaymentState::Succeeded(_))), "{state:?}");
    }
}

#[tokio::test]
async fn a_wallet_with_an_unknown_encryption_is_not_guessed_at() {
    let rig = Rig::new();
    rig.service.change(|manners| manners.encryption = Some("nip99"));
    let error = rig.seller().create(request()).await.unwrap_err();
    assert_eq!(error, InvoicerError::Garbled { field: "encryption" });
}

#[tokio::test]
async fn what_a_relay_forges_is_not_believed() {
    let rig = Rig::new();
    let (seller, buyer) = (rig.seller(), rig.buyer().await);
    rig.service.change(|manners| manners.noise = true);
    let hash = seller.create(request()).await.unwrap().payment_hash();
    assert_eq!(seller.lookup(hash).await, Ok(InvoiceState::Open));
    let invoice = rig.service.ledger.invoice_of_a_stranger(PRICE);
    let paid = buyer.pay(&invoice, LIMITS).await.unwrap();
    assert_eq!(paid.preimage.payment_hash(), invoice.payment_hash());
}

#[tokio::test]
async fn many_requests_share_one_connection() {
    let rig = Rig::new();
    let seller = rig.seller();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let seller = std::sync::Arc::clone(&seller);
        tasks.spawn(async move { seller.create(request()).await });
    }
    while let Some(created) = tasks.join_next().await {
        assert!(created.expect("no panic").is_ok());
    }
    assert_eq!((rig.service.ledger.made(), rig.hub.connections()), (40, 1));
}

#[tokio::test]
async fn the_next_relay_is_tried_when_one_is_down() {
    let rig = Rig::new();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let relays = [format!("ws://{gone}"), rig.relay()];
    let seller = Rig::seller_by(Rig::uri(Client::Seller, &relays)).unwrap();
    assert!(seller.create(request()).await.is_ok());
}

#[tokio::test]
async fn a_relay_that_takes_no_request_is_named() {
    let rig = Rig::new();
    let (seller, buyer) = (rig.seller(), rig.buyer().await);
    rig.hub.refuse(Some("blocked: not here"));
    let Err(InvoicerError::Refused { message }) = seller.create(request()).await else {
        panic!("the relay refused");
    };
    assert_eq!(message.as_raw(), "the relay: blocked: not here");
    let invoice = rig.service.ledger.invoice_of_a_stranger(PRICE);
    let refused = buyer.pay(&invoice, LIMITS).await.unwrap_err();
    assert!(matches!(refused, PayError::NotSent(NotSent::Refused { .. })), "{refused:?}");
    rig.hub.refuse(None);
    assert!(buyer.pay(&invoice, LIMITS).await.is_ok());
}

#[tokio::test]
async fn settlements_of_the_same_second_are_told_once_each_across_a_restart() {
    let rig = Rig::new();
    let seller = rig.seller();
    let mut hashes = Vec::new();
    for _ in 0..12 {
        hashes.push(seller.create(request()).await.unwrap().payment_hash());
    }
    for hash in &hashes {
        rig.pay(*hash, 0);
    }
    let all = told(&*seller, 0).await;
    assert!(all.is_sorted_by(|one, other| one.index < other.index), "places rise: {all:?}");
    let mut found: Vec<_> = all.iter().map(|one| one.payment_hash).collect();
    found.sort_by_key(|hash| *hash.as_bytes());
    hashes.sort_by_key(|hash| *hash.as_bytes());
    assert_eq!(found, hashes);
    let rest = told(&*rig.seller(), all[4].index).await;
    assert_eq!(rest, all[5..], "an adapter that is new goes on in the middle of the second");
}

#[tokio::test]
async fn a_feed_that_waits_does_not_ask_over_and_over() {
    let rig = Rig::new();
    let seller = rig.seller();
    let hash = seller.create(request()).await.unwrap().payment_hash();
    let waiting = tokio::spawn({
        let seller = std::sync::Arc::clone(&seller);
        async move { told(&*seller, 0).await }
    });
    eventually(async || (rig.service.looks() > 0).then_some(())).await;
    rig.pay(hash, 1);
    let cursor = waiting.await.expect("no panic")[0].index;
    let before = rig.service.looks();
    let quiet = tokio::time::timeout(Duration::from_millis(500), seller.settlements(cursor)).await;
    assert!(quiet.is_err(), "nothing more was settled: {quiet:?}");
    assert!(
        rig.service.looks() <= before + 4,
        "{} looks while nothing happened",
        rig.service.looks() - before
    );
}

#[tokio::test]
async fn a_request_that_lay_about_too_long_is_not_carried_out() {
    let rig = Rig::new();
    let buyer = rig.buyer().await;
    let invoice = rig.service.ledger.invoice_of_a_stranger(PRICE);
    let hash = invoice.payment_hash();
    rig.service.sleep(true);
    let error = buyer.pay(&invoice, HASTY).await.unwrap_err();
    assert_eq!(error, PayError::OutcomeUnknown(UnknownCause::Timeout));
    assert_eq!(buyer.pay(&invoice, HASTY).await.unwrap_err(), PayError::AlreadyKnown);
    // As long as the wallet may still take it up it is not called unknown.
    let end = eventually(async || match buyer.lookup(hash).await {
        Ok(PaymentState::InFlight) => None,
        other => Some(other),
    });
    assert!(matches!(end.await, Ok(PaymentState::Unknown)));
    rig.service.sleep(false);
    assert_eq!(rig.service.ledger.payment_count(hash), 0);
    assert!(buyer.pay(&invoice, LIMITS).await.is_ok());
    assert_eq!(rig.service.ledger.payment_count(hash), 1);
}

#[tokio::test]
async fn a_wallet_that_would_pay_twice_is_not_asked_twice() {
    let rig = Rig::new();
    rig.service.ledger.fault(|faults| faults.careless = true);
    let buyer = rig.buyer().await;
    let invoice = rig.service.ledger.invoice_of_a_stranger(PRICE);
    let (one, two) = tokio::join!(buyer.pay(&invoice, LIMITS), buyer.pay(&invoice, LIMITS));
    assert_eq!([one.is_ok(), two.is_ok()], [true, false]);
    for buyer in [buyer, rig.buyer().await] {
        assert_eq!(buyer.pay(&invoice, LIMITS).await.unwrap_err(), PayError::AlreadyKnown);
    }
    assert_eq!(rig.service.ledger.payment_count(invoice.payment_hash()), 1);
}

#[tokio::test]
async fn a_wallet_whose_clock_is_ahead_pays_all_the_same() {
    let rig = Rig::new();
    rig.service.go_ahead(240);
    let buyer = rig.buyer().await;
    let invoice = rig.service.ledger.invoice_of_a_stranger(PRICE);
    assert!(buyer.pay(&invoice, HASTY).await.is_ok());
}

#[tokio::test]
async fn an_error_is_no_failure_while_the_payment_is_on_its_way() {
    for code in ["PAYMENT_FAILED", "INTERNAL", "OTHER", "NEVER_HEARD_OF"] {
        let rig = Rig::new();
        let buyer = rig.buyer().await;
        let invoice = rig.service.ledger.invoice_of_a_stranger(PRICE);
        rig.service.ledger.fault(|faults| faults.early_error = Some(code));
        assert_eq!(buyer.pay(&invoice, LIMITS).await.unwrap_err(), PayError::AlreadyKnown, "{code}");
        let state = buyer.lookup(invoice.payment_hash()).await;
        assert!(matches!(state, Ok(PaymentState::InFlight)), "{code}: {state:?}");
        rig.service.ledger.release();
        let state = buyer.lookup(invoice.payment_hash()).await;
        assert!(matches!(state, Ok(PaymentState::Succeeded(_))), "{code}: {state:?}");
        assert_eq!(rig.service.ledger.payment_count(invoice.payment_hash()), 1);
    }
}

#[tokio::test]
async fn every_refusal_to_pay_says_as_much_as_is_certain() {
    let forbidden = NotSent::Forbidden { permission: "pay_invoice" };
    let unknown = PayError::OutcomeUnknown(UnknownCause::WalletFailed);
    for (code, expected) in [
        ("QUOTA_EXCEEDED", PayError::NotSent(NotSent::Overloaded)),
        ("RATE_LIMITED", PayError::NotSent(NotSent::Overloaded)),
        ("INSUFFICIENT_BALANCE", PayError::NotSent(NotSent::InsufficientBalance)),
        ("RESTRICTED", PayError::NotSent(forbidden.clone())),
        ("NOT_IMPLEMENTED", PayError::NotSent(forbidden)),
        ("UNAUTHORIZED", PayError::NotSent(NotSent::Unauthorized)),
        ("PAYMENT_FAILED", PayError::Failed(FailureReason::Other)),
        ("NOT_FOUND", unknown.clone()),
        ("INTERNAL", unknown.clone()),
        ("OTHER", unknown),
    ] {
        let rig = Rig::new();
        let buyer = rig.buyer().await;
        let invoice = rig.service.ledger.invoice_of_a_stranger(PRICE);
        rig.service.ledger.fault(|faults| faults.refusal = Some(code));
        assert_eq!(buyer.pay(&invoice, LIMITS).await.unwrap_err(), expected, "{code}");
    }
}

#[tokio::test]
async fn an_invoice_of_the_wallets_own_is_no_payment() {
    let rig = Rig::new();
    let (seller, buyer) = (rig.seller(), rig.buyer().await);
    let invoice = seller.create(request()).await.unwrap();
    rig.pay(invoice.payment_hash(), 1);
    let state = buyer.lookup(invoice.payment_hash()).await;
    assert!(matches!(state, Ok(PaymentState::Unknown)), "{state:?}");
    assert_eq!(buyer.pay(&invoice, LIMITS).await.unwrap_err(), PayError::AlreadyKnown);
}

#[tokio::test]
async fn the_network_is_the_wallets_or_has_to_be_named() {
    let rig = Rig::new();
    let uri = || Rig::uri(Client::Buyer, &[rig.relay()]);
    let other = Rig::buyer_by(uri(), Some(Network::Mainnet)).await.err().expect("another network");
    assert!(matches!(other, OpenError::Form { setting: "network", .. }), "{other}");
    rig.service.change(|manners| manners.network = None);
    let none = Rig::buyer_by(uri(), None).await.err().expect("no network");
    assert!(matches!(none, OpenError::Missing("network")), "{none}");
    let named = Rig::buyer_by(uri(), Some(Network::Regtest)).await.expect("a network");
    assert_eq!(named.capabilities().network, Some(Network::Regtest));
    assert_eq!(rig.seller().probe().await.unwrap().network, None);
}

#[tokio::test]
async fn what_is_missing_is_found_before_a_sale() {
    let rig = Rig::new();
    let less = Rig::seller_by(Rig::uri(Client::SellerWithoutMakeInvoice, &[rig.relay()])).unwrap();
    assert_eq!(less.probe().await, Err(InvoicerError::Forbidden { permission: "make_invoice" }));
    let uri = Rig::uri(Client::BuyerWithoutPayInvoice, &[rig.relay()]);
    let error = Rig::buyer_by(uri, None).await.err().expect("it may not pay");
    let forbidden = NotSent::Forbidden { permission: "pay_invoice" };
    assert!(matches!(error, OpenError::NotReady(why) if why == forbidden));
}
