//! An HTTP/1.1 server on a thread of its own, with the faults of lines and of whatever answers.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming},
    header::{CONNECTION, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use l402_lightning::BoxFuture;
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, mpsc as std_mpsc},
    task::{Context, Poll},
    thread::JoinHandle,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// Larger than any right answer.
const OVERSIZE: usize = 2 * 1024 * 1024;

/// What answers requests.
pub(crate) trait Node: Send + Sync + 'static {
    /// Answers one request.
    fn answer(self: Arc<Self>, request: Request<Bytes>) -> BoxFuture<'static, Reply>;
}

/// What a node does with a request.
pub(crate) enum Reply {
    /// Answers.
    Answer(Response<Bytes>),
    /// Breaks the line without an answer.
    Cut,
}

/// What becomes of every answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Spoil {
    /// It goes out as it is.
    #[default]
    Not,
    /// It never goes out, and the request has no effect.
    Hang,
    /// It is in no format.
    Garble,
    /// It breaks off in the middle.
    Truncate,
    /// It is larger than any right one.
    Oversize,
}

/// A server; dropped, it is gone.
pub(crate) struct Server {
    address: SocketAddr,
    spoil: Arc<Mutex<Spoil>>,
    commands: Option<mpsc::UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

enum Command {
    Close(std_mpsc::Sender<()>),
    Open(std::net::TcpListener),
}

impl Server {
    /// Serves `node` on a port that the system chooses, with TLS if there is an acceptor.
    pub(crate) fn start(node: Arc<dyn Node>, tls: Option<TlsAcceptor>) -> Self {
        let listener = bind("127.0.0.1:0".parse().expect("an address"));
        let address = listener.local_addr().expect("a bound socket");
        let spoil = Arc::<Mutex<Spoil>>::default();
        let (commands, received) = mpsc::unbounded_channel();
        let service = Service { node, tls, spoil: Arc::clone(&spoil) };
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(serve(listener, service, received));
        });
        Self { address, spoil, commands: Some(commands), thread: Some(thread) }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Spoils every answer from now on.
    pub(crate) fn spoil(&self, spoil: Spoil) {
        *self.spoil.lock().expect("no panic under this lock") = spoil;
    }

    /// Stops to listen and breaks every connection; returns when that is done.
    pub(crate) fn close(&self) {
        let (done, closed) = std_mpsc::channel();
        self.command(Command::Close(done));
        closed.recv().expect("the server's thread lives");
    }

    /// Listens anew on the same port, from the moment this returns; connections that are open break.
    pub(crate) fn open_again(&self) {
        self.close();
        self.command(Command::Open(bind(self.address)));
    }

    fn command(&self, command: Command) {
        let commands = self.commands.as_ref().expect("there until it is dropped");
        assert!(commands.send(command).is_ok(), "the server's thread lives");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            // A panic on that thread has been printed there.
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Service {
    node: Arc<dyn Node>,
    tls: Option<TlsAcceptor>,
    spoil: Arc<Mutex<Spoil>>,
}

fn bind(address: SocketAddr) -> std::net::TcpListener {
    let listener = std::net::TcpListener::bind(address).expect("a free port");
    listener.set_nonblocking(true).expect("a socket that does not block");
    listener
}

async fn serve(
    listener: std::net::TcpListener,
    service: Service,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let mut listener = Some(TcpListener::from_std(listener).expect("a listener"));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            stream = accept(listener.as_ref()) => {
                connections.spawn(service.clone().connection(stream));
            }
            command = commands.recv() => match command {
                None => return,
                Some(Command::Open(again)) => {
                    listener = Some(TcpListener::from_std(again).expect("a listener"));
                }
                Some(Command::Close(done)) => {
                    listener = None;
                    connections.shutdown().await;
                    done.send(()).expect("somebody waits");
                }
            },
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    match listener {
        Some(listener) => listener.accept().await.expect("a connection").0,
        None => std::future::pending().await,
    }
}

impl Service {
    async fn connection(self, stream: TcpStream) {
        match self.tls.clone() {
            None => self.http(stream).await,
            // A client that does not trust the certificate ends the handshake.
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream).await {
                    self.http(stream).await;
                }
            }
        }
    }

    async fn http<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(self, stream: S) {
        let service = service_fn(move |request| self.clone().exchange(request));
        // How a connection ends is the business of the test.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    }

    async fn exchange(self, request: Request<Incoming>) -> Result<Response<Answer>, io::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let spoil = *self.spoil.lock().expect("no panic under this lock");
        if spoil == Spoil::Hang {
            std::future::pending::<Infallible>().await;
        }
        let Reply::Answer(answer) = self.node.answer(Request::from_parts(parts, body)).await else {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        };
        // A line that becomes something else has no answer to spoil.
        let spoil = if answer.status() == StatusCode::SWITCHING_PROTOCOLS { Spoil::Not } else { spoil };
        let mut answer = answer.map(|body| Answer::of(spoil, body));
        // One request a connection: then a connection that breaks is never one that waits in a pool.
        if !answer.headers().contains_key(CONNECTION) {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(answer)
    }
}

/// The body of an answer.
struct Answer {
    bytes: Option<Bytes>,
    breaks_off: bool,
}

impl Answer {
    fn of(spoil: Spoil, body: Bytes) -> Self {
        let bytes = match spoil {
            Spoil::Not | Spoil::Hang => body,
            Spoil::Garble => Bytes::from_static(b"<html>It works!</html>"),
            Spoil::Truncate => body.slice(..body.len() / 2),
            Spoil::Oversize => Bytes::from(vec![b' '; OVERSIZE]),
        };
        Self { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), breaks_off: spoil == Spoil::Truncate }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(match self.bytes.take() {
            Some(bytes) => Some(Ok(Frame::data(bytes))),
            None if self.breaks_off => Some(Err(io::Error::from(io::ErrorKind::BrokenPipe))),
            None => None,
        })
    }
}
