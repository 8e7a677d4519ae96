//! The imitation's door: one port, TLS, gRPC over HTTP/2 and REST over HTTP/1.1, on a thread of its own.

use crate::{grpc, rest, wallet::Wallet};
use bytes::Bytes;
use http::HeaderMap;
use hyper::{
    body::{Body, Frame},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::PrivatePkcs8KeyDer;
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread::JoinHandle,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// A door that can be closed and opened again.
pub(crate) struct Door {
    address: SocketAddr,
    certificate: String,
    orders: mpsc::UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Close(oneshot::Sender<()>),
    Open(oneshot::Sender<()>),
    End,
}

impl Door {
    pub(crate) fn open(wallet: Arc<Wallet>) -> Self {
        let (certificate, tls) = identity();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("a bound socket");
        let (orders, inbox) = mpsc::unbounded_channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                keep(listener, address, &TlsAcceptor::from(tls), wallet, inbox).await;
            });
        });
        Self { address, certificate, orders, thread: Some(thread) }
    }

    /// `https://host:port`
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Its certificate in PEM form.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Nobody listens any more, and open connections are gone.
    pub(crate) fn close(&self) {
        self.order(Order::Close);
    }

    /// Listens again.
    pub(crate) fn reopen(&self) {
        self.order(Order::Open);
    }

    fn order(&self, order: impl FnOnce(oneshot::Sender<()>) -> Order) {
        let (done, mut is_done) = oneshot::channel();
        self.orders.send(order(done)).expect("the door's thread");
        // The caller may be in a runtime, where waiting for a channel is not allowed.
        while is_done.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
            std::thread::yield_now();
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A certificate as lnd makes it: its own authority.
pub(crate) fn identity() -> (String, Arc<ServerConfig>) {
    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .expect("a key that fits");
    // REST as lnd speaks it, HTTP/1.1, unless a client wants HTTP/2 alone, as gRPC does.
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    (certificate.pem(), Arc::new(config))
}

async fn keep(
    listener: TcpListener,
    address: SocketAddr,
    tls: &TlsAcceptor,
    wallet: Arc<Wallet>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Close(done)) => {
                    listener = None;
                    connections.shutdown().await;
                    let _ = done.send(());
                }
                Some(Order::Open(done)) => {
                    listener = Some(TcpListener::bind(address).await.expect("the same port"));
                    let _ = done.send(());
                }
                Some(Order::End) | None => return,
            },
            Ok((stream, _)) = accepted => {
                connections.spawn(serve(stream, tls.clone(), Arc::clone(&wallet)));
            }
        }
    }
}

/// Serves one connection. How it ends concerns its client only.
async fn serve(stream: TcpStream, tls: TlsAcceptor, wallet: Arc<Wallet>) {
    let Ok(stream) = tls.accept(stream).await else { return };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let stream = TokioIo::new(stream);
    if is_http2 {
        let service = service_fn(move |request| {
            let answer = grpc::serve(Arc::clone(&wallet), request);
            async { Ok::<_, Infallible>(answer.await) }
        });
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await;
    } else {
        let service = service_fn(move |request| {
            let answer = rest::serve(Arc::clone(&wallet), request);
            async { Ok::<_, Infallible>(answer.await) }
        });
        let _ = http1::Builder::new().serve_connection(stream, service).await;
    }
}

/// A part of an answer.
pub(crate) enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
    /// The line is cut here.
    Cut,
}

/// The body of an answer.
pub(crate) struct AnswerBody {
    first: Option<Bytes>,
    parts: Option<mpsc::Receiver<Part>>,
}

impl AnswerBody {
    pub(crate) fn empty() -> Self {
        Self { first: None, parts: None }
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { first: Some(bytes), parts: None }
    }

    pub(crate) fn parts(parts: mpsc::Receiver<Part>) -> Self {
        Self { first: None, parts: Some(parts) }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(bytes) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let Some(parts) = &mut self.parts else { return Poll::Ready(None) };
        parts.poll_recv(cx).map(|part| match part? {
            Part::Data(bytes) => Some(Ok(Frame::data(bytes))),
            Part::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
            Part::Cut => Some(Err(io::ErrorKind::BrokenPipe.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.parts.is_none()
    }
}
