//! Paying, tracking and counting payments.

use crate::door::{Door, HASH_B64, PATIENCE, base64_of, hash_of_three, three};
use hyper::StatusCode;
use l402_lightning::{
    MilliSat,
    loopback::{Fault, WrongInvoice},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn router_send_pays_in_json_lines_with_hex_preimage() {
    let door = Door::open().await;
    let invoice = door.invoice(3).await;
    let (status, lines) =
        door.pay(&json!({ "payment_request": invoice.text(), "fee_limit_msat": "1000" })).await;
    assert_eq!((status, lines.len()), (StatusCode::OK, 2));
    let (preimage, hash) = three();
    let (first, last) = (&lines[0]["result"], &lines[1]["result"]);
    assert_eq!(first["status"], "IN_FLIGHT");
    assert_eq!(first["payment_preimage"], "0".repeat(64));
    assert_eq!(first["payment_hash"], hash);
    assert_eq!(last["status"], "SUCCEEDED");
    assert_eq!(last["payment_preimage"], preimage);
    assert_eq!(last["payment_hash"], hash);
    assert_eq!((&last["value_msat"], &last["value_sat"]), (&json!("10500"), &json!("10")));
    assert_eq!((&last["fee_msat"], &last["fee_sat"]), (&json!("0"), &json!("0")));
    assert_eq!(last["failure_reason"], "FAILURE_REASON_NONE");
    assert_eq!(last["creation_time_ns"], "1700000000000000000");
    assert_eq!(last["htlcs"][0]["preimage"], "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=");

    let (status, lines) = door.pay(&json!({ "payment_request": invoice.text() })).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(lines[0]["error"], json!({ "code": 6, "message": "invoice is already paid", "details": [] }));
    assert_eq!(door.node.payments()[0].attempts, 2);
    door.close().await;
}

#[tokio::test]
async fn router_send_can_be_quiet_until_the_end() {
    let door = Door::open().await;
    let invoice = door.invoice(3).await;
    let ask =
        json!({ "payment_request": invoice.text(), "no_inflight_updates": true, "timeout_seconds": 60 });
    let (_, lines) = door.pay(&ask).await;
    assert_eq!((lines.len(), &lines[0]["result"]["status"]), (1, &json!("SUCCEEDED")));
}

#[tokio::test]
async fn router_send_refuses_as_lnd_does() {
    let door = Door::open().await;
    let refused = async |ask: Value| {
        let (status, lines) = door.pay(&ask).await;
        (status.as_u16(), lines[0]["error"]["code"].clone(), lines[0]["error"]["message"].clone())
    };
    let (status, code, _) = refused(json!({ "payment_request": "lnbcrt1" })).await;
    assert_eq!((status, code), (500, json!(2)));
    let (status, code, _) = refused(json!({})).await;
    assert_eq!((status, code), (500, json!(2)));
    let (status, code, _) =
        refused(json!({ "payment_request": door.invoice(1).await.text(), "fee_limit_msat": "-1" })).await;
    assert_eq!((status, code), (400, json!(3)));
    for (preimage, wrong, message) in [
        (2, WrongInvoice::Expired, "invoice expired"),
        (3, WrongInvoice::NoAmount, "amount must be specified when paying a zero amount invoice"),
    ] {
        door.node.knobs().create().set_times(1, Fault::Wrong(wrong));
        let (status, code, found) =
            refused(json!({ "payment_request": door.invoice(preimage).await.text() })).await;
        assert_eq!((status, code, found), (500, json!(2), json!(message)));
    }
    // A payment that fails is no error: 200, and its state says so.
    door.node.knobs().set_fee(MilliSat::from_msat(1));
    let invoice = door.invoice(4).await;
    let (status, lines) = door.pay(&json!({ "payment_request": invoice.text() })).await;
    assert_eq!((status, lines.len()), (StatusCode::OK, 1));
    assert_eq!(lines[0]["result"]["status"], "FAILED");
    assert_eq!(lines[0]["result"]["failure_reason"], "FAILURE_REASON_NO_ROUTE");
    assert_eq!(lines[0]["result"]["payment_preimage"], "0".repeat(64));
    let (_, lines) = door.pay(&json!({ "payment_request": invoice.text(), "fee_limit_sat": 1 })).await;
    assert_eq!(lines[1]["result"]["fee_msat"], "1");
}

#[tokio::test]
async fn tracking_takes_base64_and_answers_in_lines() {
    let door = Door::open().await;
    let (status, lines) = door.track(HASH_B64).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(lines[0]["error"]["message"], "payment isn't initiated");
    let (status, lines) = door.track("rubbish").await;
    assert_eq!((status.as_u16(), &lines[0]["error"]["code"]), (400, &json!(3)));

    let invoice = door.invoice(3).await;
    door.pay(&json!({ "payment_request": invoice.text() })).await;
    let (preimage, hash) = three();
    let padded = base64_of(&hash);
    let bare = padded.trim_end_matches('=').to_owned();
    for hash in [padded.clone(), padded.replace('=', "%3D"), bare] {
        let (status, lines) = door.track(&hash).await;
        assert_eq!((status, lines.len()), (StatusCode::OK, 1), "{hash}");
        assert_eq!(lines[0]["result"]["payment_preimage"], preimage);
    }
    door.node.knobs().track().set_times(1, Fault::Duplicate);
    assert_eq!(door.track(&padded).await.1.len(), 2);
}

#[tokio::test]
async fn tracking_a_payment_in_flight_waits_for_its_end() {
    let door = Arc::new(Door::open().await);
    let invoice = door.invoice(3).await;
    door.node.knobs().pay().delay(PATIENCE);
    let paying = tokio::spawn({
        let door = Arc::clone(&door);
        async move { door.pay(&json!({ "payment_request": invoice.text() })).await }
    });
    while door.node.calls().pay == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (_, hash) = three();
    let path = base64_of(&hash);
    let (_, lines) = door.track(&path).await;
    let states: Vec<&Value> = lines.iter().map(|line| &line["result"]["status"]).collect();
    assert_eq!(states, ["IN_FLIGHT", "SUCCEEDED"]);
    assert_eq!(paying.await.unwrap().1.len(), 2);
}

#[tokio::test]
async fn transactions_pay_with_base64_preimage() {
    let door = Door::open().await;
    let invoice = door.invoice(3).await;
    let (status, answer) =
        door.post("/v1/channels/transactions", &json!({ "payment_request": invoice.text() })).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["payment_error"], "");
    assert_eq!(answer["payment_preimage"], "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=");
    assert_eq!(answer["payment_hash"], hash_of_three());
    assert_eq!(answer["payment_route"]["total_amt_msat"], "10500");
    let (status, answer) =
        door.post("/v1/channels/transactions", &json!({ "payment_request": invoice.text() })).await;
    assert_eq!((status, &answer["payment_error"]), (StatusCode::OK, &json!("invoice is already paid")));
    assert_eq!(answer["payment_preimage"], "");

    // Without a limit LND allows a small payment to cost as much again; with one it is kept.
    door.node.knobs().set_fee(MilliSat::from_msat(10_500));
    let invoice = door.invoice(4).await;
    let limited = |limit: Value| json!({ "payment_request": invoice.text(), "fee_limit": limit });
    for limit in [json!({ "fixed_msat": "10499" }), json!({ "fixed": 10 }), json!({ "percent": "99" })] {
        let (_, answer) = door.post("/v1/channels/transactions", &limited(limit)).await;
        assert_eq!((&answer["payment_error"], &answer["payment_route"]), (&json!("no_route"), &Value::Null));
    }
    let (_, answer) =
        door.post("/v1/channels/transactions", &json!({ "payment_request": invoice.text() })).await;
    assert_eq!(
        (&answer["payment_error"], &answer["payment_route"]["total_fees_msat"]),
        (&json!(""), &json!("10500"))
    );
}

#[tokio::test]
async fn payments_are_listed_for_those_who_count_them() {
    let door = Door::open().await;
    for preimage in 1..=5 {
        let invoice = door.invoice(preimage).await;
        door.pay(&json!({ "payment_request": invoice.text() })).await;
    }
    let indices = |list: &Value| -> Vec<String> {
        list["payments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["payment_index"].as_str().unwrap().to_owned())
            .collect()
    };
    let (_, list) = door.get("/v1/payments").await;
    assert_eq!(indices(&list), ["1", "2", "3", "4", "5"]);
    assert_eq!(list["total_num_payments"], "5");
    assert_eq!(list["payments"][2]["payment_preimage"], "03".repeat(32));
    let (_, list) = door.get("/v1/payments?include_incomplete=true&index_offset=2&max_payments=2").await;
    assert_eq!(indices(&list), ["3", "4"]);
    assert_eq!((&list["first_index_offset"], &list["last_index_offset"]), (&json!("3"), &json!("4")));
    assert_eq!(indices(&door.get("/v1/payments?reversed=true&max_payments=2").await.1), ["4", "5"]);
    assert_eq!(
        indices(&door.get("/v1/payments?reversed=true&index_offset=4&max_payments=2").await.1),
        ["2", "3"]
    );
    assert_eq!(indices(&door.get("/v1/payments?index_offset=18446744073709551615").await.1), [""; 0]);
}
