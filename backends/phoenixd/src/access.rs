//! Which of the two passwords it is.

use crate::{api::Api, refusal::Refusal};
use http::StatusCode;
use l402_node_http::Fault;

/// What a password opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything, paying included.
    Full,
    /// No payments; a wrong password is no more than that either.
    Limited,
}

impl Access {
    /// Orders a payment without saying of what. phoenixd looks at the password first (401), then misses the invoice
    /// (400); nothing can come of it.
    pub(crate) async fn ask(api: &Api) -> Result<Self, Refusal> {
        match api.status_of_empty_order("payinvoice").await? {
            StatusCode::BAD_REQUEST => Ok(Self::Full),
            // A proxy that keeps payments out says one of the others.
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED => Ok(Self::Limited),
            _ => Err(Fault::Garbled("the status of an empty payinvoice").into()),
        }
    }
}
