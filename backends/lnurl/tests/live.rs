//! A real service, real hosts, real certificates. Nothing is paid.

use l402_lightning::{InvoiceRequest, InvoiceState, MilliSat, Network, SettingValue, Settings};

#[tokio::test]
#[ignore = "asks a real service: set L402_LNURL_ADDRESS, and L402_LNURL_ALLOW_HOST where its invoices are elsewhere"]
async fn a_real_service_makes_an_invoice_and_says_that_it_is_open() {
    let address = std::env::var("L402_LNURL_ADDRESS").expect("L402_LNURL_ADDRESS: a Lightning Address");
    let mut settings = Settings::new(Some(Network::Mainnet)).with("address", SettingValue::Text(address));
    if let Ok(host) = std::env::var("L402_LNURL_ALLOW_HOST") {
        settings.set("allow_host", SettingValue::Text(host));
    }
    let open = l402_lnurl::BACKEND.invoicer.expect("it can be paid");
    let shop = open(&settings).expect("a Lightning Address");
    let status = shop.probe().await.expect("the service's document");
    println!("clock: {:?}", status.clock);
    let request = InvoiceRequest {
        amount: MilliSat::from_msat(10_000),
        expiry_secs: 600,
        description: "L402 live test, not to be paid".to_owned(),
        preimage: None,
    };
    let invoice = shop.create(request).await.expect("an invoice");
    println!("{invoice:?}, expires after {} s", invoice.expiry_secs());
    let hash = invoice.payment_hash();
    assert_eq!(shop.lookup(hash).await, Ok(InvoiceState::Open));
    let restarted = open(&settings).expect("a Lightning Address");
    println!("after a restart: {:?}", restarted.lookup(hash).await);
}
