//! Runs the steps of a request: match, read, verify, clear, admit; or refuse, and perhaps mint.

use crate::{
    admission::{Admission, Grounds},
    cors::Cors,
    host::host_of,
    keys::KeyRing,
    mint::{Mint, MintRefusal},
    path::CanonicalPath,
    recent::{self, GateId, LinesDigest},
    refusal::{Refusal, Refused},
    render::{self, Form, Scene},
    route::{Found, Place, RouteTable},
    spec::AccessMode,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header, request::Parts};
use l402::{Access, Credential, Permit, VerifiedToken};
use l402_lightning::MilliSat;
use std::{net::IpAddr, sync::Arc};

/// Headers that carry a macaroon by itself, with its preimage as a caveat.
const MACAROON_HEADERS: [&str; 2] = ["macaroon", "grpc-metadata-macaroon"];

/// One configuration's engine. Immutable: a reload builds a new one.
#[derive(Debug)]
pub struct Gate {
    id: GateId,
    table: RouteTable,
    keys: Arc<KeyRing>,
    mint: Mint,
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
    /// The price of the challenge in it.
    pub minted: Option<MilliSat>,
}

impl Gate {
    /// Puts the parts together.
    pub fn new(parts: GateParts) -> Self {
        let GateParts { table, keys, mint } = parts;
        Self { id: GateId::next(), table, keys, mint }
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

    /// Decides whether a request may go upstream. Reads the head only; calls nothing.
    pub fn admit(&self, head: &Parts, client: &Client<'_>, now: Now) -> Result<Admission, Refused> {
        let (place, found, path) = self.locate(head, client)?;
        let refused = |refusal| Refused { refusal, place: Some(place) };
        let cors = found.service.spec().cors.is_some();
        if cors && Cors::is_preflight(&head.method, &head.headers) {
            return Err(refused(Refusal::Preflight));
        }
        let grounds = match found.rule.access() {
            AccessMode::Free => Grounds::Free,
            AccessMode::Paid => Grounds::Paid(self.authorize(head, client, now, found).map_err(refused)?),
            AccessMode::Shadow => {
                let refusal = self.authorize(head, client, now, found).err();
                Grounds::Shadow(refusal.map(|refusal| refusal.reason()))
            }
        };
        let origin = if cors { head.headers.get(header::ORIGIN).cloned() } else { None };
        Ok(Admission { place, target: rewritten_target(head, &path), grounds, origin })
    }

    /// Step 1: the canonical head and the rule it matches.
    fn locate<'h>(
        &self,
        head: &'h Parts,
        client: &Client<'_>,
    ) -> Result<(Place, Found<'_>, CanonicalPath<'h>), Refused> {
        let before = |refusal| Refused { refusal, place: None };
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
    fn authorize(
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
        let authorization = || head.headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        let macaroons = || {
            let lines = MACAROON_HEADERS.iter().flat_map(|name| head.headers.get_all(*name));
            lines.map(HeaderValue::as_bytes)
        };
        let lines = LinesDigest::of(authorization(), macaroons());
        if let Some(cleared) = lines.and_then(|lines| recent::with_known(self.id, lines, clear)) {
            return cleared.map_err(Refusal::NotAllowed);
        }
        let credential = Credential::read(authorization(), macaroons()).map_err(Refusal::Malformed)?;
        let Some(credential) = credential else {
            return Err(if found.rule.skips_invoice() { Refusal::NotSoldHere } else { Refusal::Missing });
        };
        let token = l402::verify(credential, &*self.keys).map_err(Refusal::Unproven)?;
        let cleared = clear(&token);
        if let Some(lines) = lines {
            recent::remember(self.id, lines, token);
        }
        cleared.map_err(Refusal::NotAllowed)
    }

    /// Turns a refusal into a response; mints a challenge where buying one would help.
    ///
    /// `HEAD` and `OPTIONS` never mint: they are told the price.
    pub async fn answer(&self, refused: Refused, head: &Parts, client: &Client<'_>, now: Now) -> Answer {
        let Refused { mut refusal, place } = refused;
        let found = place.and_then(|place| self.table.at(place));
        let mut minted = None;
        let asks_price = matches!(head.method, Method::HEAD | Method::OPTIONS);
        if let Some(found) = found.filter(|_| refusal.mints() && !asks_price) {
            match self.challenge(found, client, now).await {
                Ok(made) => minted = Some(made),
                Err(error) => refusal = Refusal::NotMinted(error),
            }
        }
        let scene = Scene { refusal: &refusal, found, minted: minted.as_ref(), head };
        let response = render::response(&scene);
        let service_id = place.map(|place| place.service);
        Answer { response, refusal, service_id, minted: minted.map(|minted| minted.price) }
    }

    async fn challenge(
        &self,
        found: Found<'_>,
        client: &Client<'_>,
        now: Now,
    ) -> Result<crate::Minted, MintRefusal> {
        self.mint.offer(&self.keys, found, client.ip, now.unix, now.monotonic_ns).await
    }

    /// Completes an upstream's reply: nothing that was paid for may be kept by a shared cache, and a page that may call
    /// the service may read its answer.
    pub fn dress_reply(&self, admission: &Admission, reply: &mut HeaderMap) {
        if admission.permit().is_some() {
            make_private(reply);
        }
        let service = self.table.services().get(admission.service_id());
        if let Some(cors) = service.and_then(|service| service.spec().cors.as_ref())
            && !reply.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        {
            cors.allow(admission.origin.as_ref(), reply);
        }
    }
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

fn rewritten_target(head: &Parts, path: &CanonicalPath<'_>) -> Option<String> {
    if path.forward() == head.uri.path() {
        return None;
    }
    Some(match head.uri.query() {
        Some(query) => format!("{}?{query}", path.forward()),
        None => path.forward().to_owned(),
    })
}

/// RFC 9111 section 5.2.2: `private` unless the upstream says that or stricter.
fn make_private(reply: &mut HeaderMap) {
    const PRIVATE: HeaderValue = HeaderValue::from_static("private");
    if !reply.contains_key(header::CACHE_CONTROL) {
        reply.insert(header::CACHE_CONTROL, PRIVATE);
        return;
    }
    let lines: Vec<&str> =
        reply.get_all(header::CACHE_CONTROL).iter().filter_map(|v| v.to_str().ok()).collect();
    let directives = lines.iter().flat_map(|line| line.split(',')).map(str::trim).filter(|d| !d.is_empty());
    let name = |directive: &str| directive.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut kept = Vec::new();
    let mut strict = false;
    for directive in directives {
        match name(directive).as_str() {
            "private" if !directive.contains('=') => strict = true,
            "no-store" => strict = true,
            "public" | "s-maxage" => continue,
            _ => {}
        }
        kept.push(directive);
    }
    if !strict {
        kept.push("private");
    }
    let value = HeaderValue::try_from(kept.join(", ")).unwrap_or(PRIVATE);
    reply.insert(header::CACHE_CONTROL, value);
}
