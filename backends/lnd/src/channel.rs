//! The connection to lnd's gRPC interface.
//!
//! One HTTP/2 connection carries every call of one adapter, whichever runtime the call comes from, and is made again by
//! itself once it has broken. It lives on a thread of its own: a connection needs a runtime that outlives every caller,
//! and neither a gateway with one runtime per core nor a program that opens before it has any can give one.

use crate::{
    address::Address,
    credential,
    fault::CallError,
    line::{Target, connect},
    messages::Method,
};
use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use l402_lightning::{NotSent, OpenError, Settings};
use l402_node_http::Fault;
use prost::Message;
use std::{
    future::poll_fn,
    io,
    marker::PhantomData,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    time::timeout,
};
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

/// Longest time for the answer to a question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest message that is read, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// How long a connection with a call under way may be silent before lnd is asked for a sign of life. lnd takes more than
/// one ping in 5 s, or one without a call under way, for abuse.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long lnd may take for it.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

type TaskOfConnection = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One lnd, over gRPC.
pub(crate) struct Node {
    grpc: Grpc<Channel>,
    macaroon: MetadataValue<Ascii>,
    thread: Arc<Thread>,
}

impl Node {
    /// Prepares the way with the settings `address`, `certificate` and `macaroon`; connects to nothing.
    pub(crate) fn open(settings: &Settings) -> Result<Self, OpenError> {
        let address = Address::from_settings(settings)?;
        let macaroon = credential::macaroon(settings, &address.enclosed)?;
        let tls = credential::tls(settings, &address)?;
        let form = || OpenError::Form { setting: "address", expected: "a URL like https://host:10009" };
        let authority = address.authority();
        let target = Arc::new(Target::new(address, tls).ok_or_else(form)?);
        let thread = Thread::start().map_err(|_| OpenError::NotReady(NotSent::Overloaded))?;
        // tonic's own TLS stays out of it: what it is given is a connection that carries HTTP/2.
        let scheme = if target.is_plain() { "http" } else { "https" };
        let origin = format!("{scheme}://{authority}").parse().map_err(|_| form())?;
        let endpoint = Endpoint::from_shared(format!("http://{authority}"))
            .map_err(|_| form())?
            .origin(origin)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .executor(OnThread(thread.handle.clone()));
        let connector = tower::service_fn(move |_| connect(Arc::clone(&target)));
        let channel = endpoint.connect_with_connector_lazy(connector);
        let grpc = Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { grpc, macaroon, thread: Arc::new(thread) })
    }

    /// Asks a question once and waits for its answer, 5 s at most.
    pub(crate) async fn ask<Q, A>(&self, method: &Method<Q, A>, question: &Q) -> Result<A, CallError>
    where
        Q: Message,
        A: Message + Default,
    {
        let mut grpc = self.grpc.clone();
        let request = self.request(question);
        let exchange = async {
            grpc.ready().await.map_err(|_| Fault::NotConnected)?;
            let path = PathAndQuery::from_static(method.path);
            grpc.unary(request, path, Raw).await.map_err(|status| CallError::of_status(&status))
        };
        let answer = timeout(ANSWER_TIMEOUT, exchange).await.unwrap_or(Err(Fault::Timeout.into()))?;
        decode(answer.into_inner(), method.answer)
    }

    /// Begins to ask a question that any number of answers may follow, for as long as it takes.
    pub(crate) fn listen<Q, A>(&self, method: &Method<Q, A>, question: &Q) -> Listening<A>
    where
        Q: Message,
        A: Message + Default,
    {
        let mut grpc = self.grpc.clone();
        let request = self.request(question);
        let path = PathAndQuery::from_static(method.path);
        let opening = async move {
            grpc.ready().await.map_err(|_| Fault::NotConnected)?;
            let answers = grpc.server_streaming(request, path, Raw).await;
            Ok(answers.map_err(|status| CallError::of_status(&status))?.into_inner())
        };
        Listening {
            answers: Answers::Opening(Box::pin(opening)),
            name: method.answer,
            _thread: Arc::clone(&self.thread),
            types: PhantomData,
        }
    }

    fn request<Q: Message>(&self, question: &Q) -> Request<Vec<u8>> {
        let mut request = Request::new(question.encode_to_vec());
        request.metadata_mut().insert("macaroon", self.macaroon.clone());
        request
    }
}

/// The answers that follow a question, one by one.
pub(crate) struct Listening<A> {
    answers: Answers,
    name: &'static str,
    _thread: Arc<Thread>,
    types: PhantomData<fn() -> A>,
}

enum Answers {
    /// lnd says nothing before its first answer, not even that it heard the question.
    Opening(Pin<Box<dyn Future<Output = Result<Streaming<Bytes>, CallError>> + Send>>),
    Coming(Box<Streaming<Bytes>>),
    Ended,
}

impl<A: Message + Default> Listening<A> {
    /// Waits for the next answer; `None` if lnd ended them, and after an error. Nothing is lost if this is dropped.
    pub(crate) async fn next(&mut self) -> Result<Option<A>, CallError> {
        let answer = self.next_bytes().await;
        if !matches!(answer, Ok(Some(_))) {
            self.answers = Answers::Ended;
        }
        answer?.map(|bytes| decode(bytes, self.name)).transpose()
    }

    /// The next answer if it is here already. Has the question sent, too, if it was not.
    pub(crate) async fn next_if_here(&mut self) -> Option<Result<Option<A>, CallError>> {
        let mut next = pin!(self.next());
        poll_fn(|context| match next.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    async fn next_bytes(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            match &mut self.answers {
                Answers::Opening(opening) => {
                    self.answers = Answers::Coming(Box::new(opening.as_mut().await?));
                }
                Answers::Coming(answers) => {
                    return answers.message().await.map_err(|status| CallError::of_status(&status));
                }
                Answers::Ended => return Ok(None),
            }
        }
    }
}

pub(crate) fn decode<A: Message + Default>(bytes: Bytes, name: &'static str) -> Result<A, CallError> {
    A::decode(bytes).map_err(|_| Fault::Garbled(name).into())
}

/// A thread with a runtime on it, which ends with this.
struct Thread {
    handle: Handle,
    _end: oneshot::Sender<()>,
}

impl Thread {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let run = move || {
            // Ends with an error, because the sender sends nothing before it goes.
            let _ = runtime.block_on(ended);
        };
        std::thread::Builder::new().name("lnd".to_owned()).spawn(run)?;
        Ok(Self { handle, _end: end })
    }
}

/// Has a connection's tasks run on the thread.
struct OnThread(Handle);

impl hyper::rt::Executor<TaskOfConnection> for OnThread {
    fn execute(&self, task: TaskOfConnection) {
        self.0.spawn(task);
    }
}

/// Messages as bytes: so that a message which cannot be decoded is not mistaken for lnd's word.
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
