//! Answers in the form of LND's REST gateway.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    body::{Body, Frame, SizeHint},
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::{Value, json};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use thiserror::Error;
use tokio::sync::mpsc;

/// A response of the door, or the order to cut the line.
pub(super) type Answer = Result<Response<DoorBody>, LineCut>;

/// A knob says that the line is cut here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the line is cut")]
pub(super) struct LineCut;

/// A gRPC status code, as LND answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Unknown = 2,
    InvalidArgument = 3,
    NotFound = 5,
    AlreadyExists = 6,
    ResourceExhausted = 8,
    Unimplemented = 12,
}

/// A refusal, as LND words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) code: Code,
    pub(super) message: String,
}

impl Refused {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The HTTP status that the REST gateway gives this code.
    pub(super) fn status(&self) -> StatusCode {
        match self.code {
            Code::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
            Code::InvalidArgument => StatusCode::BAD_REQUEST,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::AlreadyExists => StatusCode::CONFLICT,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        }
    }

    /// The status object.
    pub(super) fn json(&self) -> Value {
        json!({ "code": self.code as u8, "message": self.message, "details": [] })
    }
}

/// A whole JSON answer.
pub(super) fn whole(status: StatusCode, json: &Value) -> Response<DoorBody> {
    response(status, DoorBody::Whole(Full::from(json.to_string())))
}

/// An answer to a call that has one.
pub(super) fn unary(result: Result<Value, Refused>) -> Response<DoorBody> {
    match result {
        Ok(json) => whole(StatusCode::OK, &json),
        Err(refused) => whole(refused.status(), &refused.json()),
    }
}

/// An answer of JSON lines that are sent as they come.
pub(super) fn streamed(lines: mpsc::Receiver<Result<Bytes, LineCut>>) -> Response<DoorBody> {
    response(StatusCode::OK, DoorBody::Lines(lines))
}

/// A stream that is refused before its first line.
pub(super) fn stream_refused(refused: &Refused) -> Response<DoorBody> {
    response(refused.status(), DoorBody::Whole(Full::from(error_line(refused))))
}

/// One line of a stream.
pub(super) fn result_line(result: &Value) -> Bytes {
    Bytes::from(format!("{}\n", json!({ "result": result })))
}

/// The line that ends a stream in a failure.
pub(super) fn error_line(refused: &Refused) -> Bytes {
    Bytes::from(format!("{}\n", json!({ "error": refused.json() })))
}

fn response(status: StatusCode, body: DoorBody) -> Response<DoorBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The body of an answer.
pub(super) enum DoorBody {
    Whole(Full<Bytes>),
    Lines(mpsc::Receiver<Result<Bytes, LineCut>>),
}

impl Body for DoorBody {
    type Data = Bytes;
    type Error = LineCut;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, LineCut>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Self::Lines(lines) => lines.poll_recv(context).map(|line| Some(line?.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Lines(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Lines(_) => SizeHint::default(),
        }
    }
}
