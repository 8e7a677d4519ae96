//! gRPC through the gateway: unary and streaming calls with their trailers, and refusals in gRPC's own form.

use crate::{
    backend::Backend,
    caller::{Caller, Reply, request, soon},
    payload::Payload,
    stage::{Stage, both, config, everything, everything_free, offers, pay},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

const CALL: [(&str, &str); 2] = [("content-type", "application/grpc+proto"), ("te", "trailers")];

fn trailers(status: &str) -> HeaderMap {
    [("grpc-status", status), ("grpc-message", "said%20so"), ("x-detail-bin", "AAEC")]
        .into_iter()
        .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
        .collect()
}

/// Sends every message back, then the status that the path asks for; `/a.B/Fail` fails without a message.
async fn serve(request: Request<Incoming>) -> Response<Payload> {
    assert_eq!(request.version(), Version::HTTP_2);
    assert_eq!(request.headers()["te"], "trailers");
    let response = Response::builder().header("content-type", "application/grpc+proto");
    if request.uri().path() == "/a.B/Fail" {
        let response = response.header("grpc-status", "5").header("grpc-message", "nothing here");
        return response.body(Payload::empty()).expect("a response");
    }
    let (feed, body) = Payload::stream();
    tokio::spawn(async move {
        let mut messages = request.into_body();
        while let Some(Ok(frame)) = messages.frame().await {
            if let Ok(message) = frame.into_data()
                && !message.is_empty()
            {
                assert!(feed.data(message).await);
            }
        }
        feed.trailers(trailers("0")).await;
    });
    response.body(body).expect("a response")
}

async fn grpc_stage() -> (Backend, Stage) {
    let backend = Backend::http(serve).await;
    let mut service = everything(&backend.url());
    service["upstream_protocol"] = json!("h2");
    service["routes"] = json!([{ "path": "/quiet.Service/Call", "skip_invoice": true }]);
    let stage = Stage::of(service).await;
    (backend, stage)
}

fn call(path: &str, credential: Option<&str>, body: impl Into<Payload>) -> Request<Payload> {
    let credential = credential.map(|credential| ("authorization", credential));
    let headers: Vec<_> = CALL.into_iter().chain(credential).collect();
    request(Method::POST, path, &headers, body.into())
}

#[tokio::test]
async fn a_unary_call_is_refused_paid_for_and_answered_with_its_trailers() {
    let (backend, stage) = grpc_stage().await;
    let mut caller = Caller::http2(stage.address()).await;
    let refused = caller.ask(call("/a.B/Echo", None, "message")).await;
    assert_eq!(refusal(&refused), ("13", "payment required"));
    assert_eq!(refused.header("content-type"), Some("application/grpc"));
    assert_eq!(backend.requests(), 0);
    let offered = &offers(&refused.headers)[0];
    let paid = pay(stage.gateway.wallet().expect("a wallet"), offered).await.credential();
    let answer = caller.ask(call("/a.B/Echo", Some(&paid), "message")).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "message"));
    assert_eq!(answer.trailers, Some(trailers("0")));
    let failed = caller.ask(call("/a.B/Fail", Some(&paid), "")).await;
    assert_eq!(refusal(&failed), ("5", "nothing here"), "the service's own, as it is");
}

/// gRPC metadata has its own way to carry a credential: the macaroon with its preimage inside.
#[tokio::test]
async fn metadata_pays_too() {
    let (_backend, stage) = grpc_stage().await;
    let mut caller = Caller::http2(stage.address()).await;
    let refused = caller.ask(call("/a.B/Echo", None, "")).await;
    let purse = pay(stage.gateway.wallet().expect("a wallet"), &offers(&refused.headers)[0]).await;
    let caveat = format!("preimage={}", purse.preimage.reveal_hex());
    let token = purse.token.attenuate(caveat.as_bytes()).expect("room for a caveat");
    let hex = hex::encode(token.as_bytes());
    let headers = [CALL[0], CALL[1], ("macaroon", hex.as_str())];
    let answer = caller.ask(request(Method::POST, "/a.B/Echo", &headers, Payload::from("hello"))).await;
    assert_eq!((answer.text(), &answer.trailers), ("hello", &Some(trailers("0"))));
}

#[tokio::test]
async fn messages_of_a_streaming_call_pass_one_by_one_in_both_directions() {
    let (_backend, stage) = grpc_stage().await;
    let mut caller = Caller::http2(stage.address()).await;
    let refused = caller.ask(call("/a.B/Echo", None, "")).await;
    let offered = &offers(&refused.headers)[0];
    let paid = pay(stage.gateway.wallet().expect("a wallet"), offered).await.credential();
    let (feed, body) = Payload::stream();
    let mut response = caller.send(call("/a.B/Stream", Some(&paid), body)).await.expect("a head");
    for message in ["one", "two", "three"] {
        assert!(feed.data(message).await);
        let frame = soon(response.body_mut().frame()).await.expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data"), message);
    }
    drop(feed);
    let rest = soon(response.into_body().collect()).await.expect("a good end");
    assert_eq!(rest.trailers(), Some(&trailers("0")));
    assert_eq!(rest.to_bytes(), Bytes::new());
}

/// Status and message of a trailers-only answer: one header block, no body.
fn refusal(reply: &Reply) -> (&str, &str) {
    assert_eq!((reply.status.as_u16(), reply.body.len(), &reply.trailers), (200, 0, &None));
    (reply.header("grpc-status").expect("a status"), reply.header("grpc-message").expect("a message"))
}

fn limited(upstream: &str) -> Value {
    let mut config = config(json!([everything(upstream)]));
    config["limits"]["mint"] = json!({ "per_network": "1/h" });
    config["services"][0]["upstream_protocol"] = json!("h2");
    config["services"][0]["path"] = json!("/a.B/");
    config
}

#[tokio::test]
async fn refusals_come_trailers_only_with_the_status_of_their_cause() {
    let (backend, stage) = grpc_stage().await;
    let mut caller = Caller::http2(stage.address()).await;
    let cases = [
        ("/a.B/Echo", None, "13"),
        ("/a.B/Echo", Some("L402 not:good"), "16"),
        ("/quiet.Service/Call", None, "16"),
        ("/a.B//Echo", None, "3"),
        ("/a.B/Echo/more", None, "3"),
        ("/a.B", None, "3"),
    ];
    for (path, credential, status) in cases {
        let reply = caller.ask(call(path, credential, "")).await;
        assert_eq!(refusal(&reply).0, status, "{path} {credential:?}");
        assert_eq!(reply.header("www-authenticate").is_some(), matches!(status, "13" | "16"), "{path}");
    }
    assert_eq!(backend.requests(), 0);
    let stage = Stage::open(&limited(&backend.url())).await;
    let mut caller = Caller::http2(stage.address()).await;
    assert_eq!(refusal(&caller.ask(call("/elsewhere.C/D", None, "")).await).0, "12");
    let last = loop {
        let reply = caller.ask(call("/a.B/Echo", None, "")).await;
        if refusal(&reply).0 != "13" {
            break reply;
        }
    };
    assert_eq!(refusal(&last).0, "8");
    assert!(last.header("retry-after").is_some());
}

#[tokio::test]
async fn a_dead_service_is_unavailable_in_grpcs_own_words() {
    let mut service = everything_free("http://127.0.0.1:1");
    service["upstream_protocol"] = json!("h2");
    let stage = Stage::of(service).await;
    let reply = Caller::http2(stage.address()).await.ask(call("/a.B/Echo", None, "")).await;
    assert_eq!(refusal(&reply).0, "14");
}

/// gRPC-Web comes over HTTP/1.1 too, and its refusals keep the variant that was asked for.
#[tokio::test]
async fn grpc_web_is_refused_in_its_own_variant() {
    let (_backend, stage) = grpc_stage().await;
    for variant in ["application/grpc-web", "application/grpc-web-text", "application/grpc-web+proto"] {
        for mut caller in both(stage.address()).await {
            let headers = [("content-type", variant)];
            let reply = caller.ask(request(Method::POST, "/a.B/Echo", &headers, Payload::empty())).await;
            assert_eq!(refusal(&reply), ("13", "payment required"));
            assert_eq!(reply.header("content-type"), Some(variant));
            assert_eq!(offers(&reply.headers).len(), 2);
        }
    }
}
