//! One purchase over the public doors, told as it happens: the gateway's listener and the wallet's REST interface.

use super::DemoError;
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use l402::{Offer, OfferScheme, PaymentHash, Preimage};
use l402_lightning::Invoice;
use std::net::SocketAddr;
use tokio::net::TcpStream;

const PATH: &str = "/weather/today";

/// Asks, is refused, pays, and is served.
pub(super) async fn make(gateway: SocketAddr, wallet: SocketAddr) -> Result<(), DemoError> {
    tell!("1. Ask without paying\n\n   GET http://{gateway}{PATH}");
    let refused = fetch(gateway, Method::GET, PATH, None, "").await?;
    expect_status(&refused, StatusCode::PAYMENT_REQUIRED)?;
    let offer = read_offer(refused.headers())?;
    let invoice = Invoice::parse(&offer.invoice)?;
    tell!("   {}", status_line(&refused));
    let token = base64::engine::general_purpose::STANDARD.encode(offer.token.as_bytes());
    tell!(
        "   WWW-Authenticate: L402 macaroon=\"{}\", invoice=\"{}\"",
        shortened(&token),
        shortened(&offer.invoice)
    );
    show_token(&offer, &invoice);

    tell!("\n2. Pay the invoice\n\n   POST http://{wallet}/v2/router/send");
    let preimage = pay(wallet, &offer.invoice, invoice.payment_hash()).await?;
    tell!("   paid; the wallet learned the preimage {}", shortened(&preimage.reveal_hex()));
    tell!("   SHA-256(preimage) is the payment hash {}", shortened(&invoice.payment_hash().to_string()));

    tell!("\n3. Ask again, with token and preimage\n\n   GET http://{gateway}{PATH}");
    tell!("   Authorization: L402 <macaroon>:<preimage>");
    let authorization = l402::authorization_value(OfferScheme::L402, &offer.token, &preimage);
    let served = fetch(gateway, Method::GET, PATH, Some(&authorization), "").await?;
    tell!("   {}", status_line(&served));
    expect_status(&served, StatusCode::OK)?;
    tell!("   {}\n", String::from_utf8_lossy(served.body()).trim_end());
    tell!(
        "The token stays good for an hour; the gateway checks it without a database and without the node.\n"
    );
    Ok(())
}

fn show_token(offer: &Offer, invoice: &Invoice) {
    tell!("   The invoice asks for {} and expires in ten minutes.", amount(invoice));
    tell!("   The token commits to the same payment hash, and says what is sold:");
    for caveat in offer.token.view().caveats() {
        tell!("     {}", String::from_utf8_lossy(caveat.identifier).escape_debug());
    }
}

fn amount(invoice: &Invoice) -> String {
    invoice.amount().map_or_else(|| "nothing".to_owned(), |amount| amount.to_string())
}

fn read_offer(headers: &HeaderMap) -> Result<Offer, DemoError> {
    let lines = headers.get_all(header::WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes);
    let offer = l402::read_challenges(lines).into_iter().next().ok_or("the 402 holds no challenge")?;
    Ok(offer?)
}

/// LND streams one JSON object per line; the last one is final.
async fn pay(wallet: SocketAddr, invoice: &str, hash: PaymentHash) -> Result<Preimage, DemoError> {
    let ask = serde_json::json!({ "payment_request": invoice, "timeout_seconds": 10, "fee_limit_msat": "0" });
    let answer = fetch(wallet, Method::POST, "/v2/router/send", None, &ask.to_string()).await?;
    let text = String::from_utf8_lossy(answer.body());
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap_or_default())?;
    let preimage = last["result"]["payment_preimage"].as_str().ok_or("the wallet did not pay")?;
    let preimage = Preimage::from_hex(preimage.as_bytes())?;
    if preimage.payment_hash() == hash {
        Ok(preimage)
    } else {
        Err("the wallet's preimage is not the invoice's".into())
    }
}

async fn fetch(
    address: SocketAddr,
    method: Method,
    path: &str,
    authorization: Option<&str>,
    body: &str,
) -> Result<Response<Bytes>, DemoError> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async {
        let _ = connection.await; // the request learns of the error
    });
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, address.to_string());
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned())))?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
}

fn expect_status(response: &Response<Bytes>, status: StatusCode) -> Result<(), DemoError> {
    if response.status() == status {
        return Ok(());
    }
    Err(format!("expected {status}, got {}: {}", response.status(), String::from_utf8_lossy(response.body()))
        .into())
}

fn status_line(response: &Response<Bytes>) -> String {
    format!("{:?} {}", response.version(), response.status())
}

fn shortened(text: &str) -> String {
    match (text.get(..16), text.get(text.len().saturating_sub(8)..)) {
        (Some(start), Some(end)) if text.len() > 32 => format!("{start}...{end}"),
        _ => text.to_owned(),
    }
}
