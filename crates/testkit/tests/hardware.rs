//! The test hardware does what the tests that use it rely on.

#![expect(clippy::unwrap_used, reason = "a step that fails ends the test")]

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header::WWW_AUTHENTICATE};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use l402::{Offer, authorization_value, read_challenges};
use l402_lightning::{Invoice, InvoiceError, MilliSat, Network, PayLimits, Payer, loopback::WrongInvoice};
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use testkit::{Reply, Seller, SellerOptions, Spelling, Trick, Upstream, VirtualClock, World};
use tokio::net::TcpStream;

const NOW: u64 = 1_800_000_000;
const LIMITS: PayLimits = PayLimits { fee_max: MilliSat::ZERO, timeout: Duration::from_secs(5) };

fn world() -> World {
    World::new(1, VirtualClock::standing_at(NOW))
}

/// One HTTP/1.1 request on a connection of its own.
async fn get(address: SocketAddr, path: &str, credential: Option<&str>) -> hyper::Result<Response<Incoming>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::get(path).header("host", "test").header("te", "trailers");
    if let Some(credential) = credential {
        request = request.header("authorization", credential);
    }
    sender.send_request(request.body(Full::new(Bytes::new())).unwrap()).await
}

async fn text(response: Response<Incoming>) -> hyper::Result<String> {
    Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec()).unwrap())
}

fn offers(response: &Response<Incoming>) -> Vec<Offer> {
    let lines = response.headers().get_all(WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes);
    read_challenges(lines).into_iter().map(|offer| offer.unwrap()).collect()
}

#[tokio::test]
async fn an_upstream_records_and_tells_back() {
    let upstream = Upstream::start(Reply::Echo);
    let told = text(get(upstream.address(), "/a/b?c=d", Some("Bearer x")).await.unwrap()).await.unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["method"], &told["target"]), (&"GET".into(), &"/a/b?c=d".into()));
    assert!(told["headers"].as_array().unwrap().contains(&serde_json::json!(["authorization", "Bearer x"])));
    upstream.reply(Reply::text("hello"));
    assert_eq!(text(get(upstream.address(), "/", None).await.unwrap()).await.unwrap(), "hello");
    assert_eq!((upstream.count(), upstream.seen()[0].target.as_str()), (2, "/a/b?c=d"));
}

#[tokio::test]
async fn an_upstream_cuts_delays_and_talks_rubbish() {
    let upstream = Upstream::start(Reply::CutBody(Bytes::from_static(b"half")));
    let cut = get(upstream.address(), "/", None).await.unwrap();
    assert_eq!(cut.status(), StatusCode::OK);
    assert!(text(cut).await.is_err());
    upstream.reply(Reply::Raw(Bytes::from_static(b"SSH-2.0-nonsense\r\n\r\n")));
    assert!(get(upstream.address(), "/raw", None).await.is_err());
    assert_eq!(upstream.seen()[1].target, "/raw");
    upstream.reply(Reply::After(Duration::from_mins(10), Box::new(Reply::text("late"))));
    let waiting = tokio::time::timeout(Duration::from_millis(200), get(upstream.address(), "/", None));
    assert!(waiting.await.is_err());
}

#[tokio::test]
async fn an_upstream_streams_events_as_they_are_pushed() {
    let upstream = Upstream::start(Reply::Events);
    let mut response = get(upstream.address(), "/", None).await.unwrap();
    for piece in ["data: 1\n\n", "data: 2\n\n"] {
        upstream.push(piece);
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), piece);
    }
    assert_eq!(upstream.open_streams(), 1);
    upstream.end_streams();
    assert!(response.body_mut().frame().await.is_none());
}

#[tokio::test]
async fn an_upstream_notices_when_its_reader_leaves() {
    let upstream = Upstream::start(Reply::Events);
    let response = get(upstream.address(), "/", None).await.unwrap();
    drop(response);
    for _ in 0..1_000 {
        if upstream.open_streams() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the stream still counts as open");
}

#[tokio::test]
async fn an_upstream_sends_trailers_over_http_2() {
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
    let upstream = Upstream::start(Reply::Trailers(Bytes::from_static(b"body"), trailers));
    let stream = TcpStream::connect(upstream.address()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("{}/a.B/C", upstream.url())).body(Full::new(Bytes::new())).unwrap();
    let collected = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(upstream.seen()[0].version, Version::HTTP_2);
}

#[tokio::test]
async fn a_seller_sells_in_every_spelling() {
    let world = world();
    let seller = world.seller(SellerOptions::default());
    for (sold, spelling) in Spelling::ALL.into_iter().enumerate() {
        seller.change(|options| options.spelling = spelling);
        let demand = get(seller.address(), "/", None).await.unwrap();
        assert_eq!(demand.status(), StatusCode::PAYMENT_REQUIRED, "{spelling:?}");
        let credential = buy(&world, &offers(&demand)).await;
        let goods = get(seller.address(), "/", Some(&credential)).await.unwrap();
        assert_eq!(text(goods).await.unwrap(), "goods\n", "{spelling:?}");
        assert_eq!((seller.demands(), seller.sales()), (sold + 1, sold + 1));
    }
    assert_eq!(world.node.payments().len(), Spelling::ALL.len());
}

/// Pays the first offer and returns the credential.
async fn buy(world: &World, offers: &[Offer]) -> String {
    let offer = offers.first().unwrap();
    let invoice = Invoice::parse(&offer.invoice).unwrap();
    assert_eq!(invoice.payment_hash(), offer.identifier.payment_hash);
    let paid = world.node.pay(&invoice, LIMITS).await.unwrap();
    authorization_value(offer.scheme, &offer.token, &paid.preimage)
}

async fn offered(seller: &Seller, trick: Trick) -> (Offer, Result<Invoice, InvoiceError>) {
    seller.change(|options| options.trick = trick);
    let offer = offers(&get(seller.address(), "/", None).await.unwrap()).remove(0);
    let invoice = Invoice::parse(&offer.invoice);
    (offer, invoice)
}

#[tokio::test]
async fn a_seller_cheats_in_what_it_offers() {
    let world = world();
    let seller = world.seller(SellerOptions::default());
    let (offer, invoice) = offered(&seller, Trick::WrongHash).await;
    assert_ne!(offer.identifier.payment_hash, invoice.unwrap().payment_hash());
    let (_, invoice) = offered(&seller, Trick::Invoice(WrongInvoice::NoAmount)).await;
    assert_eq!(invoice.unwrap().amount(), None);
    let (_, invoice) = offered(&seller, Trick::Invoice(WrongInvoice::Expired)).await;
    assert!(invoice.unwrap().is_expired(NOW));
    let (_, invoice) = offered(&seller, Trick::Invoice(WrongInvoice::Network(Network::Mainnet))).await;
    assert_eq!(invoice.unwrap().network(), Network::Mainnet);
    let (_, invoice) = offered(&seller, Trick::Invoice(WrongInvoice::Signature)).await;
    assert_eq!(invoice, Err(InvoiceError::Signature));
    let (_, invoice) = offered(&seller, Trick::None).await;
    assert_eq!(invoice.unwrap().amount(), Some(MilliSat::from_msat(10_000)));
}

#[tokio::test]
async fn a_seller_cheats_after_the_payment() {
    let world = world();
    let seller = world.seller(SellerOptions { valid_for_secs: Some(60), ..SellerOptions::default() });
    let credential = buy(&world, &offers(&get(seller.address(), "/", None).await.unwrap())).await;
    let answer = async |trick| {
        seller.change(|options| options.trick = trick);
        get(seller.address(), "/", Some(&credential)).await.unwrap()
    };
    assert_eq!(answer(Trick::AlwaysDemand).await.status(), StatusCode::PAYMENT_REQUIRED);
    let to = "http://127.0.0.1:1/elsewhere".to_owned();
    for trick in [Trick::Redirect(to.clone()), Trick::RedirectPaid(to.clone())] {
        assert_eq!(answer(trick).await.headers()["location"], to);
    }
    let teapot = answer(Trick::AnswerPaid(StatusCode::IM_A_TEAPOT)).await;
    assert_eq!(teapot.status(), StatusCode::IM_A_TEAPOT);
    assert!(text(answer(Trick::CutPaid).await).await.is_err());
    assert_eq!(text(answer(Trick::None).await).await.unwrap(), "goods\n");
    world.clock.advance(60);
    assert_eq!(answer(Trick::None).await.status(), StatusCode::PAYMENT_REQUIRED);
    assert_eq!(seller.seen()[1].headers["authorization"], credential);
}

#[tokio::test]
async fn the_body_of_a_demand_can_break_off_or_never_end() {
    let seller = world().seller(SellerOptions { trick: Trick::CutDemand, ..SellerOptions::default() });
    let cut = get(seller.address(), "/", None).await.unwrap();
    assert_eq!(cut.status(), StatusCode::PAYMENT_REQUIRED);
    assert!(text(cut).await.is_err());
    seller.change(|options| options.trick = Trick::EndlessDemand);
    let endless = get(seller.address(), "/", None).await.unwrap();
    assert_eq!(offers(&endless).len(), 2);
    assert!(tokio::time::timeout(Duration::from_millis(200), text(endless)).await.is_err());
}

#[tokio::test]
async fn a_world_has_a_wallet_that_others_can_reach() {
    let world = World::live(2);
    let info: Value = serde_json::from_str(
        &text(get(world.wallet_address(), "/v1/getinfo", None).await.unwrap()).await.unwrap(),
    )
    .unwrap();
    assert_eq!(info["identity_pubkey"], world.node.id().to_string());
    assert_eq!(world.wallet_url(), format!("lnd+http://{}", world.wallet_address()));
}
