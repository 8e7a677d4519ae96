//! Steps 1 to 4: what the head of a request is about, and what its credential proves.

use super::{Client, Gate, Now};
use crate::{
    host::host_of,
    path::CanonicalPath,
    recent::{self, LinesDigest},
    refusal::{Refusal, Refused},
    render::Form,
    route::{Found, Place},
};
use http::{HeaderValue, Method, header, request::Parts};
use l402::{Access, Credential, CredentialError, Permit, VerifiedToken};

/// Headers that carry a macaroon by itself, with its preimage as a caveat.
const MACAROON_HEADERS: [&str; 2] = ["macaroon", "grpc-metadata-macaroon"];

impl Gate {
    /// Step 1: the canonical head and the rule it matches.
    pub(super) fn locate<'h>(
        &self,
        head: &'h Parts,
        client: &Client<'_>,
    ) -> Result<(Place, Found<'_>, CanonicalPath<'h>), Refused> {
        let before = |refusal| Refused { refusal, place: None, open: None };
        if !is_passed_on(&head.method) {
            return Err(before(Refusal::Method));
        }
        let host = host_of(head).map_err(before)?;
        let path = CanonicalPath::parse(head.uri.path()).map_err(|problem| before(Refusal::Path(problem)))?;
        if Form::is_grpc(&head.headers) && !is_grpc_path(path.forward()) {
            return Err(before(Refusal::Framing("a gRPC path is /package.Service/Method")));
        }
        let found = self.table.find(&host, &head.method, &path);
        let found =
            found.map_err(|problem| before(Refusal::Path(problem)))?.ok_or(before(Refusal::NoRoute))?;
        if let Some(name) = client.server_name.filter(|name| !name.eq_ignore_ascii_case(&host)) {
            let named = self.table.find(&name.to_ascii_lowercase(), &head.method, &path);
            if !named.is_ok_and(|named| named.is_some_and(|named| named.place.service == found.place.service))
            {
                return Err(before(Refusal::Misdirected));
            }
        }
        Ok((found.place, found, path))
    }

    /// Steps 2 to 4: headers to permit.
    pub(super) fn authorize(
        &self,
        head: &Parts,
        client: &Client<'_>,
        now: Now,
        found: Found<'_>,
    ) -> Result<Permit, Refusal> {
        let access = Access {
            service: found.service.name().as_str(),
            tier: found.service.spec().tier,
            capability: found.rule.capability().map(l402::Name::as_str),
            method: head.method.as_str(),
            path: head.uri.path(),
            client: Some(client.ip),
            now: now.unix,
        };
        let clear = |token: &VerifiedToken| l402::clear(token, found.service.satisfiers(), &access);
        let lines = LinesDigest::of(authorization_lines(head), macaroon_lines(head));
        if let Some(cleared) = lines.and_then(|lines| recent::with_known(self.id, lines, clear)) {
            return self.unless_revoked(cleared.map_err(Refusal::NotAllowed)?);
        }
        let credential = read_credential(head).map_err(Refusal::Malformed)?;
        let Some(credential) = credential else {
            return Err(if found.rule.skips_invoice() { Refusal::NotSoldHere } else { Refusal::Missing });
        };
        let token = l402::verify(credential, &*self.keys).map_err(Refusal::Unproven)?;
        let cleared = clear(&token);
        if let Some(lines) = lines {
            recent::remember(self.id, lines, token);
        }
        self.unless_revoked(cleared.map_err(Refusal::NotAllowed)?)
    }

    fn unless_revoked(&self, permit: Permit) -> Result<Permit, Refusal> {
        if self.metering.revoked.contains(permit.token_id()) { Err(Refusal::Revoked) } else { Ok(permit) }
    }
}

fn authorization_lines(head: &Parts) -> impl Iterator<Item = &[u8]> {
    head.headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes)
}

fn macaroon_lines(head: &Parts) -> impl Iterator<Item = &[u8]> {
    MACAROON_HEADERS.iter().flat_map(|name| head.headers.get_all(*name)).map(HeaderValue::as_bytes)
}

/// Step 2: the credential in the head, if there is one.
pub(super) fn read_credential(head: &Parts) -> Result<Option<Credential>, CredentialError> {
    Credential::read(authorization_lines(head), macaroon_lines(head))
}

/// Methods of RFC 9110 section 9.3 and RFC 5789 that are end-to-end.
fn is_passed_on(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::DELETE
            | Method::PATCH
            | Method::OPTIONS
    )
}

/// Some gRPC servers route a path without its slash, or with two, to the same method; we know one spelling.
fn is_grpc_path(path: &str) -> bool {
    let word = |text: &str, extra: &[u8]| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || extra.contains(&b))
    };
    let parts = path.strip_prefix('/').and_then(|rest| rest.split_once('/'));
    parts.is_some_and(|(service, method)| word(service, b".") && word(method, b""))
}

pub(super) fn rewritten_target(head: &Parts, path: &CanonicalPath<'_>) -> Option<String> {
    if path.forward() == head.uri.path() {
        return None;
    }
    Some(match head.uri.query() {
        Some(query) => format!("{}?{query}", path.forward()),
        None => path.forward().to_owned(),
    })
}
