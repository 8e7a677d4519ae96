//! HTTP/2 upstreams that take only so many requests at once.

use crate::stage::{Stage, config, soon};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::{body::Incoming, client::conn::http1, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// Answers requests for `/held` only when told to.
struct Reserved {
    address: SocketAddr,
    connections: AtomicUsize,
    held: AtomicUsize,
    release: Semaphore,
}

impl Reserved {
    async fn start(streams_max: u32) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let reserved = Arc::new(Self {
            address,
            connections: AtomicUsize::default(),
            held: AtomicUsize::default(),
            release: Semaphore::new(0),
        });
        let server = Arc::clone(&reserved);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                server.connections.fetch_add(1, SeqCst);
                let of = Arc::clone(&server);
                let service = service_fn(move |request| Arc::clone(&of).answer(request));
                let mut http2 = http2::Builder::new(TokioExecutor::new());
                http2.max_concurrent_streams(streams_max);
                tokio::spawn(http2.serve_connection(TokioIo::new(stream), service));
            }
        });
        reserved
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        if request.uri().path() == "/held" {
            self.held.fetch_add(1, SeqCst);
            self.release.acquire().await.expect("never closed").forget();
        }
        Ok(Response::new(Full::from("ok")))
    }
}

async fn get(address: SocketAddr, path: &'static str) -> Bytes {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "a").body(Empty::<Bytes>::new()).expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.expect("a whole body").to_bytes()
}

#[tokio::test]
async fn a_full_connection_holds_up_nobody() {
    let reserved = Reserved::start(2).await;
    let mut config = config(&format!("http://{}", reserved.address));
    config["services"][0]["upstream_protocol"] = json!("h2");
    let stage = Stage::open(&config, |_| {}).await;
    let address = stage.address();
    soon(get(address, "/first")).await;
    let mut held = Vec::new();
    for count in 1..=5 {
        held.push(tokio::spawn(get(address, "/held")));
        let arrived = async {
            while reserved.held.load(SeqCst) < count {
                tokio::task::yield_now().await;
            }
        };
        soon(arrived).await;
    }
    assert_eq!(reserved.connections.load(SeqCst), 3, "two on each");
    assert_eq!(soon(get(address, "/")).await, "ok", "also not when the last connection is half full");
    assert_eq!(reserved.connections.load(SeqCst), 3);
    reserved.release.add_permits(held.len());
    for held in held {
        assert_eq!(soon(held).await.expect("no panic"), "ok");
    }
    for _ in 0..20 {
        soon(get(address, "/")).await;
    }
    assert_eq!(reserved.connections.load(SeqCst), 3, "room that has become free is used again");
}
