//! The imitation's interface: gRPC over HTTP/2 over TLS, on a thread of its own
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use super::{
    World,
    desk::{Answer, answer},
    identity,
};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::{
    body::{Body, Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::PrivatePkcs8KeyDer;
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    thread::JoinHandle,
};
use testkit::contract::NodeFault;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};
use tokio_rustls::TlsAcceptor;

/// More than any message has.
const OVERSIZED: usize = 2 * 1024 * 1024;

/// A listening port.
pub(super) struct Wire {
    address: SocketAddr,
    certificate: String,
    connections: Arc<AtomicUsize>,
    /// Counts the times that every connection broke; closed at the end.
    breaks: Option<watch::Sender<u64>>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    pub(super) fn open(world: Arc<World>) -> Self {
        let (certificate, key) = identity();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let mut http1 = config.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = [config, http1].map(|config| TlsAcceptor::from(Arc::new(config)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (breaks, broken) = watch::channel(0);
        let counter = Arc::clone(&connections);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                accept(listener, tls, world, broken, &counter).await;
            });
        });
        let certificate = certificate.pem();
        Self { address, certificate, connections, breaks: Some(breaks), thread: Some(thread) }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn break_connections(&self) {
        if let Some(breaks) = &self.breaks {
            breaks.send_modify(|times| *times += 1);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        drop(self.breaks.take());
        if let Some(thread) = self.thread.take() {
            // A panic on that thread has been printed there.
            let _ = thread.join();
        }
    }
}

/// Takes connections until there is nobody left to break them.
async fn accept(
    listener: TcpListener,
    [tls, http1]: [TlsAcceptor; 2],
    world: Arc<World>,
    mut broken: watch::Receiver<u64>,
    connections: &AtomicUsize,
) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            alive = broken.changed() => match alive {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        if world.faults.strikes(NodeFault::Down) {
            continue;
        }
        connections.fetch_add(1, Ordering::Relaxed);
        stream.set_nodelay(true).unwrap();
        let tls = if world.http1_only.load(Ordering::Relaxed) { &http1 } else { &tls };
        let (tls, world, mut broken) = (tls.clone(), Arc::clone(&world), broken.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = converse(stream, tls, world) => {}
                _ = broken.changed() => {}
            }
        });
    }
}

async fn converse(stream: TcpStream, tls: TlsAcceptor, world: Arc<World>) {
    // How a connection ends is the business of the test.
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(move |request| {
        let world = Arc::clone(&world);
        async move { Ok::<_, Infallible>(serve(&world, request).await) }
    });
    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn serve(world: &Arc<World>, request: Request<Incoming>) -> Response<Frames> {
    let (head, body) = request.into_parts();
    let macaroon = head.headers.get("macaroon").and_then(|value| value.to_str().ok());
    let Ok(body) = body.collect().await else { return response(Vec::new()) };
    let body = body.to_bytes();
    let (prefix, message) = body.split_at_checked(5).expect("a message");
    assert_eq!(prefix[0], 0, "nothing was agreed to be compressed");
    assert_eq!(prefix[1..], u32::try_from(message.len()).unwrap().to_be_bytes());
    if world.faults.strikes(NodeFault::Hang) {
        world.faults.healed().await;
        return response(vec![Err(io::ErrorKind::ConnectionReset.into())]);
    }
    match answer(world, head.uri.path(), macaroon, message).await {
        Answer::One(message) => response(one(world, message)),
        Answer::Many(news) => many(world, news).await,
        Answer::No((code, words)) => response(vec![Ok(status(code, words))]),
        Answer::Cut => response(vec![Err(io::ErrorKind::ConnectionReset.into())]),
    }
}

/// The frames of one message, right or wrong.
fn one(world: &World, message: Vec<u8>) -> Vec<io::Result<Frame<Bytes>>> {
    let faults = &world.faults;
    if faults.strikes(NodeFault::Truncate) {
        let frame = data(&message);
        let half = frame.slice(..frame.len() / 2);
        return vec![Ok(Frame::data(half)), Err(io::ErrorKind::ConnectionReset.into())];
    }
    let message = if faults.strikes(NodeFault::Garble) {
        vec![0xff; 40]
    } else if faults.strikes(NodeFault::Oversize) {
        vec![0; OVERSIZED]
    } else {
        message
    };
    vec![Ok(Frame::data(data(&message))), Ok(status(0, ""))]
}

/// An answer of many messages. Like lnd's, its head comes with the first one.
async fn many(
    world: &Arc<World>,
    mut news: mpsc::UnboundedReceiver<super::messages::Invoice>,
) -> Response<Frames> {
    let (frames, inbox) = mpsc::unbounded_channel();
    if world.faults.strikes(NodeFault::Garble) {
        let _ = frames.send(Ok(Frame::data(data(&[0xff; 40]))));
        return Frames::answer(inbox);
    }
    let first = news.recv().await;
    tokio::spawn(async move {
        let mut next = first;
        while let Some(invoice) = next {
            let message = Frame::data(data(&invoice.encode_to_vec()));
            if frames.send(Ok(message)).is_err() {
                return;
            }
            next = tokio::select! {
                next = news.recv() => next,
                () = frames.closed() => return,
            };
        }
        let _ = frames.send(Err(io::ErrorKind::ConnectionReset.into()));
    });
    Frames::answer(inbox)
}

/// A message with gRPC's prefix.
fn data(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    frame.freeze()
}

/// The end of an answer.
fn status(code: u16, words: &'static str) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.into());
    trailers.insert("grpc-message", HeaderValue::from_static(words));
    Frame::trailers(trailers)
}

fn response(frames: Vec<io::Result<Frame<Bytes>>>) -> Response<Frames> {
    let (sender, inbox) = mpsc::unbounded_channel();
    for frame in frames {
        sender.send(frame).unwrap();
    }
    Frames::answer(inbox)
}

/// A body whose frames come one by one.
struct Frames(mpsc::UnboundedReceiver<io::Result<Frame<Bytes>>>);

impl Frames {
    fn answer(frames: mpsc::UnboundedReceiver<io::Result<Frame<Bytes>>>) -> Response<Self> {
        let mut response = Response::new(Self(frames));
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
        response
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context)
    }
}
