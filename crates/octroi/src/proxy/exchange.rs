//! The way of one request: frame, admit, forward; or refuse.

use super::{
    body::ReplyBody,
    errand,
    forward::Forward,
    framing,
    headers::{self, Passage},
    order::{self, Payload},
    replay,
    ticket::Ticket,
    tunnel,
    upstream::Upstream,
    worker::{Connection, InFlight, Worker},
};
use crate::listener::client_address;
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Parts, uri::PathAndQuery,
};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use l402_paywall::{Admission, Client, Completed, Form, Refusal, Refused, Verdict, meter::CostRule};
use std::{
    borrow::Cow,
    net::IpAddr,
    panic::AssertUnwindSafe,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// How much of a refused request's body is read before the connection is closed on it, and for how long.
const LINGER_BYTES_MAX: usize = 4 << 20;
const LINGER_TIME_MAX: Duration = Duration::from_secs(5);

/// Answers one request. A panic on its way ends this request only.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    in_flight: InFlight,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let answered = CatchPanic(Box::pin(handle(worker, in_flight, request))).await;
    answered.unwrap_or_else(broken_down)
}

/// The answer to a request that made the gateway panic.
fn broken_down() -> Response<ReplyBody> {
    tracing::error!("a request made the gateway panic; the request was ended, the gateway goes on");
    let mut response = Response::new(ReplyBody::from(Bytes::new()));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn handle(
    worker: Rc<Worker>,
    mut in_flight: InFlight,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let connection = Rc::clone(in_flight.connection());
    let snapshot = worker.shared.snapshot.load_full();
    let started = now();
    let deadline = started + snapshot.timeouts.whole;
    in_flight.end_by(deadline);
    let trusted = snapshot.trusted_proxies.get(connection.listener).map_or(&[][..], Vec::as_slice);
    let ip = client_address(connection.peer.ip(), request.headers(), trusted);
    let client = Client { ip, server_name: connection.server_name.as_deref() };
    let mut ticket = Ticket::new(&worker, &snapshot, in_flight, &request, ip, started);

    let wants_tunnel = tunnel::is_asked_for(&request);
    let (mut head, body) = request.into_parts();
    let mut payload = Payload::Streaming(body);
    let verdict = framing::check(&head, snapshot.header_bytes)
        .map_err(Refused::before_routing)
        .and_then(|()| snapshot.gate.admit(&head, &client, worker.shared.clock.now()));
    let admitted = match verdict {
        Ok(Verdict::Admitted(admission)) => Ok(admission),
        Ok(Verdict::Pending(pending)) => {
            match order::complete(&snapshot, &worker, pending, &head, &mut payload, deadline).await {
                Ok(Completed::Admitted(admission)) => Ok(*admission),
                Ok(Completed::Answered(kept)) => return tell_again(kept, ticket),
                Err(refused) => Err(refused),
            }
        }
        Err(refused) => Err(refused),
    };
    match admitted {
        Ok(admission) => ticket.admit(admission),
        Err(refused) => {
            linger(&head, payload);
            return refuse(refused, &head, &client, ticket).await;
        }
    }
    let Some(admission) = ticket.admission() else { return Response::new(ReplyBody::Own(None)) };
    if let Some(meter) = admission.meter()
        && let Err(refusal) = order::make_readable(meter, &mut head, &mut payload, deadline).await
    {
        let refused = admission.refuse(refusal);
        linger(&head, payload);
        return refuse(refused, &head, &client, ticket).await;
    }
    let outlives_client = !wants_tunnel && outlives_client(admission, &head);
    let is_trusted = is_from_proxy(connection.peer.ip(), trusted);
    let progress = Rc::clone(ticket.progress());
    let admitted = Admitted {
        worker: Rc::clone(&worker),
        connection,
        head,
        payload,
        ticket,
        ip,
        wants_tunnel,
        is_trusted,
        deadline,
    };
    if outlives_client {
        errand::run(worker, progress, admitted.forward()).await.unwrap_or_else(broken_down)
    } else {
        admitted.forward().await
    }
}

/// Whether a request is served to its end although its client may leave: its answer is kept for who repeats it. A client
/// that buys time stops paying when it leaves, and of gRPC no answer is kept.
fn outlives_client(admission: &Admission, head: &Parts) -> bool {
    let sells_time = admission.meter().is_some_and(|meter| matches!(meter.cost, CostRule::Time { .. }));
    admission.claims_answer().is_some() && !sells_time && !Form::is_grpc(&head.headers)
}

/// A request on its way to its upstream.
struct Admitted {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    head: Parts,
    payload: Payload,
    ticket: Ticket,
    ip: IpAddr,
    wants_tunnel: bool,
    /// Whether it came through a proxy that is believed.
    is_trusted: bool,
    deadline: Instant,
}

impl Admitted {
    /// Has it answered by its upstream, or refuses it after all.
    async fn forward(self) -> Response<ReplyBody> {
        let Self { worker, connection, mut head, payload, ticket, ip, wants_tunnel, is_trusted, deadline } =
            self;
        let snapshot = Arc::clone(&ticket.snapshot);
        let client = Client { ip, server_name: connection.server_name.as_deref() };
        let Some(admission) = ticket.admission() else { return Response::new(ReplyBody::Own(None)) };
        let Some(upstream) = snapshot.upstreams.get(admission.service_id()) else {
            let refused = admission.refuse(Refusal::Internal);
            return refuse(refused, &head, &client, ticket).await;
        };
        let refusal_head = RefusalHead::of(&head);
        let tunnel = if wants_tunnel { head.extensions.remove::<OnUpgrade>() } else { None };
        let is_grpc = Form::is_grpc(&head.headers);
        let prepared = prepare(&mut head, &ticket, upstream, &connection, is_trusted);
        if tunnel.is_some() {
            tunnel::write_handshake(&mut head.headers);
        }
        let takes_trailers = takes_trailers(&refusal_head);
        let is_head = head.method == Method::HEAD;
        let forward = Forward {
            snapshot: &snapshot,
            worker: &worker,
            upstream,
            is_grpc,
            is_head,
            takes_trailers,
            deadline,
        };
        let sent = match prepared {
            Ok(()) => forward.send(head, payload, ticket.progress()).await,
            Err(refusal) => Err(refusal),
        };
        match sent {
            Ok((response, pool, sender)) => forward.reply(response, pool, sender, ticket, tunnel).await,
            Err(refusal) => {
                let head = refusal_head.into_parts();
                let Some(refused) = ticket.admission().map(|admission| admission.refuse(refusal)) else {
                    return Response::new(ReplyBody::Own(None));
                };
                refuse(refused, &head, &client, ticket).await
            }
        }
    }
}

/// The answer that was kept when the same request was served.
fn tell_again(kept: Bytes, mut ticket: Ticket) -> Response<ReplyBody> {
    let Some(answer) = replay::decode(kept) else {
        tracing::error!(request = ticket.request_id(), "an answer that was kept cannot be read");
        let mut response = Response::new(ReplyBody::Own(None));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return response;
    };
    ticket.told_again(answer.status());
    answer.map(ReplyBody::from)
}

/// Renders a refusal, and tells of it.
async fn refuse(refused: Refused, head: &Parts, client: &Client<'_>, ticket: Ticket) -> Response<ReplyBody> {
    let is_unreadable = matches!(refused.refusal(), Refusal::Framing(_) | Refusal::HeaderTooLarge);
    let closes = is_unreadable && head.version < Version::HTTP_2;
    let snapshot = Arc::clone(&ticket.snapshot);
    let now = ticket.worker.shared.clock.now();
    let answer = snapshot.gate.answer(refused, head, client, now).await;
    ticket.answered(&answer);
    let mut response = answer.response.map(ReplyBody::from);
    if closes {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Reads on, for a while, what a client is still sending although it has its answer already. Closing at once would reset
/// the connection, and many clients would never see the answer. A client that waits to be told is not told.
fn linger(head: &Parts, payload: Payload) {
    let Payload::Streaming(mut body) = payload else { return };
    if http_body::Body::is_end_stream(&body) || head.headers.contains_key(header::EXPECT) {
        return;
    }
    tokio::task::spawn_local(async move {
        let mut left = LINGER_BYTES_MAX;
        let reading = async {
            while let Some(Ok(frame)) = body.frame().await {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if left == 0 {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER_TIME_MAX, reading).await; // what is left is cut off
    });
}

/// What a later refusal is rendered from, after the head has gone upstream.
struct RefusalHead {
    method: Method,
    version: Version,
    headers: [(http::HeaderName, Option<HeaderValue>); 4],
}

impl RefusalHead {
    fn of(head: &Parts) -> Self {
        let kept = |name: http::HeaderName| {
            let value = head.headers.get(&name).cloned();
            (name, value)
        };
        let headers =
            [kept(header::ACCEPT), kept(header::CONTENT_TYPE), kept(header::ORIGIN), kept(header::TE)];
        Self { method: head.method.clone(), version: head.version, headers }
    }

    fn into_parts(self) -> Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = self.method;
        head.version = self.version;
        head.headers = self.headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        head
    }
}

/// Whether the client can be told something behind a body
/// ([RFC 9110 section 6.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1)).
fn takes_trailers(head: &RefusalHead) -> bool {
    let [.., (_, te)] = &head.headers;
    let says_so = || {
        let options = te.as_ref().and_then(|te| te.to_str().ok()).unwrap_or_default().split(',');
        options.map(str::trim).any(|option| option.eq_ignore_ascii_case("trailers"))
    };
    head.version >= Version::HTTP_2 || (head.version == Version::HTTP_11 && says_so())
}

/// Turns the client's head into the upstream's.
fn prepare(
    head: &mut Parts,
    ticket: &Ticket,
    upstream: &Upstream,
    connection: &Connection,
    is_trusted: bool,
) -> Result<(), Refusal> {
    let Some(admission) = ticket.admission() else { return Ok(()) };
    let settings = upstream.settings();
    let snapshot = &ticket.snapshot;
    let service = snapshot.gate.table().services().get(admission.service_id());
    let host = match upstream.own_host() {
        Some(host) => Some(host.clone()),
        None => client_host(head),
    };
    let canonical = admission.rewritten_target();
    if let Some(target) = forwarded_target(head, canonical, settings.rewrite.as_deref(), service) {
        // A target that a longer prefix has made too long goes nowhere, least of all where it did not ask to go.
        head.uri = target.parse().map_err(|_| Refusal::HeaderTooLarge)?;
    }
    let passage =
        Passage { is_trusted, pass: &settings.pass_headers, forward_credential: settings.forward_credential };
    headers::strip_request(&mut head.headers, &passage);
    if head.version >= Version::HTTP_2 {
        headers::join_cookies(&mut head.headers);
    }
    if let Some(host) = host {
        head.headers.insert(header::HOST, host);
    }
    if let Some(labels) = snapshot.labels.get(admission.service_id()) {
        headers::add_to_request(&mut head.headers, admission, labels, connection);
    }
    Ok(())
}

/// The host as the client gave it, whichever version it speaks. HTTP/2 has it in the target only.
fn client_host(head: &Parts) -> Option<HeaderValue> {
    let authority = head.uri.authority().map(|authority| HeaderValue::from_str(authority.as_str()));
    head.headers.get(header::HOST).cloned().or_else(|| authority?.ok())
}

/// Path and query as the upstream gets them, in origin form; `None` where they are that already.
fn forwarded_target<'a>(
    head: &'a Parts,
    canonical: Option<&'a str>,
    rewrite: Option<&str>,
    service: Option<&l402_paywall::Service>,
) -> Option<Cow<'a, str>> {
    let came_as = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let target = canonical.unwrap_or(came_as);
    let rewritten = rewrite.and_then(|new| {
        let Some(l402_paywall::PathPattern::Prefix(old)) = service.map(|service| &service.spec().path) else {
            return None;
        };
        // The prefix was matched decoded, and may be escaped here; its slashes are the same in both.
        let (end, _) = target.match_indices('/').nth(old.matches('/').count().checked_sub(1)?)?;
        Some(format!("{new}{}", &target[end + 1..]))
    });
    match rewritten {
        Some(rewritten) => Some(rewritten.into()),
        None if canonical.is_some() || head.uri.scheme().is_some() => Some(target.into()),
        None => None,
    }
}

fn is_from_proxy(peer: IpAddr, trusted: &[ipnet::IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&peer.to_canonical()))
}

/// Ends a future that panics with `None`.
struct CatchPanic<F>(Pin<Box<F>>);

impl<F: Future> Future for CatchPanic<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.0.as_mut();
        // After a panic the future is never polled again, so nothing half done is seen.
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge: how long an exchange takes")]
fn now() -> Instant {
    Instant::now()
}
