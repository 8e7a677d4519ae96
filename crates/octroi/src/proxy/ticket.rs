//! The record of one request: whatever becomes of it, it is told exactly once, when the ticket is finished or dropped.

use super::{
    snapshot::Snapshot,
    worker::{InFlight, Worker},
};
use crate::telemetry::Record;
use http::{Method, Request, Uri};
use hyper::body::Incoming;
use l402_paywall::{Admission, Answer, Outcome};
use std::{net::IpAddr, rc::Rc, sync::Arc, time::Instant};

/// What is known of a request in progress.
pub(super) struct Ticket {
    pub(super) worker: Rc<Worker>,
    pub(super) snapshot: Arc<Snapshot>,
    _in_flight: InFlight,
    request_id: u64,
    method: Method,
    uri: Uri,
    client: IpAddr,
    started: Instant,
    admission: Option<Admission>,
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
            _in_flight: in_flight,
            method: request.method().clone(),
            uri: request.uri().clone(),
            client,
            started,
            admission: None,
            is_told: false,
        }
    }

    pub(super) fn request_id(&self) -> u64 {
        self.request_id
    }

    /// The request may go upstream.
    pub(super) fn admit(&mut self, admission: Admission) -> &Admission {
        self.admission.insert(admission)
    }

    pub(super) fn admission(&self) -> Option<&Admission> {
        self.admission.as_ref()
    }

    /// The gateway itself has answered.
    pub(super) fn answered(mut self, answer: &Answer) {
        self.is_told = true;
        let status = answer.response.status().as_u16();
        let refusal = &answer.refusal;
        if status >= 500 {
            tracing::warn!(request = self.request_id, reason = refusal.reason(), "{refusal}");
        }
        if let Some(admission) = self.admission.take() {
            admission.settle(Outcome::UpstreamFailed { status });
        }
        let record = Record {
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
        let unknown_caveats =
            self.admission.as_ref().and_then(Admission::permit).map_or(0, l402::Permit::unknown_caveats);
        let receipt = self.admission.take().map(|admission| admission.settle(outcome));
        let (status, reason) = match outcome {
            Outcome::Served { status } => (status, "served"),
            Outcome::Cut { status } => (status, "cut"),
            Outcome::ClientGone => (499, "client_gone"),
            Outcome::UpstreamFailed { status } => (status, "upstream_failed"),
        };
        let record = Record {
            status,
            reason: receipt.as_ref().and_then(|receipt| receipt.shadowed).unwrap_or(reason),
            service: receipt.as_ref().and_then(|receipt| self.service_name(receipt.service_id)),
            access: receipt.as_ref().map(|receipt| match receipt.access {
                l402_paywall::AccessMode::Paid => "paid",
                l402_paywall::AccessMode::Free => "free",
                l402_paywall::AccessMode::Shadow => "shadow",
            }),
            token_id: receipt.as_ref().and_then(|receipt| receipt.token_id),
            unknown_caveats,
            ..self.blank()
        };
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
            took: self.started.elapsed(),
        }
    }
}

impl Drop for Ticket {
    /// A request that is dropped before its end was dropped by its client.
    fn drop(&mut self) {
        self.finish(Outcome::ClientGone);
    }
}
