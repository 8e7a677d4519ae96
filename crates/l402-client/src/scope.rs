//! What a token opens at its origin, read from the token's own caveats.
//!
//! Two challenges with one scope sell the same thing: whoever holds a token of that scope need not buy again, and
//! whoever was refused with one must not. Expiry is not part of it, nor are constraints: a seller that varies them
//! with every challenge would otherwise sell "something new" each time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use l402_macaroon::MacaroonRef;
use thiserror::Error;

/// Most services one token may name before its caveats are ignored: a limit on memory, far above any real token.
const SERVICES_MAX: usize = 64;

/// What is bought: services with tiers and capabilities, or one path where the token names no service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Named by `services=` and `<service>_capabilities=` caveats (L402 protocol specification, "Macaroons").
    Services(BTreeMap<String, Grant>),
    /// The token says nothing: it is kept for the URL path it was bought for.
    Path(String),
}

/// The rights in one service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Grant {
    /// The tier as the token spells it; tiers are equal or not, never ordered.
    pub tier: String,
    /// The capabilities named. None named means none granted.
    pub capabilities: BTreeSet<String>,
}

/// Why a text is no scope.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a scope")]
pub struct ScopeError;

impl Scope {
    /// The scope of a token offered for, or bought for, `path` (the path of the URL, without its query).
    pub fn of(token: &MacaroonRef<'_>, path: &str) -> Self {
        match services(token) {
            Some(services) if !services.is_empty() => Self::Services(services),
            _ => Self::Path(path.to_owned()),
        }
    }

    /// Whether a token of this scope opens everything that `wanted` opens.
    pub fn covers(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (Self::Services(held), Self::Services(wanted)) => wanted.iter().all(|(name, want)| {
                held.get(name).is_some_and(|have| {
                    have.tier == want.tier && want.capabilities.is_subset(&have.capabilities)
                })
            }),
            (Self::Path(held), Self::Path(wanted)) => held == wanted,
            _ => false,
        }
    }
}

/// The unix second at which a token ends by its own word: the earliest `<service>_valid_until`. A value that
/// cannot be read says nothing here; the seller will refuse such a token, and a refused token is not renewed.
pub fn valid_until(token: &MacaroonRef<'_>) -> Option<u64> {
    conditions(token)
        .filter(|(condition, _)| *condition == "valid_until" || condition.ends_with("_valid_until"))
        .filter_map(|(_, value)| canonical_u64(value))
        .min()
}

/// Whether the seller wrote a number of units into the token: that is its first caveat, because holders can only append.
pub(crate) fn is_metered(token: &MacaroonRef<'_>) -> bool {
    conditions(token)
        .next()
        .is_some_and(|(condition, value)| condition.ends_with("_units") && canonical_u64(value).is_some())
}

fn conditions<'a>(token: &MacaroonRef<'a>) -> impl Iterator<Item = (&'a str, &'a str)> {
    token.caveats().filter_map(|caveat| std::str::from_utf8(caveat.identifier).ok()?.split_once('='))
}

fn canonical_u64(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

/// The intersection of all `services` caveats with the intersection of each service's capabilities, or `None`
/// where one of them cannot be read.
fn services(token: &MacaroonRef<'_>) -> Option<BTreeMap<String, Grant>> {
    let mut held: Option<BTreeMap<String, Grant>> = None;
    for (_, list) in conditions(token).filter(|(condition, _)| *condition == "services") {
        let named = service_list(list)?;
        held = Some(match held {
            None => named,
            Some(before) => {
                before.into_iter().filter(|(name, grant)| named.get(name) == Some(grant)).collect()
            }
        });
    }
    let mut held = held?;
    for (name, grant) in &mut held {
        grant.capabilities = capabilities(token, name);
    }
    Some(held)
}

fn service_list(list: &str) -> Option<BTreeMap<String, Grant>> {
    let mut services = BTreeMap::new();
    for entry in list.split(',') {
        let (name, tier) = entry.rsplit_once(':')?;
        let grant = Grant { tier: tier.to_owned(), capabilities: BTreeSet::new() };
        if name.is_empty()
            || services.len() == SERVICES_MAX
            || services.insert(name.to_owned(), grant).is_some()
        {
            return None;
        }
    }
    Some(services)
}

fn capabilities(token: &MacaroonRef<'_>, service: &str) -> BTreeSet<String> {
    let mut held: Option<BTreeSet<String>> = None;
    for (_, list) in conditions(token)
        .filter(|(condition, _)| condition.strip_suffix("_capabilities").is_some_and(|name| name == service))
    {
        let named: BTreeSet<String> = list.split(',').filter(|c| !c.is_empty()).map(str::to_owned).collect();
        held = Some(match held {
            None => named,
            Some(before) => before.intersection(&named).cloned().collect(),
        });
    }
    held.unwrap_or_default()
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "path={}", Escaped(path)),
            Self::Services(services) => {
                for (i, (name, grant)) in services.iter().enumerate() {
                    let lead = if i == 0 { "" } else { ";" };
                    write!(f, "{lead}{}:{}", Escaped(name), Escaped(&grant.tier))?;
                    for capability in &grant.capabilities {
                        write!(f, "+{}", Escaped(capability))?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if let Some(path) = text.strip_prefix("path=") {
            return Ok(Self::Path(unescape(path)?));
        }
        let mut services = BTreeMap::new();
        for entry in text.split(';') {
            let (name, rights) = entry.split_once(':').ok_or(ScopeError)?;
            let mut rights = rights.split('+').map(unescape);
            let tier = rights.next().ok_or(ScopeError)??;
            let grant = Grant { tier, capabilities: rights.collect::<Result<_, _>>()? };
            if services.insert(unescape(name)?, grant).is_some() {
                return Err(ScopeError);
            }
        }
        Ok(Self::Services(services))
    }
}

/// Text from a seller, with everything but a few plain characters as `%XX`, so that it can neither break the
/// form nor a terminal.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/') {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

fn unescape(text: &str) -> Result<String, ScopeError> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().ok_or(ScopeError)?, bytes.next().ok_or(ScopeError)?];
            let mut decoded = [0];
            hex::decode_to_slice(digits, &mut decoded).map_err(|_| ScopeError)?;
            out.push(decoded[0]);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).map_err(|_| ScopeError)
}

#[cfg(test)]
mod tests {
    use l402_macaroon::{Macaroon, RootKey};
    use proptest::prelude::*;

    use super::*;

    fn token(caveats: &[&str]) -> Macaroon {
        Macaroon::mint(&RootKey::from_bytes([7; 32]), "lsat", &[0; 66], caveats).unwrap()
    }

    fn scope(caveats: &[&str]) -> Scope {
        Scope::of(&token(caveats).view(), "/p")
    }

    #[test]
    fn expiry_and_constraints_do_not_make_a_new_scope() {
        let plain = scope(&["services=weather:0"]);
        assert_eq!(plain, scope(&["services=weather:0", "weather_valid_until=9"]));
        assert_eq!(plain, scope(&["services=weather:0", "weather_region=eu", "nonce=1"]));
        assert_eq!(plain.to_string(), "weather:0");
    }

    #[test]
    fn tier_and_capability_do() {
        let plain = scope(&["services=weather:0"]);
        let export = scope(&["services=weather:0", "weather_capabilities=export,read"]);
        assert!(export.covers(&plain));
        assert!(!plain.covers(&export));
        assert!(!scope(&["services=weather:1"]).covers(&plain));
        assert_eq!(export.to_string(), "weather:0+export+read");
    }

    #[test]
    fn repeated_conditions_intersect() {
        let narrowed = scope(&["services=a:0,b:0", "services=b:0"]);
        assert_eq!(narrowed, scope(&["services=b:0"]));
        let caps = scope(&["services=a:0", "a_capabilities=x,y", "a_capabilities=y,z"]);
        assert_eq!(caps, scope(&["services=a:0", "a_capabilities=y"]));
    }

    #[test]
    fn a_token_without_services_is_kept_for_its_path() {
        assert_eq!(scope(&[]), Scope::Path("/p".to_owned()));
        assert_eq!(scope(&["services=broken"]), Scope::Path("/p".to_owned()));
    }

    #[test]
    fn the_earliest_readable_expiry_counts() {
        let until = |caveats: &[&str]| valid_until(&token(caveats).view());
        assert_eq!(until(&["a_valid_until=20", "a_valid_until=10", "b_valid_until=30"]), Some(10));
        assert_eq!(until(&["a_valid_until=+5"]), None);
        assert_eq!(until(&["a_valid_until=05"]), None);
        assert_eq!(until(&["a_valid_until=18446744073709551616"]), None);
        assert_eq!(until(&["services=a:0"]), None);
    }

    proptest! {
        #[test]
        fn text_form_reads_back(name in "\\PC{1,12}", tier in "\\PC{0,4}", caps in proptest::collection::btree_set("\\PC{1,8}", 0..4)) {
            let mut services = BTreeMap::new();
            services.insert(name.clone(), Grant { tier, capabilities: caps });
            let scope = Scope::Services(services);
            prop_assert_eq!(scope.to_string().parse::<Scope>(), Ok(scope));
            let path = Scope::Path(name);
            prop_assert_eq!(path.to_string().parse::<Scope>(), Ok(path));
        }
    }
}
