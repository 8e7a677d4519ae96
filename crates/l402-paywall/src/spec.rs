//! What a seller asks for: services, routes and their prices, already parsed into types but not yet checked
//! against each other. [`RouteTable::build`](crate::RouteTable::build) does that and reports every problem at once.

use crate::ledger::Units;
use crate::{
    Cors, Rate,
    meter::{CostRule, MeterSpec, Pack},
    path::PathOddities,
};
use l402::{Name, UnknownCaveats};
use l402_lightning::MilliSat;
use std::fmt;

/// Whether a request has to be paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AccessMode {
    /// Refused with a challenge until a credential clears.
    #[default]
    Paid,
    /// Forwarded without looking at a credential. Free is always an explicit word.
    Free,
    /// Forwarded in any case; what would have been refused is only counted.
    Shadow,
}

/// One service of the seller: a part of the URL space with an upstream behind it.
#[derive(Clone, Debug)]
pub struct ServiceSpec {
    /// Name in caveats, logs and metrics.
    pub name: Name,
    /// Hosts it answers to; empty means any.
    pub hosts: Vec<HostPattern>,
    /// Paths it answers to.
    pub path: PathPattern,
    /// Whether its requests are paid for.
    pub access: AccessMode,
    /// What one token costs; required where anything of the service is paid by this price.
    pub price: Option<MilliSat>,
    /// Seconds that a token is valid for, counted from the challenge; absent: it does not expire.
    pub valid_for_secs: Option<u64>,
    /// Tier written into the `services` caveat.
    pub tier: u64,
    /// Capabilities that the service's own price buys.
    pub capabilities: Vec<Name>,
    /// Further restrictions, minted as `<service>_<name>=<value>` in this order.
    pub constraints: Vec<(Name, String)>,
    /// Whether a 402 starts with an `LSAT` line.
    pub legacy_lsat: bool,
    /// What becomes of conditions that are neither known nor in a namespace of ours.
    pub unknown_caveats: UnknownCaveats,
    /// Cross-origin access from browsers; absent: off.
    pub cors: Option<Cors>,
    /// Ambiguous path forms that the service accepts.
    pub allow_in_path: PathOddities,
    /// Answer 401 instead of minting when a credential is missing.
    pub skip_invoice: bool,
    /// Sold by the unit; absent: flat rate, as much as anybody likes until `valid_for`.
    pub meter: Option<MeterSpec>,
    /// Requests that a client network may make before the first 402.
    pub free_requests: Option<Rate>,
    /// Finer rules inside the service.
    pub routes: Vec<RouteSpec>,
}

/// A finer rule inside a service. What is absent is the service's.
#[derive(Clone, Debug)]
pub struct RouteSpec {
    /// Paths it covers; must lie inside the service's.
    pub path: PathPattern,
    /// Methods it covers; empty means all.
    pub methods: Vec<http::Method>,
    /// Whether its requests are paid for.
    pub access: Option<AccessMode>,
    /// A price of its own; needs a capability, so that the token says what was bought.
    pub price: Option<MilliSat>,
    /// Capability that a token needs here.
    pub capability: Option<Name>,
    /// Answer 401 instead of minting when a credential is missing.
    pub skip_invoice: Option<bool>,
    /// What a request costs here, where the service is metered.
    pub cost: Option<CostRule>,
    /// What can be bought by this route's own price, where the service is metered; empty: the service's packs.
    pub packs: Vec<Pack>,
}

/// Paths that a service or a route covers, in canonical form ([`crate::CanonicalPath`]).
#[derive(Clone, Debug)]
pub enum PathPattern {
    /// This path and no other.
    Exact(String),
    /// Every path that starts with this text; it ends in `/`.
    Prefix(String),
    /// Every path in which the expression finds a match (anchor it with `^`).
    Regex(regex::Regex),
}

/// Hosts that a service answers to, lower case, without port and trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host.
    Exact(String),
    /// Every host below this suffix, at any depth; the suffix starts with a dot.
    Wildcard(String),
}

/// Why a path or host pattern could not be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// A path has to start with `/` (or `~` for a regular expression).
    #[error("a path starts with `/`, or with `~` for a regular expression")]
    NotAPath,
    /// The path is not in a form that a request could be matched with.
    #[error("not a path that a request can have: {0}")]
    Ambiguous(crate::PathProblem),
    /// The regular expression does not compile.
    #[error("not a regular expression: {0}")]
    Regex(regex::Error),
    /// The host is not a DNS name, an address, or `*.` before a DNS name.
    #[error("not a host name (`api.example.com` or `*.example.com`, without scheme, port and path)")]
    Host,
}

impl PathPattern {
    /// Reads `/dir/` (prefix), `/file` (exact) or `~^/regex` (regular expression).
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if let Some(expression) = text.strip_prefix('~') {
            return regex::Regex::new(expression).map(Self::Regex).map_err(PatternError::Regex);
        }
        if !text.starts_with('/') {
            return Err(PatternError::NotAPath);
        }
        if let Some(odd) = text.bytes().find(|b| matches!(b, b'?' | b'#') || b.is_ascii_control()) {
            return Err(PatternError::Ambiguous(crate::PathProblem::Byte(odd)));
        }
        let path = crate::CanonicalPath::parse(text).map_err(PatternError::Ambiguous)?;
        if path.oddities() != PathOddities::NONE {
            return Err(PatternError::Ambiguous(crate::PathProblem::Oddity(path.oddities())));
        }
        let path = path.decoded().to_owned();
        Ok(if path.ends_with('/') { Self::Prefix(path) } else { Self::Exact(path) })
    }

    /// Whether a path in decoded canonical form is covered.
    pub fn covers(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == path,
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Self::Regex(regex) => regex.is_match(path),
        }
    }
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) | (Self::Prefix(a), Self::Prefix(b)) => a == b,
            (Self::Regex(a), Self::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) | Self::Prefix(path) => f.write_str(path),
            Self::Regex(regex) => write!(f, "~{regex}"),
        }
    }
}

impl HostPattern {
    /// Reads `api.example.com`, `*.example.com`, `192.0.2.1` or `[2001:db8::1]`; case and one trailing dot do not matter.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let (name, wildcard) = match lower.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (lower.as_str(), false),
        };
        let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let valid = match literal {
            Some(address) => !wildcard && address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_dns_name(name),
        };
        match (valid, wildcard) {
            (false, _) => Err(PatternError::Host),
            (true, true) => Ok(Self::Wildcard(format!(".{name}"))),
            (true, false) => Ok(Self::Exact(name.to_owned())),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// RFC 1123 section 2.1: labels of letters, digits and inner hyphens, up to 63 bytes each and 253 in all.
fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// One thing that is wrong with the services as a whole, with the place so that a config file can show the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecProblem {
    /// Index of the service.
    pub service: usize,
    /// Index of the route inside it; absent: the service itself.
    pub route: Option<usize>,
    /// The key at fault, as the config file spells it.
    pub field: &'static str,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// What can be wrong with the services as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProblemKind {
    /// Two services have one name.
    #[error("service `{0}` is defined twice; names are written into tokens and must be unique")]
    DuplicateName(Name),
    /// `a` and `a_b`: a caveat `a_b_...` would belong to both.
    #[error(
        "the caveats of `{longer}` would begin with `{shorter}_`, the namespace of service `{shorter}`; rename one of them"
    )]
    NamespaceCollision {
        /// The name that is a prefix.
        shorter: Name,
        /// The name inside its namespace.
        longer: Name,
    },
    /// Two rules cover the same host, path and method.
    #[error("the same host, path and method as {other}; only one of them could ever match")]
    DuplicateRoute {
        /// The service or route that was there first, e.g. `service weather`.
        other: String,
    },
    /// A route that its service never sees.
    #[error("lies outside the service's path `{service_path}`")]
    OutsideService {
        /// The service's path.
        service_path: String,
    },
    /// Paid, but without a price.
    #[error("a paid service needs a price, e.g. `price: 10 sat` (or say `access: free`)")]
    NoPrice,
    /// A price of nothing.
    #[error("a price of zero is never free access by accident; say `access: free`")]
    ZeroPrice,
    /// A price that nobody can mean.
    #[error("more than {max} in one invoice; amounts this large are refused")]
    AbsurdPrice {
        /// The largest price.
        max: MilliSat,
    },
    /// A price of its own that the token could not prove.
    #[error("a route with its own price needs a `capability`: the token has to say what was bought")]
    PriceWithoutCapability,
    /// A capability that no price sells.
    #[error(
        "capability `{0}` is required here but no price of this service sells it; add it to `capabilities` or give this route a `price`"
    )]
    CapabilityNotSold(Name),
    /// The constraint's condition is one the gateway mints itself.
    #[error("`{0}` is a caveat that the gateway writes itself; choose another name")]
    ReservedConstraint(Name),
    /// A constraint that could not be written as a caveat.
    #[error(
        "constraint `{0}` has a value that cannot be written into a caveat: printable text without line breaks, at most 255 bytes"
    )]
    ConstraintValue(Name),
    /// The token would be too large for header limits in front of the gateway.
    #[error(
        "its tokens would have {bytes} bytes, more than {max}; use fewer or shorter capabilities and constraints"
    )]
    TokenTooLarge {
        /// Size of the largest token.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A meter where nothing is paid for.
    #[error("a service that is never paid for needs no meter")]
    MeterWithoutPrice,
    /// A pack of nothing.
    #[error("a pack of no units buys nothing")]
    EmptyPack,
    /// A request that costs nothing.
    #[error("a cost of zero is never free access by accident; say `access: free` on a route")]
    ZeroCost,
    /// A pack that pays for less than one request.
    #[error("a pack of {pack} units does not pay for one request, for which {needed} are set aside")]
    PackTooSmall {
        /// Units of the pack.
        pack: Units,
        /// Units that are set aside.
        needed: Units,
    },
    /// Two packs have one name.
    #[error("two packs are named `{0}`")]
    DuplicatePack(Name),
    /// A cost where nothing is counted.
    #[error("a cost of its own needs a `meter` on the service")]
    CostWithoutMeter,
    /// A price of its own, which has to buy units.
    #[error("a route with its own price in a metered service needs a `pack`")]
    PriceWithoutPack,
    /// Two rules for reservations that a crash left behind: they are in one ledger, which does not know services.
    #[error("`on_crash` has to be the same in all metered services; service `{0}` says otherwise")]
    MixedAbandoned(Name),
    /// Units that no price sells.
    #[error("a pack of its own needs a `price`")]
    PackWithoutPrice,
    /// Zero seconds of validity.
    #[error("a token that is valid for no time cannot be used")]
    ZeroValidity,
}
