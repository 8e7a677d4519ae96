//! The connection: from where it may be used, and how it recovers.

use crate::rig::Rig;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use l402_lightning::{InvoiceState, Invoicer, InvoicerError, SettingValue, Settings};
use std::{io::Write as _, sync::Arc, thread};
use testkit::contract::{NodeFault, SellerRig as _};

fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A gateway opens before it has runtimes, has one per core, and each of them ends some day.
#[test]
fn each_runtime_has_one_connection_and_may_come_and_go() {
    let rig = Rig::new();
    let seller = rig.invoicer();
    for _ in 0..2 {
        let invoice = on_a_runtime(seller.create(rig.request())).unwrap();
        assert_eq!(on_a_runtime(seller.lookup(invoice.payment_hash())), Ok(InvoiceState::Open));
    }
    let calls = |seller: &Arc<dyn Invoicer>| {
        let requests: Vec<_> = (0..16).map(|_| rig.request()).collect();
        let seller = Arc::clone(seller);
        thread::spawn(move || {
            on_a_runtime(async {
                let calls = requests.into_iter().map(|request| {
                    let seller = Arc::clone(&seller);
                    tokio::spawn(async move { seller.create(request).await })
                });
                for call in calls.collect::<Vec<_>>() {
                    call.await.unwrap().unwrap();
                }
            });
        })
    };
    for thread in [calls(&seller), calls(&seller), calls(&seller), calls(&seller)] {
        thread.join().unwrap();
    }
    // Two calls on two runtimes each, and four threads with one runtime and 16 calls at once.
    assert_eq!((rig.invoice_count(), rig.node.connections()), (66, 8));
}

#[tokio::test]
async fn a_broken_connection_is_made_again_by_itself() {
    let rig = Rig::new();
    let seller = rig.invoicer();
    assert_eq!(rig.node.connections(), 0, "opening does not connect");
    let invoice = seller.create(rig.request()).await.unwrap();
    rig.arm(NodeFault::Down);
    for _ in 0..3 {
        assert_eq!(seller.lookup(invoice.payment_hash()).await, Err(InvoicerError::Unreachable));
    }
    rig.heal();
    assert_eq!(seller.lookup(invoice.payment_hash()).await, Ok(InvoiceState::Open));
    assert_eq!(rig.node.connections(), 2);
}

/// A call that nobody waits for any more does not go on in the node's name.
#[tokio::test]
async fn calls_that_are_dropped_leave_the_connection_usable() {
    let rig = Rig::new();
    let seller = rig.invoicer();
    seller.probe().await.unwrap();
    rig.arm(NodeFault::Hang);
    for _ in 0..300 {
        let call = seller.lookup(rig.request().preimage.unwrap().payment_hash());
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), call).await.is_err());
    }
    rig.heal();
    seller.probe().await.unwrap();
    assert_eq!(rig.node.connections(), 1);
}

#[tokio::test]
async fn an_lndconnect_uri_is_all_that_is_needed() {
    let rig = Rig::new();
    let pem = rig.node.certificate();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let certificate = URL_SAFE_NO_PAD.encode(STANDARD.decode(base64).unwrap());
    let macaroon = URL_SAFE_NO_PAD.encode(rig.node.invoice_macaroon());
    let uri = format!("lndconnect://{}?cert={certificate}&macaroon={macaroon}", rig.node.address());
    let settings = Settings::new(rig.settings().network).with("address", SettingValue::Text(uri));
    let seller = rig.open(&settings).unwrap();
    seller.probe().await.unwrap();
    seller.create(rig.request()).await.unwrap();

    let nobody = format!("lndconnect://{}?macaroon={macaroon}", rig.node.address());
    let settings = Settings::new(rig.settings().network).with("address", SettingValue::Text(nobody));
    // The system's authorities did not sign it, where there are any.
    if let Ok(seller) = rig.open(&settings) {
        assert_eq!(seller.probe().await, Err(InvoicerError::Certificate));
    }
}

/// lnd's REST port, a web server, a port that says nothing.
#[tokio::test]
async fn another_ports_answer_is_told_from_silence() {
    let rig = Rig::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    });
    let seller = rig.open(&rig.settings().with("address", SettingValue::Text(address))).unwrap();
    assert_eq!(seller.probe().await, Err(InvoicerError::Unreachable));
    assert_eq!(seller.create(rig.request()).await, Err(InvoicerError::Unreachable));
    server.join().unwrap();
    rig.node.speak_http1_only();
    let probed = rig.invoicer().probe().await;
    assert!(matches!(probed, Err(InvoicerError::Garbled { field }) if field.contains("gRPC")), "{probed:?}");
}
