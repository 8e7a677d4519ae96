//! WebSocket: once the upstream has answered 101, bytes pass both ways until either side ends. Nothing is tunnelled
//! before that answer, and nothing but `websocket` ever is.

use super::ticket::Ticket;
use http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use l402_paywall::Outcome;
use std::time::Instant;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");

/// Whether a request wants to become a WebSocket
/// ([RFC 6455 section 4.2.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1)).
pub(super) fn is_asked_for<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11 && names_websocket(request.headers())
}

/// Whether an upstream's 101 is about WebSocket.
pub(super) fn is_granted<B>(response: &Response<B>) -> bool {
    names_websocket(response.headers())
}

fn names_websocket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(header::UPGRADE).iter();
    let upgrade = upgrades.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|line| line.to_str().ok());
    let mut options = connection.flat_map(|line| line.split(',')).map(str::trim);
    upgrade && upgrades.next().is_none() && options.any(|option| option.eq_ignore_ascii_case("upgrade"))
}

/// Puts the two hop-by-hop fields of the handshake back.
pub(super) fn write_handshake(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, UPGRADE);
    headers.insert(header::UPGRADE, WEBSOCKET);
}

/// Passes bytes both ways, at most until `deadline`.
pub(super) fn start(client: OnUpgrade, upstream: OnUpgrade, mut ticket: Ticket, deadline: Instant) {
    tokio::task::spawn_local(async move {
        let (Ok(client), Ok(upstream)) = tokio::join!(client, upstream) else {
            return ticket.finish(Outcome::Cut { status: 101 });
        };
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        let passing = tokio::io::copy_bidirectional(&mut client, &mut upstream);
        let passed = tokio::time::timeout_at(deadline.into(), passing).await;
        ticket.finish(match passed {
            Ok(Ok(_)) => Outcome::Served { status: 101 },
            Ok(Err(_)) | Err(_) => Outcome::Cut { status: 101 },
        });
    });
}
