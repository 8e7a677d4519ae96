//! The API behind a gateway: it records what reaches it and answers as it is told.

use crate::{
    background::Background,
    body::{FrameSender, ReplyBody},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// An HTTP server, for HTTP/1.1 and for HTTP/2 with prior knowledge.
#[derive(Debug)]
pub struct Upstream {
    server: Background,
    script: Arc<Mutex<Script>>,
}

/// How an [`Upstream`] answers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reply {
    /// This status, these header fields (added to nothing else) and this body.
    Fixed(StatusCode, HeaderMap, Bytes),
    /// The request, told back as a JSON object: `method`, `target`, `version`, `headers` (pairs of name and value,
    /// in order), `body`.
    Echo,
    /// 200 with a body that breaks off after these bytes, without a last chunk; the connection breaks with it.
    CutBody(Bytes),
    /// 200 with a body and trailers. HTTP/1.1 readers get them only if they asked for trailers.
    Trailers(Bytes, HeaderMap),
    /// 200 with an event stream that [`Upstream::push`] feeds.
    Events,
    /// These bytes instead of an HTTP answer, then the end of the connection. It must be set before the connection is
    /// made.
    Raw(Bytes),
    /// Another reply, so much later.
    After(Duration, Box<Reply>),
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its method.
    pub method: Method,
    /// Its target as it was written (path and query; with HTTP/2 also scheme and authority).
    pub target: String,
    /// Its protocol version.
    pub version: Version,
    /// Its header fields.
    pub headers: HeaderMap,
}

#[derive(Debug)]
struct Script {
    reply: Reply,
    seen: Vec<Seen>,
    streams: Vec<FrameSender>,
}

impl Reply {
    /// 200 with a text.
    pub fn text(text: &str) -> Self {
        Self::Fixed(StatusCode::OK, HeaderMap::new(), Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl Upstream {
    /// A server that answers every request with `reply`.
    pub fn start(reply: Reply) -> Self {
        let script = Arc::new(Mutex::new(Script { reply, seen: Vec::new(), streams: Vec::new() }));
        let (opening, handling) = (Arc::clone(&script), Arc::clone(&script));
        let server = Background::start_http(
            move |stream| open(Arc::clone(&opening), stream),
            move |request| handle(Arc::clone(&handling), request),
        );
        Self { server, script }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its origin, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Answers with this from now on.
    pub fn reply(&self, reply: Reply) {
        lock(&self.script).reply = reply;
    }

    /// How many requests reached it.
    pub fn count(&self) -> usize {
        lock(&self.script).seen.len()
    }

    /// The requests that reached it, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.script).seen.clone()
    }

    /// Sends a piece to every open event stream.
    pub fn push(&self, piece: &str) {
        let mut script = lock(&self.script);
        let frame = || Ok(Frame::data(Bytes::copy_from_slice(piece.as_bytes())));
        script.streams.retain(|stream| !stream.is_closed());
        for stream in &script.streams {
            stream.try_send(frame()).expect("a reader that keeps up");
        }
    }

    /// Ends every open event stream.
    pub fn end_streams(&self) {
        lock(&self.script).streams.clear();
    }

    /// Event streams that still have a reader.
    pub fn open_streams(&self) -> usize {
        lock(&self.script).streams.iter().filter(|stream| !stream.is_closed()).count()
    }
}

/// Takes the connection over if the script wants raw bytes on it.
async fn open(script: Arc<Mutex<Script>>, mut stream: TcpStream) -> Option<TcpStream> {
    let _ = stream.set_nodelay(true);
    let Reply::Raw(bytes) = lock(&script).reply.clone() else { return Some(stream) };
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let text = String::from_utf8_lossy(&head);
    let mut words = text.split(' ');
    lock(&script).seen.push(Seen {
        method: words.next().and_then(|word| word.parse().ok()).unwrap_or_default(),
        target: words.next().unwrap_or_default().to_owned(),
        version: Version::HTTP_11,
        headers: HeaderMap::new(),
    });
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
    None
}

/// Records a request and answers it.
async fn handle(script: Arc<Mutex<Script>>, request: Request<Incoming>) -> Response<ReplyBody> {
    let (head, body) = request.into_parts();
    let seen = Seen {
        method: head.method,
        target: head.uri.to_string(),
        version: head.version,
        headers: head.headers,
    };
    let mut reply = {
        let mut script = lock(&script);
        script.seen.push(seen.clone());
        script.reply.clone()
    };
    while let Reply::After(delay, next) = reply {
        tokio::time::sleep(delay).await;
        reply = *next;
    }
    match reply {
        Reply::Fixed(status, headers, bytes) => {
            let _ = body.collect().await;
            let mut response = Response::new(ReplyBody::whole(bytes));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
        Reply::Echo => {
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let mut response = Response::new(ReplyBody::whole(seen.told_back(&body).to_string()));
            response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
            response
        }
        Reply::CutBody(bytes) => Response::new(ReplyBody::cut_after(bytes)),
        Reply::Trailers(bytes, trailers) => {
            let _ = body.collect().await;
            Response::new(ReplyBody::with_trailers(bytes, trailers))
        }
        Reply::Events => {
            let (sender, body) = ReplyBody::open();
            lock(&script).streams.push(sender);
            let mut response = Response::new(body);
            response
                .headers_mut()
                .insert("content-type", http::HeaderValue::from_static("text/event-stream"));
            response
        }
        Reply::Raw(_) | Reply::After(..) => {
            // A connection from before the script changed: it has no better answer.
            let mut response = Response::new(ReplyBody::whole(Bytes::new()));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

impl Seen {
    /// The request as [`Reply::Echo`] tells it back.
    fn told_back(&self, body: &[u8]) -> Value {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers: Vec<Value> =
            self.headers.iter().map(|(name, value)| json!([name.as_str(), text(value.as_bytes())])).collect();
        json!({
            "method": self.method.as_str(),
            "target": self.target,
            "version": format!("{:?}", self.version),
            "headers": headers,
            "body": text(body),
        })
    }
}

fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}
