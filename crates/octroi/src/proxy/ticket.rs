//! The record of one request: whatever becomes of it, it is told exactly once, when the ticket is finished or dropped.

use super::{
    body::Progress,
    count::Count,
    snapshot::Snapshot,
    worker::{InFlight, Worker},
};
use crate::telemetry::Record;
use http::{Method, Request, Uri};
use hyper::body::Incoming;
use l402_paywall::{Admission, Answer, Outcome, Refusal};
use std::{
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

/// Stands in the access log where nobody was there to be answered.
const CLIENT_GONE: u16 = 499;

/// What is known of a request in progress.
pub(super) struct Ticket {
    pub(super) worker: Rc<Worker>,
    pub(super) snapshot: Arc<Snapshot>,
    /// Absent once the client has left.
    in_flight: Option<InFlight>,
    request_id: u64,
    method: Method,
    uri: Uri,
    client: IpAddr,
    started: Instant,
    admission: Option<Admission>,
    /// On metered requests.
    pub(super) count: Option<Count>,
    progress: Rc<Progress>,
    /// How it ended, where that is known before the end.
    outcome: Option<Outcome>,
    is_told: bool,
}

impl Ticket {
    /// A request has arrived.
    pub(super) fn new(
        worker: &Rc<Worker>,
        snapshot: &Arc<Snapshot>,
        in_flight: InFlight,
        request: &Request<Incoming>,
        client: IpAddr,
        started: Instant,
    ) -> Self {
        Self {
            request_id: worker.next_request_id(),
            worker: Rc::clone(worker),
            snapshot: Arc::clone(snapshot),
            in_flight: Some(in_flight),
            method: request.method().clone(),
            uri: request.uri().clone(),
            client,
            started,
            admission: None,
            count: None,
            progress: Rc::new(Progress::new(started)),
            outcome: None,
            is_told: false,
        }
    }

    pub(super) fn request_id(&self) -> u64 {
        self.request_id
    }

    /// How the request's body gets on.
    pub(super) fn progress(&self) -> &Rc<Progress> {
        &self.progress
    }

    /// How long the request has taken.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The request may go upstream.
    pub(super) fn admit(&mut self, admission: Admission) {
        self.admission = Some(admission);
        self.begin_count();
    }

    pub(super) fn admission_mut(&mut self) -> Option<&mut Admission> {
        self.admission.as_mut()
    }

    /// The request ends like this, whatever its body says.
    pub(super) fn note_outcome(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    /// The client has left its connection, and the request is served on.
    pub(super) fn note_client_gone(&mut self) {
        self.in_flight = None;
    }

    pub(super) fn admission(&self) -> Option<&Admission> {
        self.admission.as_ref()
    }

    /// The gateway itself has answered.
    pub(super) fn answered(mut self, answer: &Answer) {
        self.is_told = true;
        let status = answer.response.status().as_u16();
        let refusal = &answer.refusal;
        if let Refusal::Ledger(error) = refusal {
            // Clients are not told what of ours is broken. That the ledger stands still is told once, not with each of them.
            tracing::debug!(request = self.request_id, reason = refusal.reason(), "{refusal}: {error}");
        } else if status >= 500 {
            tracing::warn!(request = self.request_id, reason = refusal.reason(), "{refusal}");
        }
        let outcome = self.as_sent(Outcome::UpstreamFailed { status });
        drop(self.close(outcome, None)); // on its way; the answer does not depend on it
        let receipt = self.admission.take().map(|admission| admission.settle(outcome));
        let record = Record {
            token_id: receipt.as_ref().and_then(|receipt| receipt.token_id),
            bill: receipt.and_then(|receipt| receipt.bill),
            status,
            reason: refusal.reason(),
            service: answer.service_id.and_then(|id| self.service_name(id)),
            minted_msat: answer.minted.map(l402_lightning::MilliSat::as_msat),
            ..self.blank()
        };
        self.worker.shared.telemetry.record(&record);
    }

    /// The upstream's answer is over.
    pub(super) fn finish(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let outcome = self.as_sent(self.outcome.unwrap_or(outcome));
        let usage = self.shadow_usage(outcome);
        drop(self.close(outcome, None)); // on its way, if it was not done before
        let unknown_caveats =
            self.admission.as_ref().and_then(Admission::permit).map_or(0, l402::Permit::unknown_caveats);
        let receipt = self.admission.take().map(|admission| admission.settle(outcome));
        let (status, reason) = match outcome {
            Outcome::Served { .. } if self.in_flight.is_none() => (CLIENT_GONE, "answer_kept"),
            Outcome::Served { status } => (status, "served"),
            Outcome::Cut { status } => (status, "cut"),
            Outcome::Exhausted { status } => (status, "exhausted"),
            Outcome::ClientGone { .. } | Outcome::NotSent => (CLIENT_GONE, "client_gone"),
            Outcome::UpstreamFailed { status } => (status, "upstream_failed"),
        };
        let record = Record {
            status,
            reason: receipt.as_ref().and_then(|receipt| receipt.unpaid).unwrap_or(reason),
            service: receipt.as_ref().and_then(|receipt| self.service_name(receipt.service_id)),
            access: receipt.as_ref().map(|receipt| match receipt.access {
                l402_paywall::AccessMode::Paid => "paid",
                l402_paywall::AccessMode::Free => "free",
                l402_paywall::AccessMode::Shadow => "shadow",
            }),
            token_id: receipt.as_ref().and_then(|receipt| receipt.token_id),
            unknown_caveats,
            bill: receipt.as_ref().and_then(|receipt| receipt.bill),
            shadow_units: usage,
            ..self.blank()
        };
        self.worker.shared.telemetry.record(&record);
    }

    /// What never went upstream did not fail there, and costs nothing.
    fn as_sent(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::ClientGone { .. } | Outcome::UpstreamFailed { .. } if !self.progress.is_sent() => {
                Outcome::NotSent
            }
            outcome => outcome,
        }
    }

    /// The gateway told an answer again that it had kept.
    pub(super) fn told_again(&mut self, status: http::StatusCode) {
        self.is_told = true;
        let record = Record { status: status.as_u16(), reason: "told_again", ..self.blank() };
        self.worker.shared.telemetry.record(&record);
    }

    fn service_name(&self, id: usize) -> Option<&str> {
        self.snapshot.gate.table().services().get(id).map(|service| service.name().as_str())
    }

    fn blank(&self) -> Record<'_> {
        Record {
            request_id: self.request_id,
            method: self.method.as_str(),
            path: self.uri.path(),
            client: Some(self.client),
            service: None,
            status: 0,
            reason: "",
            access: None,
            token_id: None,
            unknown_caveats: 0,
            minted_msat: None,
            bill: None,
            shadow_units: None,
            took: self.started.elapsed(),
        }
    }
}

impl Drop for Ticket {
    /// A request that is dropped before its end was dropped by its client.
    fn drop(&mut self) {
        self.finish(Outcome::ClientGone { status: None });
    }
}
