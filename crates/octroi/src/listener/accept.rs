//! The accept loop of one core, and the life of one client connection.

use super::{
    io::{Place, Pulse, Waiting, Watched, now},
    opening::{Opened, Opening},
};
use crate::proxy::{Connection, InFlight, LocalExec, Worker, serve};
use arc_swap::ArcSwapOption;
use http::HeaderValue;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use std::{
    cell::RefCell,
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// Pause after a failed accept: a lack of descriptors is waited out, not spun on.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Header fields of a request; more are refused with 431.
const HEAD_FIELDS_MAX: usize = 128;
/// How often a connection looks whether its client is still welcome.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// How long the last bytes of the last answer may take to leave.
const WIND_DOWN_MAX: Duration = Duration::from_secs(30);
/// Requests of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 200;
/// Streams that a client opened and reset before they were served, and errors of its own making, before the connection
/// is closed: the rapid-reset attack (CVE-2023-44487) and its kin (CVE-2025-8671).
const PENDING_RESETS_MAX: usize = 20;
const ERROR_RESETS_MAX: usize = 100;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// What a client gets whose head took too long.
const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// One listener, as all its sockets see it.
pub(super) struct Listening {
    pub(super) index: usize,
    pub(super) tls: ArcSwapOption<ServerConfig>,
    pub(super) header_bytes: usize,
    pub(super) connections: Arc<AtomicUsize>,
    pub(super) connections_max: usize,
}

/// Accepts until draining begins. Connections live on in tasks of their own.
pub(super) async fn accept(
    worker: Rc<Worker>,
    listener: TcpListener,
    listening: Arc<Listening>,
    mut draining: watch::Receiver<bool>,
) {
    let mut is_complaining = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = draining.wait_for(|draining| *draining) => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !std::mem::replace(&mut is_complaining, true) {
                    tracing::error!(%error, "cannot accept connections; trying on");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        is_complaining = false;
        let Some(place) = take_place(&listening, &worker) else { continue };
        let (worker, listening, draining) = (Rc::clone(&worker), Arc::clone(&listening), draining.clone());
        tokio::task::spawn_local(async move {
            // How a connection ends concerns its client only.
            let _ = greet(worker, (stream, place), peer, &listening, draining).await;
        });
    }
}

/// Takes one of the connections that may be held at once.
fn take_place(listening: &Listening, worker: &Worker) -> Option<Place> {
    let gauge = worker.shared.telemetry.meters.connections();
    Place::take(&listening.connections, listening.connections_max, gauge)
}

/// Finds out what the client speaks: TLS says it, plain text shows it in its first bytes. A client that has not asked for
/// anything yet holds up no drain.
async fn greet(
    worker: Rc<Worker>,
    (stream, place): (TcpStream, Place),
    peer: SocketAddr,
    listening: &Listening,
    mut draining: watch::Receiver<bool>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (idle, header) = {
        let timeouts = &worker.shared.snapshot.load().timeouts;
        (timeouts.idle, timeouts.header)
    };
    let tls = listening.tls.load_full();
    let line = Line { worker, header_bytes: listening.header_bytes, draining: draining.clone() };
    let client = Client { peer, listener: listening.index };
    let Some(tls) = tls else {
        let opening = tokio::select! {
            biased;
            opening = Opened::read(stream, idle, header) => opening?,
            _ = draining.wait_for(|draining| *draining) => return Ok(()),
        };
        match opening {
            Opening::Begun { stream, is_h2, at } => {
                let connection = client.connected(None, false, Pulse::new(is_h2, Some(at)));
                line.speak((stream, place), connection, is_h2).await;
            }
            Opening::TooSlow(stream) => tell_too_slow(stream).await,
            Opening::Silent => {}
        }
        return Ok(());
    };
    let stream = tokio::select! {
        biased;
        stream = timeout(header, TlsAcceptor::from(tls).accept(stream)) => stream??,
        _ = draining.wait_for(|draining| *draining) => return Ok(()),
    };
    let (is_h2, server_name) = {
        let session = stream.get_ref().1;
        (session.alpn_protocol() == Some(b"h2"), session.server_name().map(str::to_owned))
    };
    let connection = client.connected(server_name, true, Pulse::new(is_h2, None));
    line.speak((stream, place), connection, is_h2).await;
    Ok(())
}

/// Who has connected, and where.
struct Client {
    peer: SocketAddr,
    listener: usize,
}

impl Client {
    fn connected(self, server_name: Option<String>, is_tls: bool, pulse: Arc<Pulse>) -> Rc<Connection> {
        let text = self.peer.ip().to_canonical().to_string();
        Rc::new(Connection {
            peer: self.peer,
            server_name,
            is_tls,
            listener: self.listener,
            peer_value: HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unknown")),
            pulse,
            deadlines: RefCell::default(),
        })
    }
}

/// Answers a head that did not come in time.
async fn tell_too_slow(mut stream: impl AsyncWrite + Unpin) {
    let _ = timeout(WATCH_EVERY, stream.write_all(REQUEST_TIMEOUT)).await;
    let _ = timeout(WATCH_EVERY, stream.shutdown()).await;
}

/// What every connection of a listener is served with.
struct Line {
    worker: Rc<Worker>,
    header_bytes: usize,
    draining: watch::Receiver<bool>,
}

/// Why a connection is ended from our side.
enum Ending {
    /// No request came, or the gateway drains: what is in progress may end.
    Idle,
    /// A head did not arrive in time.
    SlowHead,
    /// A request takes longer than one may.
    Overdue,
}

impl Line {
    async fn speak<S>(mut self, (stream, place): (S, Place), connection: Rc<Connection>, is_h2: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(Watched::new(stream, Arc::clone(&connection.pulse), place));
        let (worker, of) = (Rc::clone(&self.worker), Rc::clone(&connection));
        let answer = service_fn(move |request: hyper::Request<Incoming>| {
            let (worker, connection) = (Rc::clone(&worker), Rc::clone(&of));
            async move { Ok::<_, Infallible>(serve(worker, InFlight::begin(&connection), request).await) }
        });
        if is_h2 {
            let mut serving = pin!(self.http2().serve_connection(stream, answer));
            let ended = tokio::select! {
                _ = serving.as_mut() => return,
                ending = self.watch(&connection) => ending,
            };
            if matches!(ended, Ending::Idle) {
                serving.as_mut().graceful_shutdown();
                wind_down(serving, &connection).await;
            }
            return;
        }
        let mut serving = Box::pin(self.http1().serve_connection(stream, answer).with_upgrades());
        let ended = tokio::select! {
            _ = serving.as_mut() => return,
            ending = self.watch(&connection) => ending,
        };
        match ended {
            Ending::Idle => {
                serving.as_mut().graceful_shutdown();
                wind_down(serving.as_mut(), &connection).await;
            }
            Ending::Overdue => {}
            Ending::SlowHead => {
                if let Some(parts) = Pin::into_inner(serving).into_parts() {
                    tell_too_slow(parts.io.into_inner()).await;
                }
            }
        }
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(self.header_bytes).max_headers(HEAD_FIELDS_MAX).half_close(false);
        builder
    }

    fn http2(&self) -> http2::Builder<LocalExec> {
        let mut builder = http2::Builder::new(LocalExec);
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(STREAMS_MAX)
            .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
            .max_local_error_reset_streams(ERROR_RESETS_MAX)
            .max_header_list_size(u32::try_from(self.header_bytes).unwrap_or(u32::MAX));
        builder
    }

    /// Returns when the connection should end: idle too long, too slow, or the gateway drains.
    async fn watch(&mut self, connection: &Connection) -> Ending {
        let mut tick = tokio::time::interval(WATCH_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = self.draining.wait_for(|draining| *draining) => return Ending::Idle,
                _ = tick.tick() => {}
            }
            if is_overdue(connection) {
                return Ending::Overdue;
            }
            let timeouts = &self.worker.shared.snapshot.load().timeouts;
            match connection.pulse.waiting() {
                Waiting::ForHead(waited) if waited >= timeouts.header => return Ending::SlowHead,
                Waiting::ForRequest(waited) if waited >= timeouts.idle => return Ending::Idle,
                Waiting::Not | Waiting::ForHead(_) | Waiting::ForRequest(_) => {}
            }
        }
    }
}

/// Whether a request goes on although its time was up a while ago: it ends itself if it can.
fn is_overdue(connection: &Connection) -> bool {
    now().checked_sub(WATCH_EVERY).is_some_and(|then| connection.is_overdue(then))
}

/// Lets what is in progress end. A connection on which nothing is in progress, and which does not end all the same, has
/// a client that neither reads nor stops sending.
async fn wind_down(mut serving: Pin<&mut impl Future>, connection: &Connection) {
    let mut quiet = Duration::ZERO;
    while quiet < WIND_DOWN_MAX {
        if timeout(WATCH_EVERY, serving.as_mut()).await.is_ok() || is_overdue(connection) {
            return;
        }
        let is_busy = matches!(connection.pulse.waiting(), Waiting::Not);
        quiet = if is_busy { Duration::ZERO } else { quiet + WATCH_EVERY };
    }
}
