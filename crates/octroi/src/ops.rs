//! The operator's listener: health, readiness and metrics. Never on the public address.

use crate::telemetry::{LedgerCheck, Telemetry};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use std::{convert::Infallible, fmt::Write as _, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};

/// A scraper and a prober need few connections; more are a mistake.
const CONNECTIONS_MAX: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed accept, so that a lack of descriptors is waited out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many breaches of the ledger `/readyz` names; all are in the log.
const BREACHES_NAMED_MAX: usize = 10;

/// What the readiness probe reports; `true` in `ready` means that paid requests are served.
pub type Readiness = Arc<dyn Fn() -> Readyz + Send + Sync>;

/// The answer of `/readyz`.
#[derive(Clone, Debug)]
pub struct Readyz {
    /// Whether requests should be sent here.
    pub ready: bool,
    /// Parts of the gateway and how they are.
    pub parts: Value,
}

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, telemetry: Arc<Telemetry>, readiness: Readiness) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = listener.accept().await;
        let (stream, permit) = match (accepted, Arc::clone(&connections).try_acquire_owned()) {
            (Ok((stream, _)), Ok(permit)) => (stream, permit),
            (Ok(_), Err(_)) => continue, // the connection is dropped
            (Err(error), _) => {
                tracing::warn!(%error, "the ops listener cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (telemetry, readiness) = (Arc::clone(&telemetry), Arc::clone(&readiness));
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let response = respond(&request, &telemetry, &readiness);
                async move { Ok::<_, Infallible>(response) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), answer);
            let _ = served.await; // a prober that hangs up is no event
            drop(permit);
        });
    }
}

fn respond(
    request: &Request<Incoming>,
    telemetry: &Telemetry,
    readiness: &Readiness,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return answer(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET or HEAD\n".into());
    }
    match request.uri().path() {
        "/healthz" => answer(StatusCode::OK, "text/plain", "ok\n".into()),
        "/readyz" => {
            let Readyz { ready, mut parts } = readiness();
            if let Some(check) = telemetry.meters.ledger_check() {
                tell_check(&check, &mut parts);
            }
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            answer(status, "application/json", json!({ "ready": ready, "parts": parts }).to_string())
        }
        "/metrics" => {
            let mut text = telemetry.meters.render();
            text.push_str(
                "# HELP octroi_access_log_dropped_total Access lines dropped because stderr was too slow.\n",
            );
            text.push_str("# TYPE octroi_access_log_dropped_total counter\n");
            // Writing to a String cannot fail.
            let _ = writeln!(text, "octroi_access_log_dropped_total {}", telemetry.access.dropped());
            answer(StatusCode::OK, "text/plain; version=0.0.4", text)
        }
        _ => answer(StatusCode::NOT_FOUND, "text/plain", "/healthz, /readyz or /metrics\n".into()),
    }
}

/// Whether the books hold stands beside the state of the ledger, and changes nothing about readiness: an account that is
/// wrong is no reason to stop selling to everybody else.
fn tell_check(check: &LedgerCheck, parts: &mut Value) {
    let Some(ledger) = parts.get_mut("ledger").and_then(Value::as_object_mut) else { return };
    let mut told = json!({ "at": check.at, "breaches": check.breaches.len() });
    if !check.breaches.is_empty() {
        let named = check.breaches.iter().take(BREACHES_NAMED_MAX);
        told["first"] = named.map(ToString::to_string).collect();
        told["hint"] = "keep a copy of the ledger as it is, and run `octroi ledger check`".into();
    }
    ledger.insert("check".to_owned(), told);
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
