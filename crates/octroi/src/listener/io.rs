//! A client's stream that notes when a request begins to arrive, so that slow heads and idle connections are told apart
//! without a timer per request.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a connection waits for. Only its own worker uses it; it is atomic because the HTTP library wants streams that
/// could move between threads.
#[derive(Debug)]
pub(crate) struct Pulse {
    start: Instant,
    is_h2: bool,
    /// Requests that are being served.
    in_flight: AtomicU32,
    /// Whether a part of a request head has arrived (HTTP/1 only: in HTTP/2 bytes also come between requests).
    head_begun: AtomicBool,
    /// When the connection became idle, or the head began, in nanoseconds since the start.
    waiting_since_ns: AtomicU64,
}

/// What a connection waits for, and for how long.
pub(super) enum Waiting {
    /// Requests are being served.
    Not,
    /// A request head has begun to arrive.
    ForHead(Duration),
    /// No request has begun.
    ForRequest(Duration),
}

impl Pulse {
    /// A new connection; `begun` is when its first bytes came, if they did.
    pub(super) fn new(is_h2: bool, begun: Option<Instant>) -> Arc<Self> {
        Arc::new(Self {
            start: begun.unwrap_or_else(now),
            is_h2,
            in_flight: AtomicU32::new(0),
            head_begun: AtomicBool::new(begun.is_some() && !is_h2),
            waiting_since_ns: AtomicU64::new(0),
        })
    }

    /// A request has its head: nothing is waited for any more.
    pub(crate) fn begin_request(&self) {
        self.in_flight.fetch_add(1, Relaxed);
        self.head_begun.store(false, Relaxed);
    }

    /// A request has its answer; when it was the last, idling begins.
    pub(crate) fn end_request(&self) {
        if self.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.wait_from_now();
        }
    }

    /// The first bytes after silence begin a head.
    fn note_read(&self) {
        if self.in_flight.load(Relaxed) == 0 && !self.is_h2 && !self.head_begun.swap(true, Relaxed) {
            self.wait_from_now();
        }
    }

    fn wait_from_now(&self) {
        let since = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.waiting_since_ns.store(since, Relaxed);
    }

    pub(super) fn waiting(&self) -> Waiting {
        let since = Duration::from_nanos(self.waiting_since_ns.load(Relaxed));
        let waited = self.start.elapsed().saturating_sub(since);
        match (self.in_flight.load(Relaxed), self.head_begun.load(Relaxed)) {
            (0, true) => Waiting::ForHead(waited),
            (0, false) => Waiting::ForRequest(waited),
            _ => Waiting::Not,
        }
    }
}

/// One of the connections that may be held at once; given back when dropped.
pub(super) struct Place {
    taken: Arc<AtomicUsize>,
    gauge: metrics::Gauge,
}

impl Place {
    /// `None` when `most` are taken already.
    pub(super) fn take(taken: &Arc<AtomicUsize>, most: usize, gauge: &metrics::Gauge) -> Option<Self> {
        let held = taken.fetch_add(1, Relaxed);
        gauge.increment(1.0);
        let place = Self { taken: Arc::clone(taken), gauge: gauge.clone() };
        (held < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Relaxed);
        self.gauge.decrement(1.0);
    }
}

/// A stream whose reads are noted. It has its place as long as it is open, also when it has become a tunnel.
pub(super) struct Watched<S> {
    stream: S,
    pulse: Arc<Pulse>,
    _place: Place,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, pulse: Arc<Pulse>, place: Place) -> Self {
        Self { stream, pulse, _place: place }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if buf.filled().len() > before {
            self.pulse.note_read();
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge: how long a client waits")]
pub(super) fn now() -> Instant {
    Instant::now()
}
