//! The evidence a proxy forwards with, and what became of the request.

use crate::{
    meter::{Charge, Charging, Idempotency, Meter, Usage},
    metering::{Bill, Closing, Tab},
    refusal::{Refusal, Refused},
    route::Place,
    spec::AccessMode,
};
use bytes::Bytes;
use http::HeaderValue;
use l402::{Permit, TokenId};
use std::sync::Arc;

/// A request that may go upstream. Only [`Gate::admit`](crate::Gate::admit) and
/// [`Gate::complete`](crate::Gate::complete) make one.
#[derive(Debug)]
pub struct Admission {
    pub(crate) place: Place,
    pub(crate) target: Option<String>,
    pub(crate) grounds: Grounds,
    /// Kept for the reply of a service with CORS on.
    pub(crate) origin: Option<HeaderValue>,
    pub(crate) is_head: bool,
    /// How the request is counted: in shadow mode too, where it costs nothing.
    pub(crate) meter: Option<Arc<Meter>>,
    pub(crate) tab: Option<Tab>,
    pub(crate) bill: Option<Bill>,
}

/// Why the request may go on.
#[derive(Debug)]
pub(crate) enum Grounds {
    Free,
    /// One of the requests that a network may make before its first 402.
    Courtesy,
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
    ClientGone {
        /// The status code of the upstream's answer, if it had begun.
        status: Option<u16>,
    },
    /// The upstream gave no answer; the client got one of ours.
    UpstreamFailed {
        /// The status code that the client got.
        status: u16,
    },
    /// The token's units ran out in the middle of the upstream's answer.
    Exhausted {
        /// The status code of the upstream's answer.
        status: u16,
    },
    /// Nothing went upstream; the client got an answer of ours, or had left.
    NotSent,
}

/// What a request came to, for the access log and the counters. Flat-rate access costs nothing per request, so its
/// receipt names the token and the outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Index of the service.
    pub service_id: usize,
    /// Whether it was paid for.
    pub access: AccessMode,
    /// The token it was paid with.
    pub token_id: Option<TokenId>,
    /// Where nothing was paid although the service costs something: the reason for which it would have been refused, or
    /// `free_request`.
    pub unpaid: Option<&'static str>,
    /// What it cost, where the service is metered.
    pub bill: Option<Bill>,
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
            Grounds::Free | Grounds::Courtesy | Grounds::Shadow(_) => None,
        }
    }

    /// How the request is counted, on metered services. In shadow mode nothing is set aside for it.
    pub fn meter(&self) -> Option<&Arc<Meter>> {
        self.meter.as_ref()
    }

    /// What is set aside for the request, until it is closed.
    pub fn tab(&self) -> Option<&Tab> {
        self.tab.as_ref()
    }

    /// The same, to have more set aside.
    pub fn tab_mut(&mut self) -> Option<&mut Tab> {
        self.tab.as_mut()
    }

    /// What the request cost, once it is closed.
    pub fn bill(&self) -> Option<&Bill> {
        self.bill.as_ref()
    }

    /// Whether a request that ends like this is charged.
    pub fn charge(&self, outcome: Outcome) -> Charge {
        self.meter.as_ref().map_or(Charge::Keep, |meter| meter.charging.of(outcome, self.is_head))
    }

    /// How the answer is to be kept, where the request came with an `Idempotency-Key`.
    pub fn claims_answer(&self) -> Option<Idempotency> {
        self.tab.as_ref().filter(|tab| tab.handle.claim.is_some())?;
        self.meter.as_ref()?.idempotency
    }

    /// Whether an answer with this status is charged, or not, however it ends.
    pub fn is_charge_decided_by(&self, status: u16) -> bool {
        self.meter.as_ref().is_some_and(|meter| meter.charging.is_decided_by(status, self.is_head))
    }

    /// Charges a metered request, at `at` (Unix seconds); once. `None` where there is nothing to charge, or it was done
    /// before. `answer` is kept for whoever sends the same `Idempotency-Key` again.
    pub fn close(
        &mut self,
        outcome: Outcome,
        usage: Usage,
        answer: Option<Bytes>,
        at: u64,
    ) -> Option<Closing> {
        let usage = Some(usage).filter(|_| self.charge(outcome) == Charge::Keep);
        let (bill, closing) = self.tab.take()?.close(usage, answer, at);
        self.bill = Some(bill);
        Some(closing)
    }

    /// The refusal that the client gets after all, e.g. because the upstream failed.
    pub fn refuse(&self, refusal: Refusal) -> Refused {
        Refused { refusal, place: Some(self.place), open: None }
    }

    /// Ends the admission. What is still set aside is given back.
    pub fn settle(self, outcome: Outcome) -> Receipt {
        let (access, token_id, unpaid) = match &self.grounds {
            Grounds::Free => (AccessMode::Free, None, None),
            Grounds::Courtesy => (AccessMode::Free, None, Some("free_request")),
            Grounds::Shadow(reason) => (AccessMode::Shadow, None, *reason),
            Grounds::Paid(permit) => (AccessMode::Paid, Some(permit.token_id()), None),
        };
        Receipt { service_id: self.place.service, access, token_id, unpaid, bill: self.bill, outcome }
    }
}

impl Charging {
    /// Whether a request that ends like this is charged. What was never sent never is; of several reasons not to charge,
    /// what the upstream answered counts before how the answer ended.
    pub fn of(&self, outcome: Outcome, is_head: bool) -> Charge {
        let status = match outcome {
            Outcome::NotSent => return Charge::Release,
            Outcome::UpstreamFailed { .. } => return self.on_error,
            Outcome::ClientGone { status: None } => return self.on_abort,
            Outcome::Exhausted { .. } => return Charge::Keep,
            Outcome::Served { status }
            | Outcome::Cut { status }
            | Outcome::ClientGone { status: Some(status) } => status,
        };
        match status {
            500.. => self.on_error,
            400.. => self.on_client_error,
            304 => self.on_not_modified,
            _ if is_head => self.on_head,
            _ => match outcome {
                Outcome::Cut { .. } => self.on_cut,
                Outcome::ClientGone { .. } => self.on_abort,
                _ => Charge::Keep,
            },
        }
    }

    /// Whether an answer with this status is charged however it ends, so that it can be charged as soon as its cost is
    /// known.
    pub fn is_decided_by(&self, status: u16, is_head: bool) -> bool {
        let ends = [Outcome::Cut { status }, Outcome::ClientGone { status: Some(status) }];
        let served = self.of(Outcome::Served { status }, is_head);
        ends.into_iter().all(|end| self.of(end, is_head) == served)
    }
}
