//! The adapter against a real phoenixd, which somebody has to name. Nothing is paid.
//!
//! `PHOENIXD_ADDRESS` (`http://127.0.0.1:9740`), `PHOENIXD_NETWORK` (`testnet`), and from `phoenix.conf`
//! `PHOENIXD_LIMITED_PASSWORD` and `PHOENIXD_PASSWORD`.

#![expect(clippy::expect_used, clippy::panic, reason = "a step that fails ends the test")]

use l402::PaymentHash;
use l402_lightning::{
    InvoiceRequest, InvoiceState, InvoicerError, MilliSat, Network, PaymentState, Secret, SettingValue,
    Settings,
};
use l402_phoenixd::BACKEND;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("set {name}"))
}

fn network() -> Network {
    variable("PHOENIXD_NETWORK").parse().expect("a network")
}

fn settings(password: &str) -> Settings {
    Settings::new(Some(network()))
        .with("address", SettingValue::Text(variable("PHOENIXD_ADDRESS")))
        .with("password", SettingValue::Secret(Secret::from_text(variable(password))))
}

#[tokio::test]
#[ignore = "needs a phoenixd and PHOENIXD_ADDRESS, PHOENIXD_NETWORK, PHOENIXD_LIMITED_PASSWORD"]
async fn an_invoice_is_issued_and_found() {
    let open = BACKEND.invoicer.expect("it can be paid");
    let seller = open(&settings("PHOENIXD_LIMITED_PASSWORD")).expect("right settings");
    assert_eq!(seller.probe().await.expect("a healthy daemon").network, Some(network()));
    let request = InvoiceRequest {
        amount: MilliSat::from_msat(21_000),
        expiry_secs: 120,
        description: "live test".to_owned(),
        preimage: None,
    };
    let invoice = seller.create(request).await.expect("an invoice");
    assert_eq!((invoice.network(), invoice.expiry_secs()), (network(), 120));
    assert_eq!(invoice.amount(), Some(MilliSat::from_msat(21_000)));
    let hash = invoice.payment_hash();
    assert_eq!(seller.lookup(hash).await, Ok(InvoiceState::Open));
    assert_eq!(seller.open_invoice(hash).await, Ok(Some(invoice)));
    assert_eq!(seller.lookup(PaymentHash::from_bytes([0x5e; 32])).await, Ok(InvoiceState::Unknown));
}

#[tokio::test]
#[ignore = "needs a phoenixd and PHOENIXD_ADDRESS, PHOENIXD_NETWORK, PHOENIXD_PASSWORD"]
async fn the_full_password_pays_and_does_not_sell() {
    let open = BACKEND.invoicer.expect("it can be paid");
    let seller = open(&settings("PHOENIXD_PASSWORD")).expect("right settings");
    let probed = seller.probe().await;
    assert!(matches!(probed, Err(InvoicerError::Unsafe { .. })), "{probed:?}");
    let open = BACKEND.payer.expect("it can pay");
    let buyer = open(settings("PHOENIXD_PASSWORD")).await.expect("a wallet that is ready");
    assert_eq!(buyer.capabilities().network, Some(network()));
    let state = buyer.lookup(PaymentHash::from_bytes([0x5e; 32])).await;
    assert!(matches!(state, Ok(PaymentState::Unknown)), "{state:?}");
}
