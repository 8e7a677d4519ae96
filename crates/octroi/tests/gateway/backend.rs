//! Upstreams that do what a scripted one cannot: look at bytes, count connections, speak TLS, stream both ways.

use crate::payload::Payload;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::ServerConfig;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// A server on the test's own runtime; it ends with it.
pub(crate) struct Backend {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Backend {
    /// Hands every connection, with its number from 0, to `talk`.
    pub(crate) async fn raw<F>(talk: impl Fn(TcpStream, usize) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("a TCP socket");
                tokio::spawn(talk(stream, counted.fetch_add(1, Ordering::SeqCst)));
            }
        });
        Self { address, connections, requests: Arc::default() }
    }

    /// HTTP/1.1, and HTTP/2 with prior knowledge.
    pub(crate) async fn http<F>(handle: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<Payload>> + Send + 'static,
    {
        Self::serving(None, handle).await
    }

    /// The same behind TLS.
    pub(crate) async fn tls<F>(
        tls: Arc<ServerConfig>,
        handle: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Payload>> + Send + 'static,
    {
        Self::serving(Some(tls), handle).await
    }

    async fn serving<F>(
        tls: Option<Arc<ServerConfig>>,
        handle: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Payload>> + Send + 'static,
    {
        let (handle, requests) = (Arc::new(handle), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&requests);
        let backend = Self::raw(move |stream, _| {
            let (handle, counted, tls) = (Arc::clone(&handle), Arc::clone(&counted), tls.clone());
            async move {
                match tls {
                    None => serve(stream, handle, counted).await,
                    // A client that does not trust us hangs up here.
                    Some(tls) => {
                        if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                            serve(stream, handle, counted).await;
                        }
                    }
                }
            }
        })
        .await;
        Self { requests, ..backend }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn https_url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Connections that were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Requests that reached it.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn serve<S, F>(
    stream: S,
    handle: Arc<impl Fn(Request<Incoming>) -> F + Send + Sync + 'static>,
    counted: Arc<AtomicUsize>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Response<Payload>> + Send + 'static,
{
    let service = service_fn(move |request| {
        counted.fetch_add(1, Ordering::SeqCst);
        let answer = handle(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    // How a connection ends is the business of the test.
    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

/// A plain answer.
pub(crate) fn ok(body: impl Into<Payload>) -> Response<Payload> {
    Response::new(body.into())
}

/// An upstream that keeps every byte it is sent and answers each request head with `200` and `ok`.
pub(crate) struct Recorder {
    pub(crate) backend: Backend,
    seen: Arc<Mutex<Vec<u8>>>,
    open: Arc<AtomicUsize>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let (seen, open) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (recorded, counted) = (Arc::clone(&seen), Arc::clone(&open));
        let backend = Backend::raw(move |stream, _| {
            let (recorded, counted) = (Arc::clone(&recorded), Arc::clone(&counted));
            async move {
                counted.fetch_add(1, Ordering::SeqCst);
                record(stream, recorded).await;
                counted.fetch_sub(1, Ordering::SeqCst);
            }
        })
        .await;
        Self { backend, seen, open }
    }

    /// Everything it was sent so far, and forgets it.
    pub(crate) fn take(&self) -> String {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

async fn record(mut stream: TcpStream, seen: Arc<Mutex<Vec<u8>>>) {
    let mut unanswered = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let Ok(count @ 1..) = stream.read(&mut piece).await else { return };
        seen.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&piece[..count]);
        unanswered.extend_from_slice(&piece[..count]);
        while let Some(end) = end_of_request(&unanswered) {
            unanswered.drain(..end);
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
                return;
            }
        }
    }
}

/// Where a request ends that a gateway wrote: properly, and in lower case.
fn end_of_request(bytes: &[u8]) -> Option<usize> {
    let find = |from: usize, what: &[u8]| {
        bytes[from..].windows(what.len()).position(|found| found == what).map(|at| from + at + what.len())
    };
    let body = find(0, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..body]);
    if head.contains("\r\ntransfer-encoding: chunked\r\n") {
        return find(body - 2, b"\r\n0\r\n\r\n");
    }
    let length = head.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.split('\r').next());
    let end = body + length.map_or(0, |length| length.parse().expect("a length"));
    (bytes.len() >= end).then_some(end)
}
