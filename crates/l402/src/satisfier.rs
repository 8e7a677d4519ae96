//! What a request is to caveats, and how to judge conditions of one's own.

use std::net::IpAddr;

/// A request as caveats see it, with the time.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// Name of the service that is used.
    pub service: &'a str,
    /// Tier of the service. Tiers are equal or not, never ordered.
    pub tier: u64,
    /// Capability that the route asks for; `None` where the service's own price covers it.
    pub capability: Option<&'a str>,
    /// Request method.
    pub method: &'a str,
    /// Canonical path, without the query.
    pub path: &'a str,
    /// The client's address, where it is known.
    pub client: Option<IpAddr>,
    /// The present, in seconds since 1970.
    pub now: u64,
}

/// Judges one condition of the operator's own.
///
/// All caveats of the condition have to hold, and every one may only narrow what the ones before it allow. A wrong
/// yes gives away what was restricted, to anybody the holder passed the token on to; a wrong no refuses somebody who
/// has paid. When in doubt: no.
pub trait Satisfier: Send + Sync {
    /// The condition judged, in full. The built-in conditions cannot be taken over.
    fn condition(&self) -> &str;

    /// Whether `current` allows nothing that `previous`, a caveat of the same condition before it, does not.
    /// Answers [`CaveatFault::Widened`] if it does.
    fn narrows(&self, previous: &str, current: &str) -> Result<(), CaveatFault>;

    /// Whether the value allows this access. Answers [`CaveatFault::Unmet`] if it does not.
    fn satisfies(&self, value: &str, access: &Access<'_>) -> Result<(), CaveatFault>;
}

/// Why a [`Satisfier`] says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaveatFault {
    /// The value cannot be read. The holder's fault: buying again would not help.
    #[error("the caveat's value cannot be read")]
    Undecodable,
    /// The value allows something that an earlier caveat of the condition does not. The holder's fault.
    #[error("the caveat widens an earlier one")]
    Widened,
    /// The value does not allow this access.
    #[error("the caveat does not allow this request")]
    Unmet,
}
