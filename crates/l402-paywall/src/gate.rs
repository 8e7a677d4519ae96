//! Runs the steps of a request: match, read, verify, clear, admit; or refuse, and perhaps mint.

use crate::{
    admission::{Admission, Grounds},
    cors::Cors,
    host::host_of,
    keys::KeyRing,
    mint::{Mint, Minted},
    path::CanonicalPath,
    recent::{self, GateId, LinesDigest},
    refusal::{Refusal, Refused},
    render::{self, Form, Scene},
    route::{Found, Place, RouteTable},
    settled::{SettlementCheck, Standing, Unsettled},
    spec::AccessMode,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header, request::Parts};
use l402::{Access, Challenge, Credential, CredentialError, Macaroon, Permit, RootKeys as _, VerifiedToken};
use l402_lightning::{Invoice, MilliSat};
use std::{net::IpAddr, sync::Arc};

/// Headers that carry a macaroon by itself, with its preimage as a caveat.
const MACAROON_HEADERS: [&str; 2] = ["macaroon", "grpc-metadata-macaroon"];

/// Longest token that is told again: it goes out two or three times, and the header block of a 402 has to stay small
/// (wire contract, section 1). Holders can make their tokens longer than they were sold.
const TOKEN_BYTES_TOLD_AGAIN: usize = 1_000;

/// One configuration's engine. Immutable: a reload builds a new one.
#[derive(Debug)]
pub struct Gate {
    id: GateId,
    table: RouteTable,
    keys: Arc<KeyRing>,
    mint: Mint,
    settlement: Option<Arc<SettlementCheck>>,
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
        let GateParts { table, keys, mint, settlement } = parts;
        Self { id: GateId::next(), table, keys, mint, settlement }
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
        let refused = |refusal| Refused { refusal, place: Some(place), open: None };
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

    /// Whether [`confirm`](Self::confirm) has anything to ask.
    pub fn asks_for_settlement(&self) -> bool {
        self.settlement.is_some()
    }

    /// Where the seller asks for it: whether the payment behind an admission is settled. Waits for the node at most where
    /// neither memory nor store know; does nothing at all where the preimage is proof enough.
    pub async fn confirm(&self, admission: Admission, now: Now) -> Result<Admission, Refused> {
        let (Some(settlement), Some(permit)) = (&self.settlement, admission.permit()) else {
            return Ok(admission);
        };
        let (why, open) = match settlement.standing(permit.payment_hash(), now.monotonic_ns).await {
            Ok(Standing::Settled) => return Ok(admission),
            Ok(Standing::Open(invoice)) => (Unsettled::Open, Some(invoice)),
            Ok(Standing::Ended) => (Unsettled::Open, None),
            Err(why) => (why, None),
        };
        Err(Refused { open, ..admission.refuse(Refusal::Unsettled(why)) })
    }

    /// Step 1: the canonical head and the rule it matches.
    fn locate<'h>(
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
        let lines = LinesDigest::of(authorization_lines(head), macaroon_lines(head));
        if let Some(cleared) = lines.and_then(|lines| recent::with_known(self.id, lines, clear)) {
            return cleared.map_err(Refusal::NotAllowed);
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
        cleared.map_err(Refusal::NotAllowed)
    }

    /// Turns a refusal into a response; mints a challenge where buying one would help.
    ///
    /// `HEAD` and `OPTIONS` never mint: they are told the price.
    pub async fn answer(&self, refused: Refused, head: &Parts, client: &Client<'_>, now: Now) -> Answer {
        let Refused { mut refusal, place, open } = refused;
        let found = place.and_then(|place| self.table.at(place));
        let (mut minted, mut offered) = (None, None);
        let asks_price = matches!(head.method, Method::HEAD | Method::OPTIONS);
        if let Some(found) = found.filter(|_| refusal.mints() && !asks_price) {
            offered = open.and_then(|invoice| self.offer_again(head, &invoice, now));
            if offered.is_none() {
                match self.mint.offer(&self.keys, found, client.ip, now.unix, now.monotonic_ns).await {
                    Ok(made) => minted = Some(made),
                    Err(error) => refusal = Refusal::NotMinted(error),
                }
            }
        }
        let scene = Scene { refusal: &refusal, found, minted: offered.as_ref().or(minted.as_ref()), head };
        let response = render::response(&scene);
        let service_id = place.map(|place| place.service);
        Answer { response, refusal, service_id, minted: minted.map(|minted| minted.price) }
    }

    /// The challenge that the token in `head` was bought by, told again. `None` where it is of no use any more.
    fn offer_again(&self, head: &Parts, invoice: &Invoice, now: Now) -> Option<Minted> {
        let is_payable = invoice.network() == self.mint.network && !invoice.is_expired(now.unix);
        let price = invoice.amount().filter(|_| is_payable)?;
        let credential = read_credential(head).ok()??;
        let token = l402::verify(credential, &*self.keys).ok()?;
        if token.payment_hash() != invoice.payment_hash() {
            return None;
        }
        let token = self.without_preimage(&token)?;
        if token.as_bytes().len() > TOKEN_BYTES_TOLD_AGAIN {
            return None;
        }
        let challenge = Challenge { token, invoice: invoice.text().to_owned() };
        Some(Minted { challenge, price, expires_at: invoice.expires_at() })
    }

    /// The token as it was before its holder put the preimage inside, as clients of gRPC do. That restricts nothing, so
    /// nothing is widened without it; every other caveat stays.
    fn without_preimage(&self, token: &VerifiedToken) -> Option<Macaroon> {
        let view = token.macaroon();
        let others = || view.caveats().map(|caveat| caveat.identifier).filter(|text| !is_preimage(text));
        if others().count() == view.caveat_count() {
            return Some(view.to_owned());
        }
        let key = self.keys.root_key(token.identifier())?;
        Macaroon::mint(&key, str::from_utf8(view.location()).ok()?, view.identifier(), others()).ok()
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

fn authorization_lines(head: &Parts) -> impl Iterator<Item = &[u8]> {
    head.headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes)
}

fn macaroon_lines(head: &Parts) -> impl Iterator<Item = &[u8]> {
    MACAROON_HEADERS.iter().flat_map(|name| head.headers.get_all(*name)).map(HeaderValue::as_bytes)
}

fn is_preimage(caveat: &[u8]) -> bool {
    caveat.starts_with(b"preimage=")
}

/// Step 2: the credential in the head, if there is one.
fn read_credential(head: &Parts) -> Result<Option<Credential>, CredentialError> {
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
