//! The evidence a proxy forwards with, and what became of the request.

use crate::{
    refusal::{Refusal, Refused},
    route::Place,
    spec::AccessMode,
};
use http::HeaderValue;
use l402::{Permit, TokenId};

/// A request that may go upstream. Only [`Gate::admit`](crate::Gate::admit) makes one.
#[derive(Debug)]
pub struct Admission {
    pub(crate) place: Place,
    pub(crate) target: Option<String>,
    pub(crate) grounds: Grounds,
    /// Kept for the reply of a service with CORS on.
    pub(crate) origin: Option<HeaderValue>,
}

/// Why the request may go on.
#[derive(Debug)]
pub(crate) enum Grounds {
    Free,
    /// With the reason it would have been refused for.
    Shadow(Option<&'static str>),
    Paid(Permit),
}

/// How a forwarded request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream's answer went out whole.
    Served {
        /// Its status code.
        status: u16,
    },
    /// The upstream's answer began and was cut off.
    Cut {
        /// Its status code.
        status: u16,
    },
    /// The client left first.
    ClientGone,
    /// The upstream gave no answer; the client got one of ours.
    UpstreamFailed {
        /// The status code that the client got.
        status: u16,
    },
}

/// What a request came to, for the access log and the counters. Flat-rate access costs nothing per request, so a
/// receipt names the token and the outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Index of the service.
    pub service_id: usize,
    /// Whether it was paid for.
    pub access: AccessMode,
    /// The token it was paid with.
    pub token_id: Option<TokenId>,
    /// In shadow mode: the reason for which it would have been refused.
    pub shadowed: Option<&'static str>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Admission {
    /// Index of the service whose upstream gets the request.
    pub fn service_id(&self) -> usize {
        self.place.service
    }

    /// Path and query to forward where they differ from the request's own; `None`: as they came.
    pub fn rewritten_target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// The cleared token, on paid requests.
    pub fn permit(&self) -> Option<&Permit> {
        match &self.grounds {
            Grounds::Paid(permit) => Some(permit),
            Grounds::Free | Grounds::Shadow(_) => None,
        }
    }

    /// The refusal that the client gets after all, e.g. because the upstream failed.
    pub fn refuse(&self, refusal: Refusal) -> Refused {
        Refused { refusal, place: Some(self.place), open: None }
    }

    /// Ends the admission. Flat-rate access keeps nothing open, so this is bookkeeping only.
    pub fn settle(self, outcome: Outcome) -> Receipt {
        let (access, token_id, shadowed) = match &self.grounds {
            Grounds::Free => (AccessMode::Free, None, None),
            Grounds::Shadow(reason) => (AccessMode::Shadow, None, *reason),
            Grounds::Paid(permit) => (AccessMode::Paid, Some(permit.token_id()), None),
        };
        Receipt { service_id: self.place.service, access, token_id, shadowed, outcome }
    }
}
