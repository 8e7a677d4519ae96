//! HTTP/2 connections to lnd's gRPC interface.

use crate::{
    address::Address,
    call::Question,
    credential,
    line::{Line, NoLine, Target, connect},
    messages::Method,
};
use bytes::Bytes;
use h2::{
    Ping,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{
    HeaderValue, Method as Verb, Request, Uri,
    header::{CONTENT_TYPE, TE},
    uri::PathAndQuery,
};
use l402_lightning::{OpenError, Settings};
use l402_node_http::Fault;
use l402_tls::is_certificate_fault;
use prost::Message;
use std::{
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// How much of an answer lnd may send ahead of what is read, in bytes: a large message.
const WINDOW_BYTES: u32 = 1024 * 1024;
/// The same for all answers together: one that nobody reads for a while holds up no other.
const CONNECTION_WINDOW_BYTES: u32 = 4 * WINDOW_BYTES;
/// Largest head of an answer, in bytes.
const HEAD_BYTES_MAX: u32 = 16 * 1024;
/// How often lnd is asked for a sign of life while a call is under way. It takes more than one ping in 5 s, or one
/// without a call, for abuse.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long lnd may take for it.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Where lnd is, whom to trust there, and what to show.
pub(crate) struct Link {
    target: Target,
    /// The head of every request, but for the path.
    head: Request<()>,
}

impl Link {
    /// From the settings `address`, `certificate` and `macaroon`; connects to nothing.
    pub(crate) fn open(settings: &Settings) -> Result<Self, OpenError> {
        let address = Address::from_settings(settings)?;
        let macaroon = credential::macaroon(settings, &address.enclosed)?;
        let tls = credential::tls(settings, &address)?;
        let form = || OpenError::Form { setting: "address", expected: "a URL like https://host:10009" };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut head = Request::new(());
        *head.method_mut() = Verb::POST;
        *head.uri_mut() = format!("{scheme}://{}", address.authority()).parse().map_err(|_| form())?;
        head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        head.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
        head.headers_mut().insert("macaroon", macaroon);
        Ok(Self { target: Target::new(address, tls).ok_or_else(form)?, head })
    }

    /// Makes a connection. Whatever fails here, nothing was asked.
    pub(crate) async fn connect(&self) -> Result<Connection, Fault> {
        let line = connect(&self.target).await.map_err(|error| no_connection(&error))?;
        let handshake = Builder::new()
            .initial_window_size(WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(HEAD_BYTES_MAX)
            .enable_push(false)
            .handshake(line);
        let (sender, connection) = handshake.await.map_err(|_| Fault::NotConnected)?;
        let calls = Arc::new(());
        tokio::spawn(keep(connection, Arc::clone(&calls)));
        Ok(Connection { sender, calls })
    }

    /// A question, ready to be sent.
    pub(crate) fn question<Q, A>(&self, method: &Method<Q, A>, question: &Q) -> Result<Question<A>, Fault>
    where
        Q: Message,
        A: Message + Default,
    {
        let mut head = self.head.clone();
        let mut address = head.uri().clone().into_parts();
        address.path_and_query = Some(PathAndQuery::from_static(method.path));
        *head.uri_mut() = Uri::from_parts(address).map_err(|_| Fault::NotConnected)?;
        Question::new(head, question, method.answer)
    }
}

/// A connection that has been made. It ends with its last clone, and with the runtime it was made on.
#[derive(Clone)]
pub(crate) struct Connection {
    sender: SendRequest<Bytes>,
    /// Each call under way holds a weak reference.
    calls: Arc<()>,
}

impl Connection {
    /// Whether a question can be asked over it, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        let ready = self.sender.clone().poll_ready(&mut Context::from_waker(Waker::noop()));
        !matches!(ready, Poll::Ready(Err(_)))
    }

    /// Sends a head and a message in one go. What is given besides the answer is to be held until the call has ended.
    pub(crate) async fn send(
        self,
        head: Request<()>,
        message: Bytes,
    ) -> Result<(ResponseFuture, Weak<()>), Fault> {
        let mut sender = self.sender.ready().await.map_err(|_| Fault::NotConnected)?;
        let (answer, mut body) = sender.send_request(head, false).map_err(|_| Fault::NotConnected)?;
        body.send_data(message, true).map_err(|_| Fault::Cut)?;
        Ok((answer, Arc::downgrade(&self.calls)))
    }
}

/// Keeps a connection going until it ends, or until lnd shows no sign of life while a call is under way. The calls on it
/// are told.
async fn keep(mut connection: h2::client::Connection<Box<dyn Line>, Bytes>, calls: Arc<()>) {
    let Some(mut pings) = connection.ping_pong() else { return };
    let silence = async move {
        loop {
            sleep(PING_INTERVAL).await;
            if Arc::weak_count(&calls) > 0 {
                let pong = timeout(PING_TIMEOUT, pings.ping(Ping::opaque())).await;
                if !matches!(pong, Ok(Ok(_))) {
                    return;
                }
            }
        }
    };
    tokio::select! {
        _ = connection => {}
        () = silence => {}
    }
}

fn no_connection(error: &NoLine) -> Fault {
    match error {
        NoLine::Io(error) if is_certificate_fault(error) => Fault::Certificate,
        NoLine::Io(_) | NoLine::Timeout => Fault::NotConnected,
        NoLine::NotHttp2 => Fault::Garbled("HTTP/2 (is this the port of lnd's gRPC interface?)"),
    }
}
