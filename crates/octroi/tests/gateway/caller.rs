//! A client of the gateway that speaks proper HTTP/1.1 or HTTP/2.

use crate::payload::Payload;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use hyper::{
    body::{Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// The host that all requests name unless they say otherwise.
pub(crate) const HOST: &str = "api.example.com";
/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to the gateway.
pub(crate) enum Caller {
    Http1(http1::SendRequest<Payload>),
    Http2(http2::SendRequest<Payload>),
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

/// Waits for what is certain to happen.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

/// Polls until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came true that {what}");
}

impl Caller {
    pub(crate) async fn http1(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        Self::http1_over(stream).await
    }

    /// HTTP/2 with prior knowledge.
    pub(crate) async fn http2(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        Self::http2_over(stream).await
    }

    /// Speaks what the handshake chose.
    pub(crate) async fn tls(stream: TlsStream<TcpStream>) -> Self {
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            Self::http2_over(stream).await
        } else {
            Self::http1_over(stream).await
        }
    }

    async fn http1_over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        tokio::spawn(connection.with_upgrades());
        Self::Http1(sender)
    }

    async fn http2_over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.expect("a handshake");
        tokio::spawn(connection);
        Self::Http2(sender)
    }

    /// Sends a request in the shape of the protocol, and waits for the head of the answer.
    pub(crate) async fn send(&mut self, request: Request<Payload>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                soon(sender.ready()).await?;
                soon(sender.send_request(request)).await
            }
            Self::Http2(sender) => {
                soon(sender.ready()).await?;
                soon(sender.send_request(absolute(request))).await
            }
        }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&mut self, request: Request<Payload>) -> Reply {
        Reply::read(self.send(request).await.expect("an answer")).await.expect("a whole body")
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        self.ask(get(path)).await
    }
}

/// HTTP/2 has the host in its target.
fn absolute(request: Request<Payload>) -> Request<Payload> {
    let (mut head, body) = request.into_parts();
    if head.uri.authority().is_none() {
        let host = head.headers.remove(header::HOST).expect("a host");
        let host = host.to_str().expect("text");
        head.uri = format!("http://{host}{}", head.uri).parse::<Uri>().expect("a target");
    }
    Request::from_parts(head, body)
}

impl Reply {
    pub(crate) async fn read(response: Response<Incoming>) -> hyper::Result<Self> {
        let (head, body) = response.into_parts();
        let collected = soon(body.collect()).await?;
        let trailers = collected.trailers().cloned();
        Ok(Self { status: head.status, headers: head.headers, body: collected.to_bytes(), trailers })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The reason that a refusal gives.
    pub(crate) fn reason(&self) -> String {
        self.json()["reason"].as_str().expect("a reason").to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

/// Reads an answer as far as it comes: how many bytes, and what stands at its end, which is `None` for a proper one.
pub(crate) async fn passed_until_end(mut body: Incoming) -> (usize, Option<hyper::Result<Frame<Bytes>>>) {
    let mut passed = 0;
    loop {
        match soon(body.frame()).await {
            Some(Ok(frame)) => passed += frame.data_ref().map_or(0, Bytes::len),
            end => return (passed, end),
        }
    }
}

/// A `GET` for the usual host.
pub(crate) fn get(path: &str) -> Request<Payload> {
    request(Method::GET, path, &[], Payload::empty())
}

pub(crate) fn request(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Payload,
) -> Request<Payload> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header(header::HOST, HOST);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).expect("a request")
}

/// A `GET` with a credential.
pub(crate) fn paid(path: &str, credential: &str) -> Request<Payload> {
    request(Method::GET, path, &[("authorization", credential)], Payload::empty())
}

/// One `GET` on a connection of its own.
pub(crate) async fn get_once(address: SocketAddr, path: &str) -> Reply {
    Caller::http1(address).await.get(path).await
}

/// One request on a connection of its own.
pub(crate) async fn ask_once(address: SocketAddr, request: Request<Payload>) -> Reply {
    Caller::http1(address).await.ask(request).await
}
