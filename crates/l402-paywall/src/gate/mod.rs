//! Runs the steps of a request: match, read, verify, clear, admit; or refuse, and perhaps mint.

mod answer;
mod dress;
mod head;
mod pending;

pub use pending::{Completed, Order, Pending, Verdict};

use crate::{
    admission::{Admission, Grounds},
    cors::Cors,
    keys::KeyRing,
    metering::Metering,
    mint::Mint,
    recent::GateId,
    refusal::{Refusal, Refused},
    route::{Found, RouteTable},
    settled::SettlementCheck,
    spec::AccessMode,
};
use bytes::Bytes;
use head::rewritten_target;
use http::{Method, header, request::Parts};
use l402_lightning::MilliSat;
use std::{net::IpAddr, sync::Arc};

/// One configuration's engine. Immutable: a reload builds a new one.
#[derive(Debug)]
pub struct Gate {
    id: GateId,
    table: RouteTable,
    keys: Arc<KeyRing>,
    mint: Mint,
    settlement: Option<Arc<SettlementCheck>>,
    metering: Arc<Metering>,
    hold_secs: u64,
}

/// What a gate is made of.
#[derive(Debug)]
pub struct GateParts {
    /// Services and prices.
    pub table: RouteTable,
    /// Root keys.
    pub keys: Arc<KeyRing>,
    /// Maker of challenges.
    pub mint: Mint,
    /// Asked whether a proven payment is settled; `None`: the preimage is proof enough.
    pub settlement: Option<Arc<SettlementCheck>>,
    /// The ledger of metered services, and revoked tokens.
    pub metering: Arc<Metering>,
    /// Seconds after which units that were set aside for a request are free again by themselves: more than any request
    /// may last.
    pub hold_secs: u64,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The client's address, as far as trusted proxies vouch for it.
    pub ip: IpAddr,
    /// The name the TLS connection was opened for.
    pub server_name: Option<&'a str>,
}

/// The time, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Unix seconds: for expiry.
    pub unix: u64,
    /// Nanoseconds on a clock that never steps: for limits.
    pub monotonic_ns: u64,
}

/// What the gateway itself answers.
#[derive(Debug)]
pub struct Answer {
    /// The response.
    pub response: http::Response<Bytes>,
    /// Why. Differs from the refusal handed in where a challenge was due and could not be made.
    pub refusal: Refusal,
    /// Index of the service, where one was found.
    pub service_id: Option<usize>,
    /// The price of the challenge that was made for it; one that was told again was counted when it was made.
    pub minted: Option<MilliSat>,
}

impl Gate {
    /// Puts the parts together.
    pub fn new(parts: GateParts) -> Self {
        let GateParts { table, keys, mint, settlement, metering, hold_secs } = parts;
        metering.note_hold(hold_secs);
        Self { id: GateId::next(), table, keys, mint, settlement, metering, hold_secs }
    }

    /// Services and prices.
    pub fn table(&self) -> &RouteTable {
        &self.table
    }

    /// Maker of challenges.
    pub fn mint(&self) -> &Mint {
        &self.mint
    }

    /// Root keys.
    pub fn keys(&self) -> &Arc<KeyRing> {
        &self.keys
    }

    /// The ledger of metered services, and revoked tokens.
    pub fn metering(&self) -> &Arc<Metering> {
        &self.metering
    }

    /// Seconds that units are held for a request at most.
    pub fn hold_secs(&self) -> u64 {
        self.hold_secs
    }

    /// Decides whether a request may go upstream, as far as its head can tell. Calls nothing.
    pub fn admit(&self, head: &Parts, client: &Client<'_>, now: Now) -> Result<Verdict, Refused> {
        let (place, found, path) = self.locate(head, client)?;
        let refused = |refusal| Refused { refusal, place: Some(place), open: None };
        let cors = found.service.spec().cors.is_some();
        if cors && Cors::is_preflight(&head.method, &head.headers) {
            return Err(refused(Refusal::Preflight));
        }
        let grounds = match found.rule.access() {
            AccessMode::Free => Grounds::Free,
            AccessMode::Shadow => {
                let refusal = self.authorize(head, client, now, found).err();
                Grounds::Shadow(refusal.map(|refusal| refusal.reason()))
            }
            AccessMode::Paid => match self.authorize(head, client, now, found) {
                Ok(permit) => Grounds::Paid(permit),
                Err(Refusal::Missing) if self.is_courtesy(client, now, found) => Grounds::Courtesy,
                Err(refusal) => return Err(refused(refusal)),
            },
        };
        let is_counted = matches!(grounds, Grounds::Paid(_) | Grounds::Shadow(_));
        let meter = found.rule.meter.clone().filter(|_| is_counted);
        let origin = if cors { head.headers.get(header::ORIGIN).cloned() } else { None };
        Ok(self.verdict(Admission {
            place,
            target: rewritten_target(head, &path),
            grounds,
            origin,
            is_head: head.method == Method::HEAD,
            meter,
            tab: None,
            bill: None,
        }))
    }

    /// Whether this is one of the requests that a client network may make before its first 402.
    fn is_courtesy(&self, client: &Client<'_>, now: Now, found: Found<'_>) -> bool {
        let service = found.service();
        let taken =
            |rate| self.metering.courtesy.take(rate, client.ip, service.name().as_str(), now.monotonic_ns);
        service.spec().free_requests.is_some_and(taken)
    }
}
