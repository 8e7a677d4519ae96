//! What has to be done for a metered request before it goes upstream: units set aside, its answer told again where it was
//! given before, its body changed so that its cost can be read.

use super::{
    meter::{self, Demand},
    snapshot::Snapshot,
    worker::Worker,
};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header, request::Parts};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use l402_paywall::{
    Completed, Order, Pending, Refusal, Refused, StoreError,
    ledger::{Claim, Units},
    meter::{CostRule, Direction, Meter},
};
use std::time::{Duration, Instant};

/// Longest wait for the ledger. Nothing is forwarded on hope.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest body that is changed, in bytes.
const CHANGED_BYTES_MAX: usize = 1 << 20;

/// A request's body: as it comes, or read already.
pub(super) enum Payload {
    Streaming(Incoming),
    Read(Bytes),
}

/// Asks what the bytes of the token cannot tell, and sets aside what the request may cost.
pub(super) async fn complete(
    snapshot: &Snapshot,
    worker: &Worker,
    pending: Pending,
    head: &Parts,
    payload: &mut Payload,
    deadline: Instant,
) -> Result<Completed, Refused> {
    let order = match order(&pending, head, payload, deadline, worker).await {
        Ok(order) => order,
        Err(refusal) => return Err(pending.refuse(refusal)),
    };
    if pending.meter().is_none() {
        return snapshot.gate.complete(pending, order, worker.shared.clock.now()).await;
    }
    let too_late = pending.refuse(Refusal::Ledger(StoreError::Late));
    let asked = snapshot.gate.complete(pending, order, worker.shared.clock.now());
    tokio::time::timeout(LEDGER_TIMEOUT, asked).await.unwrap_or(Err(too_late))
}

/// What is asked for beside the usual: more units where the body is counted, and a claim where the request has an
/// `Idempotency-Key`.
async fn order(
    pending: &Pending,
    head: &Parts,
    payload: &mut Payload,
    deadline: Instant,
    worker: &Worker,
) -> Result<Order, Refusal> {
    let Some(meter) = pending.meter() else { return Ok(Order::default()) };
    let extra = units_of_body(meter, head, payload)?;
    let mut claim = None;
    if let (Some(settings), Some(account)) = (pending.idempotency(), pending.account())
        && let Some(key) = meter::idempotency_key(&head.headers).map_err(|_| Refusal::IdempotencyKey)?
    {
        let body = payload.read(settings.request_bytes_max, deadline).await?;
        let content_type = head.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let host = head.headers.get(header::HOST).map(HeaderValue::as_bytes);
        let host = host.or(head.uri.authority().map(|authority| authority.as_str().as_bytes()));
        let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let target = [host.unwrap_or_default(), path.as_bytes()].concat();
        claim = Some(Claim {
            key: meter::claim_key(account, key),
            request: meter::request_digest(head.method.as_str(), &target, content_type, &body),
            expires_at: worker.shared.clock.now().unix.saturating_add(settings.keep_secs),
        });
    }
    Ok(Order { claim, extra })
}

/// Units for a body that is counted, which has to say how long it is: they are set aside before its first byte.
fn units_of_body(meter: &Meter, head: &Parts, payload: &Payload) -> Result<Units, Refusal> {
    let CostRule::Bytes { of: Direction::Request | Direction::Both, per_unit, .. } = meter.cost else {
        return Ok(Units::ZERO);
    };
    let bytes = match payload {
        Payload::Read(body) => body.len() as u64,
        Payload::Streaming(body) if http_body::Body::is_end_stream(body) => 0,
        Payload::Streaming(_) => {
            let length = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
            length.and_then(|length| length.parse().ok()).ok_or(Refusal::LengthRequired)?
        }
    };
    Units::new(bytes.div_ceil(per_unit.max(1))).ok_or(Refusal::LengthRequired)
}

/// Changes a request so that its cost can be read from the answer.
pub(super) async fn make_readable(
    meter: &Meter,
    head: &mut Parts,
    payload: &mut Payload,
    deadline: Instant,
) -> Result<(), Refusal> {
    if !meter.reads_body() {
        return Ok(());
    }
    meter::demand_plain(&mut head.headers);
    let has_body = !payload.is_empty();
    if !has_body || !matches!(meter.cost, CostRule::Events { .. }) {
        return Ok(());
    }
    let body = payload.read(CHANGED_BYTES_MAX, deadline).await?;
    let changed = match meter::demand_usage(&body) {
        Demand::AsItIs => body,
        Demand::Changed(body) => body,
        Demand::Unreadable(what) => return Err(Refusal::BodyUnreadable(what)),
    };
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(changed.len()));
    *payload = Payload::Read(changed);
    Ok(())
}

impl Payload {
    /// Whether there is no body.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Streaming(body) => http_body::Body::is_end_stream(body),
            Self::Read(body) => body.is_empty(),
        }
    }

    /// The whole body, which is kept here too. A body with more than `bytes_max` is refused and lost.
    async fn read(&mut self, bytes_max: usize, deadline: Instant) -> Result<Bytes, Refusal> {
        let incoming = match self {
            Self::Read(body) => return Ok(body.clone()),
            Self::Streaming(incoming) => incoming,
        };
        let mut body = BytesMut::new();
        let reading = async {
            while let Some(frame) = incoming.frame().await {
                let frame = frame.map_err(|_| Refusal::Framing("the body cannot be read"))?;
                let Ok(data) = frame.into_data() else { continue };
                if body.len() + data.len() > bytes_max {
                    return Err(Refusal::BodyTooLarge(bytes_max));
                }
                body.extend_from_slice(&data);
            }
            Ok(())
        };
        tokio::time::timeout_at(deadline.into(), reading).await.unwrap_or(Err(Refusal::RequestTimeout))?;
        let body = body.freeze();
        *self = Self::Read(body.clone());
        Ok(body)
    }
}
