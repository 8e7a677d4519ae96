//! Every reason for which a request does not reach the upstream, or its answer does not reach the client.

use crate::{
    StoreError, ledger::Units, mint::MintRefusal, path::PathProblem, route::Place, settled::Unsettled,
};
use http::StatusCode;
use l402::{ClearError, CredentialError, VerifyError};
use l402_lightning::{Invoice, InvoicerError};
use std::sync::Arc;

/// A closed set; [`Gate::answer`](crate::Gate::answer) is the one place that turns it into a response.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The request carries no L402 credential.
    #[error("payment required")]
    Missing,
    /// A credential is required, but none is sold here.
    #[error("a credential is required, and no invoice is issued at this address")]
    NotSoldHere,
    /// The credential does not parse.
    #[error("the credential cannot be read: {0}")]
    Malformed(CredentialError),
    /// The credential is no proof of payment.
    #[error("the credential does not hold: {0}")]
    Unproven(VerifyError),
    /// The token does not allow this request.
    #[error("the token does not allow this request: {0}")]
    NotAllowed(ClearError),
    /// The payment is proven, and the node does not know it as settled.
    #[error(transparent)]
    Unsettled(Unsettled),
    /// The token was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// The token's units do not suffice for this request.
    #[error("the token has {balance} units left, and this request needs {needed}")]
    Exhausted {
        /// What it has left.
        balance: Units,
        /// What would be set aside.
        needed: Units,
    },
    /// A request with the same `Idempotency-Key` is still being served.
    #[error("a request with this `Idempotency-Key` is still being served")]
    InFlight,
    /// Another request had the same `Idempotency-Key`.
    #[error("this `Idempotency-Key` belongs to another request")]
    KeyReused,
    /// The same request was charged before, and its answer was too large to keep or did not end.
    #[error("this request was charged before, and its answer was not kept: it was too large, or did not end")]
    AnswerNotKept,
    /// The `Idempotency-Key` cannot be one.
    #[error("an `Idempotency-Key` is one line of 1 to 255 printable ASCII characters")]
    IdempotencyKey,
    /// The request's body has to be read to count it, and cannot be.
    #[error("the body of this request cannot be counted: {0}")]
    BodyUnreadable(&'static str),
    /// The request's body has to be read to count it, and is too large.
    #[error("the body of this request is larger than the {0} bytes that can be counted")]
    BodyTooLarge(usize),
    /// The request's body is paid for by its size, which it does not say.
    #[error("a body that is paid for by its size has to say its `Content-Length`")]
    LengthRequired,
    /// `L402-Pack` names nothing that is sold here.
    #[error("no such pack is sold here")]
    UnknownPack,
    /// The ledger cannot be asked.
    #[error("the balance cannot be looked up at the moment")]
    Ledger(StoreError),
    /// A challenge was due and could not be made.
    #[error(transparent)]
    NotMinted(MintRefusal),
    /// A browser asks whether a page may call the service; answered here, never forwarded.
    #[error("preflight")]
    Preflight,
    /// No service covers host and path.
    #[error("no service answers at this address")]
    NoRoute,
    /// The path means different things to different servers.
    #[error("the path is refused: {0}")]
    Path(PathProblem),
    /// Host or framing of the request is ambiguous; the connection closes.
    #[error("the request is refused: {0}")]
    Framing(&'static str),
    /// The TLS connection was opened for another service.
    #[error("this connection was opened for another host")]
    Misdirected,
    /// A method that the gateway does not pass on.
    #[error("this method is not supported")]
    Method,
    /// More header bytes or fields than the listener allows.
    #[error("the header is too large")]
    HeaderTooLarge,
    /// The client took too long to send its request.
    #[error("the request took too long to arrive")]
    RequestTimeout,
    /// Too many connections or requests at once.
    #[error("the gateway is busy")]
    Busy,
    /// The upstream could not be reached, or answered with something that is not HTTP.
    #[error("the service behind this gateway cannot be reached")]
    UpstreamUnreachable,
    /// The upstream did not answer in time.
    #[error("the service behind this gateway did not answer in time")]
    UpstreamTimeout,
    /// The gateway itself failed.
    #[error("the gateway failed")]
    Internal,
}

/// A refusal with the place it happened at, where that is known.
#[derive(Debug)]
pub struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) place: Option<Place>,
    /// What the token of an unsettled payment was bought by, while that can still be paid.
    pub(crate) open: Option<Arc<Invoice>>,
}

impl Refused {
    /// A refusal before any service was found.
    pub fn before_routing(refusal: Refusal) -> Self {
        Self { refusal, place: None, open: None }
    }

    /// The reason.
    pub fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// Index of the service, where one was found.
    pub fn service_id(&self) -> Option<usize> {
        self.place.map(|place| place.service)
    }
}

impl Refusal {
    /// A short machine-readable reason: part of the wire contract, and the label of counters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "payment_required",
            Self::NotSoldHere => "credential_required",
            Self::Malformed(_) => "malformed_credential",
            Self::Unproven(VerifyError::Preimage) => "wrong_preimage",
            Self::Unproven(VerifyError::Signature) => "invalid_token",
            Self::Unproven(VerifyError::ThirdParty) => "third_party_caveat",
            Self::NotAllowed(error) => clear_reason(*error),
            Self::Unsettled(Unsettled::Open) => "unsettled",
            Self::Unsettled(Unsettled::NodeSilent(_)) => "node_unavailable",
            Self::Unsettled(Unsettled::Store(_)) => "store_unavailable",
            Self::Revoked => "revoked",
            Self::Exhausted { .. } => "exhausted",
            Self::InFlight => "in_flight",
            Self::KeyReused => "key_reused",
            Self::AnswerNotKept => "answer_not_kept",
            Self::IdempotencyKey => "idempotency_key",
            Self::BodyUnreadable(_) => "unreadable_body",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::LengthRequired => "length_required",
            Self::UnknownPack => "unknown_pack",
            Self::Ledger(_) => "ledger_unavailable",
            Self::NotMinted(error) => mint_reason(error),
            Self::Preflight => "preflight",
            Self::NoRoute => "no_route",
            Self::Path(_) => "ambiguous_path",
            Self::Framing(_) => "bad_request",
            Self::Misdirected => "misdirected",
            Self::Method => "method",
            Self::HeaderTooLarge => "header_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::Busy => "busy",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::Internal => "internal",
        }
    }

    /// Whether a fresh challenge belongs into the answer: where buying helps the holder.
    pub fn mints(&self) -> bool {
        self.status() == StatusCode::PAYMENT_REQUIRED
    }

    /// The HTTP status (wire contract, section 3). A token that once was good is answered 402, not 401: deployed
    /// clients buy again on a 402 and are locked out by a 401.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotAllowed(ClearError::Undecodable | ClearError::Widened)
            | Self::Malformed(_)
            | Self::NotSoldHere
            | Self::Unproven(VerifyError::Preimage | VerifyError::ThirdParty) => StatusCode::UNAUTHORIZED,
            Self::Missing
            | Self::Unproven(VerifyError::Signature)
            | Self::NotAllowed(_)
            | Self::Revoked
            | Self::Exhausted { .. }
            | Self::Unsettled(Unsettled::Open) => StatusCode::PAYMENT_REQUIRED,
            Self::InFlight | Self::AnswerNotKept => StatusCode::CONFLICT,
            Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::LengthRequired => StatusCode::LENGTH_REQUIRED,
            Self::NotMinted(MintRefusal::Limited { .. }) => StatusCode::TOO_MANY_REQUESTS,
            Self::NotMinted(MintRefusal::Token(_)) | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotMinted(_) | Self::Unsettled(_) | Self::Ledger(_) | Self::Busy => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Preflight => StatusCode::NO_CONTENT,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Path(_)
            | Self::Framing(_)
            | Self::IdempotencyKey
            | Self::BodyUnreadable(_)
            | Self::UnknownPack => StatusCode::BAD_REQUEST,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Method => StatusCode::NOT_IMPLEMENTED,
            Self::HeaderTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::UpstreamUnreachable => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The gRPC status code ([gRPC status codes](https://grpc.io/docs/guides/status-codes/)). Payment is 13, as every
    /// deployed client expects.
    pub fn grpc_status(&self) -> u8 {
        match self.status() {
            StatusCode::PAYMENT_REQUIRED | StatusCode::INTERNAL_SERVER_ERROR => 13,
            StatusCode::UNAUTHORIZED => 16,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => 8,
            StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED => 12,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY => 14,
            StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => 4,
            StatusCode::FORBIDDEN => 7,
            StatusCode::CONFLICT => 10,
            _ => 3,
        }
    }

    /// Seconds after which it is worth trying again.
    pub fn retry_after_secs(&self) -> Option<u64> {
        match self {
            Self::NotMinted(
                MintRefusal::Limited { retry_secs }
                | MintRefusal::Budget { retry_secs }
                | MintRefusal::Node { retry_secs, .. },
            ) => Some(*retry_secs),
            Self::NotMinted(MintRefusal::NoPrice) => Some(60),
            Self::Unsettled(Unsettled::NodeSilent(InvoicerError::Resting { retry_secs })) => {
                Some(*retry_secs)
            }
            Self::Unsettled(Unsettled::NodeSilent(_) | Unsettled::Store(_)) | Self::Ledger(_) => Some(5),
            Self::Busy | Self::InFlight => Some(1),
            _ => None,
        }
    }
}

fn clear_reason(error: ClearError) -> &'static str {
    match error {
        ClearError::WrongService => "wrong_service",
        ClearError::WrongTier => "wrong_tier",
        ClearError::Expired => "expired",
        ClearError::CapabilityMissing => "capability_missing",
        ClearError::Constraint => "constraint",
        ClearError::NotMetered => "not_metered",
        ClearError::Metered => "metered",
        ClearError::UnknownCaveat => "unknown_caveat",
        ClearError::Undecodable => "undecodable_caveat",
        ClearError::Widened => "widened_caveat",
    }
}

fn mint_reason(error: &MintRefusal) -> &'static str {
    match error {
        MintRefusal::Limited { .. } => "rate_limited",
        MintRefusal::Budget { .. } => "mint_budget",
        MintRefusal::NoPrice => "price_unknown",
        MintRefusal::Node { .. } => "node_unavailable",
        MintRefusal::Token(_) => "mint_failed",
    }
}
