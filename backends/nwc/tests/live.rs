//! The adapter against a real wallet, which somebody has to name. Nothing is paid.
//!
//! `NWC_URI` is a connection URI as the wallet prints it, with the rights that the crate's documentation names for both
//! sides. `NWC_NETWORK` names its network where that is not `mainnet`.

#![expect(clippy::expect_used, clippy::panic, reason = "a step that fails ends the test")]

use l402::PaymentHash;
use l402_lightning::{
    Expected, InvoiceRequest, InvoiceState, MilliSat, Network, PaymentState, Secret, SettingValue, Settings,
    check,
};
use l402_nwc::BACKEND;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("set {name}"))
}

fn settings() -> Settings {
    Settings::new(Some(network())).with("uri", SettingValue::Secret(Secret::from_text(variable("NWC_URI"))))
}

fn network() -> Network {
    std::env::var("NWC_NETWORK").map_or(Network::Mainnet, |name| name.parse().expect("a network"))
}

#[tokio::test]
#[ignore = "needs a wallet: NWC_URI"]
async fn an_invoice_is_issued_and_found() {
    let seller = BACKEND.invoicer.expect("it can be paid")(&settings()).expect("right settings");
    let status = seller.probe().await.expect("a healthy wallet");
    assert!(status.network.is_none_or(|own| own == network()));
    let now = status.clock.expect("a wallet that says the time");
    let request = InvoiceRequest {
        amount: MilliSat::from_msat(1_000),
        expiry_secs: 120,
        description: "live test".to_owned(),
        preimage: None,
    };
    let invoice = seller.create(request.clone()).await.expect("an invoice");
    let terms = seller.capabilities().terms;
    check(&invoice, &Expected { request: &request, network: network(), now, terms }).expect("the right one");
    let hash = invoice.payment_hash();
    assert_eq!(seller.lookup(hash).await, Ok(InvoiceState::Open));
    let open = seller.open_invoice(hash).await.expect("an answer");
    assert!(open.is_none_or(|open| open == invoice));
    assert_eq!(seller.lookup(PaymentHash::from_bytes([0x5e; 32])).await, Ok(InvoiceState::Unknown));
}

#[tokio::test]
#[ignore = "needs a wallet: NWC_URI"]
async fn a_wallet_opens_and_knows_what_it_never_paid() {
    let opened = BACKEND.payer.expect("it can pay")(settings()).await;
    let buyer = opened.unwrap_or_else(|error| panic!("a wallet that is ready: {error}"));
    assert_eq!(buyer.capabilities().network, Some(network()));
    let state = buyer.lookup(PaymentHash::from_bytes([0x5e; 32])).await;
    assert!(matches!(state, Ok(PaymentState::Unknown)), "{state:?}");
}
