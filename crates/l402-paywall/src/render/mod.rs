//! The one place where a refusal becomes a response: problem+json, plain text, a page for people, or gRPC.

mod challenge;
mod form;
mod grpc;
mod page;

pub use form::Form;

use crate::{meter::Pack, mint::Minted, refusal::Refusal, route::Found};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request::Parts};

/// The price of a token in millisatoshi, told without minting.
pub(crate) const PRICE: HeaderName = HeaderName::from_static("l402-price");

/// Everything a response is made from.
pub(crate) struct Scene<'a> {
    pub(crate) refusal: &'a Refusal,
    pub(crate) found: Option<Found<'a>>,
    pub(crate) minted: Option<&'a Minted>,
    pub(crate) head: &'a Parts,
}

/// Renders the refusal in the form that the request asks for.
pub(crate) fn response(scene: &Scene<'_>) -> Response<Bytes> {
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(secs) = scene.refusal.retry_after_secs() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
    }
    if let Some(cors) = scene.found.and_then(|found| found.service.spec().cors.as_ref()) {
        match scene.refusal {
            Refusal::Preflight => cors.allow_preflight(&scene.head.headers, &mut headers),
            _ => cors.allow(scene.head.headers.get(header::ORIGIN), &mut headers),
        }
    }
    let form = Form::of(&scene.head.headers);
    let (status, body) = match form {
        _ if matches!(scene.refusal, Refusal::Preflight) => (StatusCode::NO_CONTENT, Bytes::new()),
        Form::Grpc | Form::GrpcWeb => {
            grpc::trailers_only(scene, form, &mut headers);
            (StatusCode::OK, Bytes::new())
        }
        Form::Problem => (scene.refusal.status(), problem(scene, &mut headers)),
        Form::Plain => (scene.refusal.status(), plain(scene, &mut headers)),
        Form::Html => (scene.refusal.status(), page::html(scene, &mut headers)),
    };
    challenge::write(scene, &mut headers);
    let body = if scene.head.method == Method::HEAD { Bytes::new() } else { body };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// RFC 9457. No member carries the invoice or the macaroon: some clients prefer the body to the header.
fn problem(scene: &Scene<'_>, headers: &mut HeaderMap) -> Bytes {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    let status = scene.refusal.status();
    let (detail, reason) = (scene.refusal.to_string(), scene.refusal.reason());
    let mut body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        // What client libraries of language models look for: without it they show their users a bare status code.
        "error": { "type": error_type(status), "code": reason, "message": detail },
        "detail": detail,
        "reason": reason,
    });
    if let Some(found) = scene.found {
        body["service"] = found.service.name().as_str().into();
        let price = scene.minted.map(|minted| minted.price).or(found.rule.price());
        if let Some(price) = price.filter(|_| scene.refusal.mints()) {
            body["price_msat"] = price.as_msat().into();
            body["price_sats"] = price.sats_rounded_up().into();
        }
    }
    if let Some(minted) = scene.minted {
        body["expires_at"] = minted.expires_at.into();
    }
    describe_units(scene, &mut body);
    Bytes::from(body.to_string())
}

/// The kind of an error in the words of those libraries.
fn error_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYMENT_REQUIRED => "payment_required",
        _ if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

/// What is sold by the unit, and what is left of it.
fn describe_units(scene: &Scene<'_>, body: &mut serde_json::Value) {
    if let Refusal::Exhausted { balance, needed } = scene.refusal {
        body["balance"] = balance.get().into();
        body["needed"] = needed.get().into();
    }
    let Some((rule, meter)) = scene.found.and_then(|found| Some((found.rule, found.rule.meter()?))) else {
        return;
    };
    if !scene.refusal.mints() && !matches!(scene.refusal, Refusal::UnknownPack) {
        return;
    }
    body["unit"] = meter.unit.to_string().into();
    if let Some(units) = scene.minted.and_then(|minted| minted.units) {
        body["units"] = units.get().into();
    }
    let pack = |pack: &Pack| {
        serde_json::json!({
            "name": pack.name.as_str(),
            "units": pack.units.get(),
            "price_msat": pack.price.as_msat(),
        })
    };
    body["packs"] = rule.packs().iter().map(pack).collect();
}

/// What the incumbent gateway answers to everybody on a 402.
fn plain(scene: &Scene<'_>, headers: &mut HeaderMap) -> Bytes {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if scene.refusal.mints() {
        Bytes::from_static(b"payment required\n")
    } else {
        Bytes::from(format!("{}\n", scene.refusal))
    }
}
