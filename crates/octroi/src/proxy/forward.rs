//! The part of a request's way that leads through its upstream.

use super::{
    body::{Progress, ReplyBody, RequestBody, UpstreamBody},
    framing, headers,
    metered::{Delivery, Farewell, MeteredBody, settle_first},
    order::Payload,
    replay::Copy,
    snapshot::Snapshot,
    ticket::Ticket,
    tunnel,
    upstream::{Checkout, ConnectError, Pool, Sender, Upstream},
    worker::Worker,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Parts, response};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use l402_paywall::{
    Admission, Outcome, Refusal,
    metering::{BALANCE, COST},
};
use std::{pin::pin, rc::Rc, sync::Arc, time::Instant};

/// A request on its way to its upstream.
pub(super) struct Forward<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) worker: &'a Worker,
    pub(super) upstream: &'a Arc<Upstream>,
    pub(super) is_grpc: bool,
    pub(super) is_head: bool,
    /// Whether the client can be told something behind a body.
    pub(super) takes_trailers: bool,
    /// The end of the whole exchange.
    pub(super) deadline: Instant,
}

impl Forward<'_> {
    /// Sends the request and waits for the head of the response. A connection that turns out to be closed is replaced
    /// as long as nothing of the request can have been acted on.
    pub(super) async fn send(
        &self,
        head: Parts,
        payload: Payload,
        progress: &Rc<Progress>,
    ) -> Result<(Response<Incoming>, Rc<Pool>, Sender), Refusal> {
        let pool = self.worker.pool(self.upstream);
        let may_repeat = is_repeatable(&head.method) && payload.is_empty();
        let mut request =
            Request::from_parts(head, RequestBody::new(payload, self.is_grpc, Rc::clone(progress)));
        loop {
            let Checkout { mut sender, is_reused, is_stale } = pool
                .checkout(now(), self.snapshot.timeouts.connect)
                .await
                .map_err(|error| self.unreachable(&error))?;
            self.fit_to(&sender, &mut request);
            let spare = (may_repeat && is_stale).then(|| copy_of_head(&request));
            progress.note(now());
            progress.set_sent(true);
            let sent = self.within_limits(progress, sender.send(request)).await;
            match sent {
                Some(Ok(response)) if framing::is_plain_answer(response.headers()) => {
                    return Ok((response, pool, sender));
                }
                Some(Ok(_)) => {
                    tracing::warn!(upstream = %self.upstream.settings().url, "the upstream's answer has an unknown transfer coding");
                    return Err(Refusal::UpstreamUnreachable);
                }
                None => return Err(Refusal::UpstreamTimeout),
                Some(Err(_)) if progress.is_broken() => {
                    return Err(Refusal::Framing("the body cannot be read"));
                }
                Some(Err(mut error)) => match (error.take_message(), spare) {
                    (Some(unsent), _) if is_reused => {
                        progress.set_sent(false);
                        request = unsent;
                    }
                    (_, Some(head)) => request = head.map(|()| RequestBody::empty(Rc::clone(progress))),
                    _ => {
                        let error = error.into_error();
                        tracing::warn!(upstream = %self.upstream.settings().url, %error, "the upstream gave no answer");
                        return Err(Refusal::UpstreamUnreachable);
                    }
                },
            }
        }
    }

    fn unreachable(&self, error: &ConnectError) -> Refusal {
        tracing::warn!(upstream = %self.upstream.settings().url, %error, "the upstream cannot be reached");
        match error {
            ConnectError::Timeout => Refusal::UpstreamTimeout,
            _ => Refusal::UpstreamUnreachable,
        }
    }

    /// HTTP/1.1 sends a path and a `Host`, HTTP/2 an absolute target and an authority.
    fn fit_to(&self, sender: &Sender, request: &mut Request<RequestBody>) {
        if !sender.is_http2() {
            *request.version_mut() = Version::HTTP_11;
            return;
        }
        *request.version_mut() = Version::HTTP_2;
        let host = request.headers_mut().remove(header::HOST);
        if let Some(target) = self.upstream.absolute(request.uri(), host.as_ref()) {
            *request.uri_mut() = target;
        }
    }

    /// Waits for the response until the exchange has to end, and for at most `timeouts.response` after the last sign of
    /// life; `None` when there was none.
    async fn within_limits<F: Future>(&self, progress: &Progress, response: F) -> Option<F::Output> {
        let mut response = pin!(response);
        let limit = || self.deadline.min(progress.last() + self.snapshot.timeouts.response);
        loop {
            match tokio::time::timeout_at(limit().into(), response.as_mut()).await {
                Ok(response) => return Some(response),
                Err(_) if limit() <= now() => return None,
                Err(_) => {} // the client was still sending
            }
        }
    }

    /// What a metered answer's head says of its cost, and how its body is to be delivered.
    fn count_head(&self, head: &mut response::Parts, ticket: &mut Ticket) -> Option<Delivery> {
        let status = head.status.as_u16();
        ticket.count.as_ref()?;
        let closing = ticket.read_head(status, &mut head.headers);
        let farewell = match head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes) {
            _ if self.is_grpc => Farewell::Grpc,
            Some(kind) if kind.starts_with(b"text/event-stream") => Farewell::Event,
            _ => Farewell::Cut,
        };
        let is_open = ticket.admission().is_some_and(|admission| admission.tab().is_some());
        let tells_at_end = is_open && self.takes_trailers;
        Some(Delivery { closing, tells_at_end, farewell, copy: None })
    }

    /// Hands a metered answer to the client: its end, or where there is no body its head, waits for the charge.
    async fn deliver(
        &self,
        mut head: response::Parts,
        body: UpstreamBody,
        mut delivery: Delivery,
    ) -> Response<ReplyBody> {
        if body.is_at_end() || self.is_head {
            delivery.tells_at_end = false;
            return settle_first(head, body, delivery).await;
        }
        if delivery.tells_at_end {
            // Only what is announced is sent in HTTP/1.1, and only behind chunks.
            head.headers.remove(header::CONTENT_LENGTH);
            for name in [&BALANCE, &COST] {
                head.headers.append(header::TRAILER, name.clone().into());
            }
        }
        Response::from_parts(head, ReplyBody::Metered(Box::new(MeteredBody::new(body, delivery))))
    }

    /// Passes the upstream's response on.
    pub(super) async fn reply(
        &self,
        mut response: Response<Incoming>,
        pool: Rc<Pool>,
        sender: Sender,
        mut ticket: Ticket,
        tunnel: Option<OnUpgrade>,
    ) -> Response<ReplyBody> {
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let granted = switches && tunnel::is_granted(&response);
        let upstream_side = granted.then(|| hyper::upgrade::on(&mut response));
        let (mut head, body) = response.into_parts();
        let mut metered = self.count_head(&mut head, &mut ticket);
        headers::strip_response(&mut head.headers);
        if let Some(admission) = ticket.admission() {
            self.snapshot.gate.dress_reply(admission, &mut head.headers);
        }
        // The outcome of a gRPC call stands behind its body, and trailers are not kept.
        if let Some(delivery) = metered.as_mut().filter(|_| !self.is_grpc)
            && let Some(settings) = ticket.admission().and_then(Admission::claims_answer)
        {
            let expected = http_body::Body::size_hint(&body).lower();
            delivery.copy = Some(Copy::of(head.status, &head.headers, expected, settings.answer_bytes_max));
        }
        head.extensions.clear();
        head.version = Version::HTTP_11; // the listener writes its own
        match (upstream_side, tunnel) {
            (Some(upstream), Some(client)) => {
                tunnel::write_handshake(&mut head.headers);
                let closing = metered.and_then(|delivery| delivery.closing);
                tunnel::start(client, upstream, ticket, closing, self.deadline);
                Response::from_parts(head, ReplyBody::Own(None))
            }
            // A switch that nobody asked for cannot be passed on.
            _ if switches => {
                ticket.finish(Outcome::UpstreamFailed { status: 502 });
                let mut response = Response::new(ReplyBody::Own(None));
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                response
            }
            _ => {
                let status = head.status.as_u16();
                let connection = (pool, sender);
                let body = UpstreamBody::new(body, self.is_grpc, status, ticket, connection, self.deadline);
                match metered {
                    None => Response::from_parts(head, ReplyBody::Upstream(Box::new(body))),
                    Some(delivery) => self.deliver(head, body, delivery).await,
                }
            }
        }
    }
}

/// Methods that may be sent twice without harm ([RFC 9110 section 9.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2)),
/// less those that are rarely without a body.
fn is_repeatable(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn copy_of_head(request: &Request<RequestBody>) -> Request<()> {
    let mut copy = Request::new(());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    copy.headers_mut().clone_from(request.headers());
    copy
}

#[expect(clippy::disallowed_methods, reason = "the edge: how long an exchange takes")]
fn now() -> Instant {
    Instant::now()
}
