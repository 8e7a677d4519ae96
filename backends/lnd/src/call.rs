//! A gRPC call over HTTP/2 (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
//!
//! A question's head and message leave together, as one TLS record: lnd is woken once for it.

use crate::{fault::CallError, link::Connection};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::RecvStream;
use http::{HeaderMap, Request, StatusCode};
use l402_node_http::Fault;
use prost::Message;
use std::{marker::PhantomData, sync::Weak};
use tonic::{Code, Status};

/// Largest message that is read, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// A question that `A`s are the answers to.
pub(crate) struct Question<A> {
    head: Request<()>,
    message: Bytes,
    name: &'static str,
    types: PhantomData<fn() -> A>,
}

impl<A: Message + Default> Question<A> {
    /// `name` is the answer's, for errors.
    pub(crate) fn new(head: Request<()>, question: &impl Message, name: &'static str) -> Result<Self, Fault> {
        let question = question.encode_to_vec();
        let mut message = BytesMut::with_capacity(PREFIX_BYTES + question.len());
        message.put_u8(0);
        message.put_u32(u32::try_from(question.len()).map_err(|_| Fault::TooLarge)?);
        message.put_slice(&question);
        Ok(Self { head, message: message.freeze(), name, types: PhantomData })
    }

    /// Asks it and waits for lnd to begin to answer.
    pub(crate) async fn ask(self, connection: Connection) -> Result<Answers<A>, CallError> {
        let (answer, under_way) = connection.send(self.head, self.message).await?;
        let (head, body) = answer.await.map_err(|_| Fault::Cut)?.into_parts();
        let is_whole = match Status::from_header_map(&head.headers) {
            Some(status) => verdict(&status).map(|()| true)?,
            None if head.status == StatusCode::OK => false,
            None => return Err(not_grpc(head.status)),
        };
        Ok(Answers {
            body,
            received: BytesMut::new(),
            is_whole,
            name: self.name,
            types: PhantomData,
            _under_way: under_way,
        })
    }
}

/// The answers to a question.
pub(crate) struct Answers<A> {
    body: RecvStream,
    /// What was received of the next one.
    received: BytesMut,
    /// Whether the head said already that nothing follows.
    is_whole: bool,
    name: &'static str,
    types: PhantomData<fn() -> A>,
    _under_way: Weak<()>,
}

impl<A: Message + Default> Answers<A> {
    /// Waits for the one answer that there should be.
    pub(crate) async fn only(mut self) -> Result<A, CallError> {
        let answer = self.next().await?.ok_or(NO_MESSAGE)?;
        match self.next().await? {
            None => Ok(answer),
            Some(_) => Err(NO_MESSAGE.into()),
        }
    }

    /// Waits for the next answer; `None` if lnd has ended them well. Not to be asked again after that, or after an error.
    /// Nothing is lost if this is dropped.
    pub(crate) async fn next(&mut self) -> Result<Option<A>, CallError> {
        loop {
            if let Some(message) = self.take()? {
                let answer = A::decode(message).map_err(|_| Fault::Garbled(self.name))?;
                return Ok(Some(answer));
            }
            let Some(part) = self.body.data().await else {
                return self.end().await.map(|()| None);
            };
            let part = part.map_err(|_| Fault::Cut)?;
            self.body.flow_control().release_capacity(part.len()).map_err(|_| Fault::Cut)?;
            self.received.extend_from_slice(&part);
        }
    }

    /// The next message, if it is here.
    fn take(&mut self) -> Result<Option<Bytes>, Fault> {
        let Some((&[compressed, length @ ..], rest)) = self.received.split_first_chunk::<PREFIX_BYTES>()
        else {
            return Ok(None);
        };
        // Nothing was agreed to be compressed.
        if compressed != 0 {
            return Err(NO_MESSAGE);
        }
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| Fault::TooLarge)?;
        if length > MESSAGE_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.received.advance(PREFIX_BYTES);
        Ok(Some(self.received.split_to(length).freeze()))
    }

    /// What lnd says at the end.
    async fn end(&mut self) -> Result<(), CallError> {
        if !self.is_whole {
            let trailers: HeaderMap = self.body.trailers().await.map_err(|_| Fault::Cut)?.unwrap_or_default();
            let status = Status::from_header_map(&trailers);
            verdict(&status.ok_or_else(|| not_grpc(StatusCode::OK))?)?;
        }
        if self.received.is_empty() { Ok(()) } else { Err(NO_MESSAGE.into()) }
    }
}

/// No message where there has to be one, or one that was not agreed upon.
const NO_MESSAGE: Fault = Fault::Garbled("gRPC message");

fn verdict(status: &Status) -> Result<(), CallError> {
    match status.code() {
        Code::Ok => Ok(()),
        _ => Err(CallError::of_status(status)),
    }
}

/// What an answer means that is not gRPC's. Something before lnd may say that lnd is not there, or who may come through
/// (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>).
fn not_grpc(status: StatusCode) -> CallError {
    let code = match status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Code::Unavailable,
        _ => return Fault::Garbled("gRPC status").into(),
    };
    CallError::of_status(&Status::new(code, "not gRPC"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        link::Link,
        messages::{GET_STATE, NodeState, Nothing},
    };
    use h2::server::SendResponse;
    use http::Response;
    use l402_lightning::{Secret, SettingValue, Settings};
    use tokio::net::TcpListener;

    /// What comes of it when lnd answers in this way.
    async fn answered(
        answer: impl FnOnce(SendResponse<Bytes>) + Send + 'static,
    ) -> Result<NodeState, CallError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let settings = Settings::new(None)
            .with("address", SettingValue::Text(address))
            .with("macaroon", SettingValue::Secret(Secret::from_bytes(vec![2, 1])));
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(listener.accept().await.unwrap().0).await.unwrap();
            answer(connection.accept().await.unwrap().unwrap().1);
            while connection.accept().await.is_some() {}
        });
        let link = Link::open(&settings).unwrap();
        let question = link.question(&GET_STATE, &Nothing {}).unwrap();
        question.ask(link.connect().await.unwrap()).await?.only().await
    }

    fn head(status: StatusCode, code: Option<&str>) -> Response<()> {
        let mut head = Response::new(());
        *head.status_mut() = status;
        head.headers_mut().extend(trailers(code));
        head
    }

    fn trailers(code: Option<&str>) -> HeaderMap {
        let code = code.map(|code| (http::HeaderName::from_static("grpc-status"), code.parse().unwrap()));
        code.into_iter().collect()
    }

    /// An answer in these parts, each in a frame of its own, with this status at the end.
    async fn in_parts(parts: Vec<Vec<u8>>, code: Option<&'static str>) -> Result<NodeState, CallError> {
        answered(move |mut answer| {
            let mut body = answer.send_response(head(StatusCode::OK, None), false).unwrap();
            for part in parts {
                body.send_data(part.into(), false).unwrap();
            }
            body.send_trailers(trailers(code)).unwrap();
        })
        .await
    }

    fn fault<T>(result: Result<T, CallError>) -> Fault {
        match result.err().unwrap() {
            CallError::Fault(fault) => fault,
            refused @ CallError::Refused { .. } => panic!("{refused:?}"),
        }
    }

    #[tokio::test]
    async fn a_message_may_come_in_any_parts() {
        for parts in [vec![vec![0, 0, 0, 0, 2, 8, 4]], vec![vec![0, 0, 0], vec![0, 2], vec![8], vec![4]]] {
            assert_eq!(in_parts(parts, Some("0")).await.unwrap().state, 4);
        }
        assert_eq!(in_parts(vec![vec![0; 5]], Some("0")).await.unwrap().state, 0);
    }

    #[tokio::test]
    async fn only_one_whole_message_and_a_good_end_are_an_answer() {
        for parts in [
            vec![],
            vec![vec![0, 0, 0, 0, 2, 8]],
            vec![vec![1, 0, 0, 0, 2, 8, 4]],
            vec![vec![0; 5], vec![0; 5]],
            vec![vec![0; 5], vec![0]],
        ] {
            assert_eq!(fault(in_parts(parts.clone(), Some("0")).await), NO_MESSAGE, "{parts:?}");
        }
        assert_eq!(fault(in_parts(vec![vec![0, 0, 16, 0, 1]], Some("0")).await), Fault::TooLarge);
        assert_eq!(fault(in_parts(vec![vec![0; 5]], None).await), Fault::Garbled("gRPC status"));
        let refused = in_parts(vec![vec![0; 5]], Some("7")).await.err().unwrap();
        assert!(refused.says_forbidden());
    }

    #[tokio::test]
    async fn a_head_may_be_the_whole_answer() {
        let answer = |status, code| {
            answered(move |mut answer| {
                answer.send_response(head(status, code), true).unwrap();
            })
        };
        assert!(answer(StatusCode::OK, Some("5")).await.err().unwrap().says_unknown_invoice());
        assert_eq!(fault(answer(StatusCode::OK, Some("0")).await), NO_MESSAGE);
        assert_eq!(fault(answer(StatusCode::OK, None).await), Fault::Garbled("gRPC status"));
        assert_eq!(fault(answer(StatusCode::NOT_FOUND, None).await), Fault::Garbled("gRPC status"));
        assert_eq!(fault(answer(StatusCode::BAD_GATEWAY, None).await), Fault::Cut);
        assert!(answer(StatusCode::FORBIDDEN, None).await.err().unwrap().says_forbidden());
    }

    #[tokio::test]
    async fn a_call_that_is_broken_off_is_cut() {
        let reset = answered(|mut answer| answer.send_reset(h2::Reason::INTERNAL_ERROR)).await;
        assert_eq!(fault(reset), Fault::Cut);
    }
}
