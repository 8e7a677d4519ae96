//! What the knobs do to answers and lines.

use crate::door::{Cut, Door, PATIENCE, base64_of, three};
use hyper::StatusCode;
use l402_lightning::{
    Invoice,
    loopback::{Fault, When, WrongInvoice, WrongPayment, WrongState, WrongTrack},
};
use serde_json::{Value, json};

#[tokio::test]
async fn the_faults_of_paying_show_on_the_line() {
    let door = Door::open().await;
    let mut preimage = 10;
    let mut pay = async |fault, path| {
        preimage += 1;
        let invoice = door.invoice(preimage).await;
        door.node.knobs().pay().set_times(1, fault);
        let ask = json!({ "payment_request": invoice.text() }).to_string();
        let got = tokio::time::timeout(PATIENCE, door.send("POST", path, &ask)).await;
        (got, door.node.payment(invoice.payment_hash()).is_some())
    };
    let (router, sync) = ("/v2/router/send", "/v1/channels/transactions");
    for path in [router, sync] {
        for (when, paid) in [(When::Before, false), (When::After, true)] {
            let (got, was_paid) = pay(Fault::Cut(when), path).await;
            assert!(matches!(got, Ok(Err(Cut))), "{path} {when:?}");
            assert_eq!(was_paid, paid, "{path} {when:?}");
            let (got, was_paid) = pay(Fault::Hang(when), path).await;
            assert!(got.is_err(), "{path} {when:?}");
            assert_eq!(was_paid, paid, "{path} {when:?}");
            let (got, was_paid) = pay(Fault::Fail(when), path).await;
            let (status, body) = got.unwrap().unwrap();
            assert!(body.contains("\"code\":2"), "{path} {when:?} {body}");
            assert!(status == StatusCode::INTERNAL_SERVER_ERROR || (path == router && when == When::After));
            assert_eq!(was_paid, paid, "{path} {when:?}");
        }
    }
    let (got, paid) = pay(Fault::Duplicate, router).await;
    assert!(got.unwrap().unwrap().1.contains("already paid") && paid);
    for (wrong, shown) in [
        (WrongPayment::ZeroPreimage, "0".repeat(64)),
        (WrongPayment::WrongPreimage, "5a".repeat(32)),
        (WrongPayment::NoPreimage, String::new()),
    ] {
        let (got, paid) = pay(Fault::Wrong(wrong), router).await;
        let body = got.unwrap().unwrap().1;
        let last: Value = serde_json::from_str(body.lines().last().unwrap()).unwrap();
        assert_eq!((&last["result"]["status"], paid), (&json!("SUCCEEDED"), true));
        assert_eq!(last["result"]["payment_preimage"], shown);
    }
    for (wrong, state) in [(WrongPayment::Failed, "FAILED"), (WrongPayment::InFlight, "IN_FLIGHT")] {
        let (got, paid) = pay(Fault::Wrong(wrong), router).await;
        let body = got.unwrap().unwrap().1;
        let last: Value = serde_json::from_str(body.lines().last().unwrap()).unwrap();
        assert_eq!((&last["result"]["status"], paid), (&json!(state), true));
        assert_eq!(last["result"]["payment_preimage"], "0".repeat(64));
        let (got, _) = pay(Fault::Wrong(wrong), sync).await;
        assert_ne!(serde_json::from_str::<Value>(&got.unwrap().unwrap().1).unwrap()["payment_error"], "");
    }
}

#[tokio::test]
async fn the_faults_of_the_other_calls_show_on_the_line() {
    let door = Door::open().await;
    let knobs = door.node.knobs();
    let invoice = door.invoice(3).await;
    door.pay(&json!({ "payment_request": invoice.text() })).await;
    let lookup = format!("/v1/invoice/{}", three().1);
    let track = format!("/v2/router/track/{}", base64_of(&three().1));
    let create = json!({ "value": 1 }).to_string();
    for (method, path, body) in
        [("GET", &*lookup, ""), ("GET", &*track, ""), ("POST", "/v1/invoices", &*create)]
    {
        knobs.lookup().set(Fault::Fail(When::Before));
        knobs.track().set(Fault::Fail(When::Before));
        knobs.create().set(Fault::Fail(When::Before));
        assert_eq!(
            door.send(method, path, body).await.unwrap().0,
            StatusCode::INTERNAL_SERVER_ERROR,
            "{path}"
        );
        knobs.lookup().set(Fault::Cut(When::Before));
        knobs.track().set(Fault::Cut(When::Before));
        knobs.create().set(Fault::Cut(When::Before));
        assert!(door.send(method, path, body).await.is_err(), "{path}");
        knobs.lookup().set(Fault::Hang(When::Before));
        knobs.track().set(Fault::Hang(When::Before));
        knobs.create().set(Fault::Hang(When::Before));
        assert!(tokio::time::timeout(PATIENCE, door.send(method, path, body)).await.is_err(), "{path}");
        knobs.clear();
    }
    knobs.lookup().set_times(1, Fault::Wrong(WrongState::Unknown));
    assert_eq!(door.get(&lookup).await.0, StatusCode::NOT_FOUND);
    knobs.track().set_times(1, Fault::Wrong(WrongTrack::Unknown));
    assert_eq!(door.send("GET", &track, "").await.unwrap().0, StatusCode::NOT_FOUND);
    knobs.create().set_times(1, Fault::Duplicate);
    assert!(door.send("POST", "/v1/invoices", &create).await.unwrap().1.contains("already exists"));
    knobs.create().set_times(1, Fault::Wrong(WrongInvoice::Signature));
    let (_, answer) = door.post("/v1/invoices", &json!({ "value": 1 })).await;
    assert!(Invoice::parse(answer["payment_request"].as_str().unwrap()).is_err());

    // An open invoice that is said to be settled shows no preimage all the same.
    let open = door.invoice(4).await;
    knobs.lookup().set_times(1, Fault::Wrong(WrongState::Settled));
    let (_, lie) = door.get(&format!("/v1/invoice/{}", open.payment_hash())).await;
    assert_eq!((&lie["state"], &lie["r_preimage"]), (&json!("SETTLED"), &json!("")));
    // A payment that is said to be on its way stays so: the stream does not end.
    knobs.track().set_times(1, Fault::Wrong(WrongTrack::Payment(WrongPayment::InFlight)));
    assert!(tokio::time::timeout(PATIENCE, door.send("GET", &track, "")).await.is_err());
}
