//! The adapter against a real node, which somebody has to name. Nothing is paid.
//!
//! `CLN_ADDRESS` (`https://127.0.0.1:3010`), `CLN_CERTIFICATE` (a PEM file), `CLN_NETWORK` (`regtest`), and the runes
//! `CLN_SELLER_RUNE` and `CLN_BUYER_RUNE`, as the crate's documentation names them.

#![expect(clippy::expect_used, clippy::panic, reason = "a step that fails ends the test")]

use l402::{PaymentHash, Preimage};
use l402_cln::BACKEND;
use l402_lightning::{
    Expected, InvoiceRequest, InvoiceState, MilliSat, Network, PaymentState, Secret, SettingValue, Settings,
    check,
};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("set {name}"))
}

fn settings(rune: &str) -> Settings {
    Settings::new(Some(network()))
        .with("address", SettingValue::Text(variable("CLN_ADDRESS")))
        .with("certificate", SettingValue::File(variable("CLN_CERTIFICATE").into()))
        .with("rune", SettingValue::Secret(Secret::from_text(variable(rune))))
}

fn network() -> Network {
    variable("CLN_NETWORK").parse().expect("a network")
}

#[tokio::test]
#[ignore = "needs a Core Lightning node and CLN_ADDRESS, CLN_CERTIFICATE, CLN_NETWORK, CLN_SELLER_RUNE"]
async fn an_invoice_is_issued_once_found_and_withdrawn() {
    let open = BACKEND.invoicer.expect("it can be paid");
    let seller = open(&settings("CLN_SELLER_RUNE")).expect("right settings");
    let status = seller.probe().await.expect("a healthy node");
    assert_eq!(status.network, Some(network()));
    let now = status.clock.expect("a node that says the time");
    let mut bytes = [0x4c; 32];
    bytes[..8].copy_from_slice(&now.to_be_bytes());
    let request = InvoiceRequest {
        amount: MilliSat::from_msat(1_001),
        expiry_secs: 120,
        description: "live test".to_owned(),
        preimage: Some(Preimage::from_bytes(bytes)),
    };
    let invoice = seller.create(request.clone()).await.expect("an invoice");
    let terms = seller.capabilities().terms;
    check(&invoice, &Expected { request: &request, network: network(), now, terms }).expect("the right one");
    assert_eq!(seller.create(request).await.as_ref(), Ok(&invoice));
    let hash = invoice.payment_hash();
    assert_eq!(seller.lookup(hash).await, Ok(InvoiceState::Open));
    assert_eq!(seller.open_invoice(hash).await, Ok(Some(invoice)));
    seller.cancel(hash).await.expect("a rune with delinvoice");
    assert_eq!(seller.lookup(hash).await, Ok(InvoiceState::Unknown));
}

#[tokio::test]
#[ignore = "needs a Core Lightning node and CLN_ADDRESS, CLN_CERTIFICATE, CLN_NETWORK, CLN_BUYER_RUNE"]
async fn a_wallet_opens_and_knows_what_it_never_paid() {
    let open = BACKEND.payer.expect("it can pay");
    let buyer = open(settings("CLN_BUYER_RUNE")).await.expect("a wallet that is ready");
    assert_eq!(buyer.capabilities().network, Some(network()));
    let state = buyer.lookup(PaymentHash::from_bytes([0x5e; 32])).await;
    assert!(matches!(state, Ok(PaymentState::Unknown)), "{state:?}");
}
