//! The seller's side against a real lnd. Ignored unless asked for:
//!
//! ```text
//! LND_ADDRESS=https://127.0.0.1:10009 LND_CERTIFICATE=/…/tls.cert LND_MACAROON=/…/invoice.macaroon \
//!     cargo test -p l402-lnd --test live -- --ignored --nocapture
//! ```
//!
//! `LND_NETWORK` is the node's network (default: regtest). It makes invoices, and withdraws them. With
//! `LND_PAYER_ADDRESS`, `LND_PAYER_CERTIFICATE` and `LND_PAYER_MACAROON`, another lnd with a channel to the first pays
//! 1,000 sat; the network then has to be regtest.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a step that fails ends the test")]

use l402::{PaymentHash, Preimage};
use l402_lightning::{
    Expected, InvoiceRequest, InvoiceState, Invoicer, InvoicerError, MilliSat, Network, PayLimits,
    SettingValue, Settings, Terms, check,
};
use l402_lnd::BACKEND;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use testkit::{SeededEntropy, VirtualClock};

const UNSET: &str = "a live test was asked for, and the variables that name the node are not set; see the head of tests/live.rs";

fn settings(address: &str, certificate: &str, macaroon: &str) -> Settings {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{UNSET}: {name}"));
    let network = std::env::var("LND_NETWORK").map_or(Network::Regtest, |name| name.parse().unwrap());
    Settings::new(Some(network))
        .with("address", SettingValue::Text(variable(address)))
        .with("certificate", SettingValue::File(variable(certificate).into()))
        .with("macaroon", SettingValue::File(variable(macaroon).into()))
}

fn seller() -> (Arc<dyn Invoicer>, Settings) {
    let settings = settings("LND_ADDRESS", "LND_CERTIFICATE", "LND_MACAROON");
    (BACKEND.invoicer.unwrap()(&settings).unwrap(), settings)
}

fn now() -> u64 {
    VirtualClock::following_the_system().now()
}

/// Preimages that no earlier run used.
#[expect(clippy::disallowed_methods, reason = "a live node remembers the preimages of earlier runs")]
fn entropy() -> SeededEntropy {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    SeededEntropy::new(since.as_secs() << 30 | u64::from(since.subsec_nanos()))
}

fn request(preimage: Preimage, msat: u64) -> InvoiceRequest {
    InvoiceRequest {
        amount: MilliSat::from_msat(msat),
        expiry_secs: 600,
        description: "a live test".to_owned(),
        preimage: Some(preimage),
    }
}

#[tokio::test]
#[ignore = "needs a real lnd: LND_ADDRESS, LND_CERTIFICATE, LND_MACAROON"]
async fn an_invoice_lives_and_is_withdrawn() {
    let (seller, settings) = seller();
    println!("{:?}", seller.probe().await.unwrap());
    let preimage = Preimage::from_bytes(entropy().bytes32());
    let hash = preimage.payment_hash();
    let request = request(preimage, 1_234);
    assert_eq!(seller.lookup(hash).await, Ok(InvoiceState::Unknown));
    let invoice = seller.create(request.clone()).await.unwrap();
    let network = settings.network.unwrap();
    let expected = Expected { request: &request, network, now: now(), terms: Terms::Caller };
    check(&invoice, &expected).unwrap();
    assert_eq!(seller.create(request.clone()).await, Ok(invoice.clone()));
    let other = InvoiceRequest { amount: MilliSat::from_msat(1), ..request.clone() };
    assert_eq!(seller.create(other).await, Err(InvoicerError::Duplicate));
    assert_eq!(seller.lookup(hash).await, Ok(InvoiceState::Open));
    assert_eq!(seller.open_invoice(hash).await, Ok(Some(invoice)));
    for _ in 0..2 {
        seller.cancel(hash).await.unwrap();
    }
    seller.cancel(PaymentHash::from_bytes(entropy().bytes32())).await.unwrap();
    assert_eq!(seller.lookup(hash).await, Ok(InvoiceState::Cancelled));
    assert_eq!(seller.open_invoice(hash).await, Ok(None));
    assert_eq!(seller.create(request).await, Err(InvoicerError::Duplicate));
}

#[tokio::test]
#[ignore = "needs a real lnd: LND_ADDRESS, LND_CERTIFICATE, LND_MACAROON"]
async fn an_invoice_expires() {
    let (seller, _) = seller();
    let preimage = Preimage::from_bytes(entropy().bytes32());
    let hash = preimage.payment_hash();
    seller.create(InvoiceRequest { expiry_secs: 1, ..request(preimage, 1_000) }).await.unwrap();
    let expired = async {
        while seller.lookup(hash).await != Ok(InvoiceState::Expired) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), expired).await.unwrap();
}

#[tokio::test]
#[ignore = "needs a real lnd: LND_ADDRESS and so on, and one that pays: LND_PAYER_ADDRESS and so on"]
async fn a_payment_is_told_from_any_cursor() {
    let (seller, settings) = seller();
    assert_eq!(settings.network, Some(Network::Regtest), "only play money is paid");
    let payer = self::settings("LND_PAYER_ADDRESS", "LND_PAYER_CERTIFICATE", "LND_PAYER_MACAROON");
    let payer = BACKEND.payer.unwrap()(payer).await.unwrap();
    let limits = PayLimits { fee_max: MilliSat::from_msat(10_000), timeout: Duration::from_secs(20) };
    let entropy = entropy();
    let mut cursor = 0;
    for _ in 0..3 {
        let preimage = Preimage::from_bytes(entropy.bytes32());
        let hash = preimage.payment_hash();
        let invoice = seller.create(request(preimage, 333_333)).await.unwrap();
        let paid = payer.pay(&invoice, limits).await.unwrap();
        assert_eq!(paid.preimage.payment_hash(), hash);
        // The same adapter goes on, and a new one begins anew or where the old one stands.
        for (seller, from) in
            [(Arc::clone(&seller), cursor), (self::seller().0, 0), (self::seller().0, cursor)]
        {
            let found = async {
                let mut at = from;
                loop {
                    let settlements = seller.settlements(at).await.unwrap();
                    assert!(settlements.is_sorted_by_key(|settlement| settlement.index));
                    at = settlements.last().unwrap().index;
                    if let Some(found) = settlements.iter().find(|found| found.payment_hash == hash) {
                        break *found;
                    }
                }
            };
            let found = tokio::time::timeout(Duration::from_mins(1), found).await.unwrap();
            assert_eq!(found.amount, MilliSat::from_msat(333_333));
            assert!(found.settled_at.abs_diff(now()) < 60);
            if from == cursor {
                println!("settlement {} told from cursor {from}", found.index);
            }
        }
        assert_eq!(
            seller.lookup(hash).await,
            Ok(InvoiceState::Settled { amount: MilliSat::from_msat(333_333) })
        );
        assert!(matches!(seller.cancel(hash).await, Err(InvoicerError::Refused { .. })));
        while let Ok(settlements) =
            tokio::time::timeout(Duration::from_millis(500), seller.settlements(cursor)).await
        {
            cursor = settlements.unwrap().last().unwrap().index;
        }
    }
}

/// How many invoices a second come through the adapter, with 1, 16 and 64 calls at a time from two runtimes.
#[test]
#[ignore = "needs a real lnd: LND_ADDRESS, LND_CERTIFICATE, LND_MACAROON"]
#[expect(clippy::disallowed_methods, reason = "this is what is measured; nothing is asserted of it")]
fn invoices_a_second() {
    let (seller, _) = seller();
    let entropy = Arc::new(entropy());
    for calls in [1_usize, 16, 64] {
        let started = Instant::now();
        let threads: Vec<_> = [calls.div_ceil(2), calls / 2]
            .map(|calls| {
                let (seller, entropy) = (Arc::clone(&seller), Arc::clone(&entropy));
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(tokio::task::LocalSet::new().run_until(async {
                        let tasks = (0..calls).map(|_| {
                            let (seller, entropy) = (Arc::clone(&seller), Arc::clone(&entropy));
                            tokio::task::spawn_local(async move {
                                let mut waits = Vec::new();
                                while started.elapsed() < Duration::from_secs(5) {
                                    let asked = Instant::now();
                                    let preimage = Preimage::from_bytes(entropy.bytes32());
                                    seller.create(request(preimage, 1_000)).await.unwrap();
                                    waits.push(asked.elapsed());
                                }
                                waits
                            })
                        });
                        let mut waits = Vec::new();
                        for task in tasks.collect::<Vec<_>>() {
                            waits.extend(task.await.unwrap());
                        }
                        waits
                    }))
                })
            })
            .into_iter()
            .collect();
        let mut waits: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let rate = waits.len() as u128 * 1000 / started.elapsed().as_millis();
        waits.sort_unstable();
        println!("{calls:2} at a time: {rate} /s, median {:?}", waits[waits.len() / 2]);
    }
}
