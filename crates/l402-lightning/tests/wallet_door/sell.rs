//! Issuing, decoding and looking up invoices, and the node itself.

use crate::door::{Door, HASH_B64, NOW, hash_of_three, three};
use hyper::StatusCode;
use l402_lightning::{Invoice, MilliSat};
use serde_json::{Value, json};

#[tokio::test]
async fn a_seller_can_issue_and_look_up() {
    let door = Door::open().await;
    let preimage = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=";
    let ask = json!({ "memo": "weather", "value_msat": "10500", "expiry": "600", "r_preimage": preimage });
    let (status, answer) = door.post("/v1/invoices", &ask).await;
    assert_eq!(status, StatusCode::OK);
    let invoice = Invoice::parse(answer["payment_request"].as_str().unwrap()).unwrap();
    assert_eq!((invoice.amount(), invoice.expiry_secs()), (Some(MilliSat::from_msat(10_500)), 600));
    assert_eq!(invoice.description().unwrap().as_raw(), "weather");
    assert_eq!((&answer["add_index"], &answer["r_hash"]), (&json!("1"), &json!(hash_of_three())));

    let (status, refused) = door.post("/v1/invoices", &ask).await;
    assert_eq!((status.as_u16(), &refused["code"]), (500, &json!(2)));
    assert_eq!(refused["message"], "invoice with payment hash already exists");

    let path = format!("/v1/invoice/{}", three().1);
    let (_, open) = door.get(&path).await;
    assert_eq!(
        (&open["state"], &open["settled"], &open["r_preimage"]),
        (&json!("OPEN"), &json!(false), &json!(""))
    );
    assert_eq!(
        (&open["memo"], &open["value_msat"], &open["expiry"]),
        (&json!("weather"), &json!("10500"), &json!("600"))
    );
    assert_eq!(open["payment_request"], answer["payment_request"]);

    door.pay(&json!({ "payment_request": invoice.text() })).await;
    let (_, settled) = door.get(&path).await;
    assert_eq!((&settled["state"], &settled["settled"]), (&json!("SETTLED"), &json!(true)));
    assert_eq!((&settled["r_preimage"], &settled["amt_paid_msat"]), (&json!(preimage), &json!("10500")));
    assert_eq!((&settled["settle_index"], &settled["settle_date"]), (&json!("1"), &json!("1700000000")));

    let (status, unknown) = door.get(&format!("/v1/invoice/{}", "00".repeat(32))).await;
    assert_eq!((status.as_u16(), &unknown["message"]), (404, &json!("unable to locate invoice")));
    assert_eq!(door.get("/v1/invoice/xyz").await.0, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn an_invoice_that_cannot_be_issued_is_refused() {
    let door = Door::open().await;
    for (ask, status) in [
        (json!({}), 500),
        (json!({ "value": 0 }), 500),
        (json!({ "value": "1", "value_msat": "1" }), 500),
        (json!({ "value": "-1" }), 400),
        (json!({ "value": "9223372036854775807" }), 500),
        (json!({ "value": 1.5 }), 400),
        (json!({ "value": 1, "expiry": "31536001" }), 500),
        (json!({ "value": 1, "memo": "x".repeat(640) }), 500),
        (json!({ "value": 1, "memo": 5 }), 400),
        (json!({ "value": 1, "r_preimage": "0303" }), 400),
        (json!({ "value": 1, "description_hash": HASH_B64 }), 500),
        (json!([]), 400),
    ] {
        let (found, body) = door.post("/v1/invoices", &ask).await;
        assert_eq!(found.as_u16(), status, "{ask} {body}");
    }
    assert_eq!(door.node.open_invoices(), 0);
    // Zero and negative expiries are LND's default, a day.
    for expiry in ["0", "-5"] {
        let (_, answer) = door.post("/v1/invoices", &json!({ "value": "1", "expiry": expiry })).await;
        assert_eq!(
            Invoice::parse(answer["payment_request"].as_str().unwrap()).unwrap().expiry_secs(),
            86_400
        );
    }
}

#[tokio::test]
async fn an_invoice_is_decoded() {
    let door = Door::open().await;
    let invoice = door.invoice(3).await;
    let (status, decoded) = door.get(&format!("/v1/payreq/{}", invoice.text())).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(decoded["destination"], door.node.id().to_string());
    assert_eq!(decoded["payment_hash"], three().1);
    assert_eq!((&decoded["num_satoshis"], &decoded["num_msat"]), (&json!("10"), &json!("10500")));
    assert_eq!((&decoded["timestamp"], &decoded["expiry"]), (&json!(NOW.to_string()), &json!("600")));
    assert_eq!((&decoded["description"], &decoded["cltv_expiry"]), (&json!("weather"), &json!("80")));
    let (status, refused) = door.get("/v1/payreq/lnbc1rubbish").await;
    assert_eq!((status.as_u16(), &refused["code"]), (500, &json!(2)));
}

#[tokio::test]
async fn the_node_and_its_balance_are_shown() {
    let door = Door::open().await;
    let (_, info) = door.get("/v1/getinfo").await;
    assert_eq!(info["identity_pubkey"], door.node.id().to_string());
    assert_eq!(info["chains"], json!([{ "chain": "bitcoin", "network": "regtest" }]));
    assert_eq!(info["synced_to_chain"], true);
    let (_, before) = door.get("/v1/balance/channels").await;
    let invoice = door.invoice(3).await;
    door.pay(&json!({ "payment_request": invoice.text() })).await;
    let (_, after) = door.get("/v1/balance/channels").await;
    let msat =
        |balance: &Value| -> u64 { balance["local_balance"]["msat"].as_str().unwrap().parse().unwrap() };
    assert_eq!(msat(&before) - msat(&after), 10_500);
}
