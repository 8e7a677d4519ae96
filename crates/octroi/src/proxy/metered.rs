//! An upstream's answer on its way to a client who pays by the unit.
//!
//! What is used is counted as it passes. Where more may be used than is set aside, more is set aside first; where there is
//! no more, the answer ends visibly. The last bytes wait until the charge is in the ledger, so that nobody has a whole
//! answer that was not charged.

use super::{
    body::{BodyError, ReplyBody, UpstreamBody},
    count::Ahead,
    meter,
    replay::Copy,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, response};
use http_body::{Frame, SizeHint};
use l402_lightning::BoxFuture;
use l402_paywall::{
    Outcome,
    ledger::Units,
    metering::{BALANCE, Bill, COST, Closing, Extended, TabError},
};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::Sleep;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// How an answer can end before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// A stream of events: with an event that says so.
    Event,
    /// gRPC: with a status.
    Grpc,
    /// Anything else: cut off.
    Cut,
}

pub(crate) struct MeteredBody {
    upstream: UpstreamBody,
    step: Step,
    /// Waits for what `step` waits for.
    held: Option<Frame<Bytes>>,
    /// The charge, where it was known with the head.
    closing: Option<Closing>,
    /// Time is used up while nothing passes.
    tick: Option<Pin<Box<Sleep>>>,
    /// Balance and cost go out behind the body.
    tells_at_end: bool,
    farewell: Farewell,
    copy: Option<Copy>,
}

enum Step {
    Passing,
    Extending {
        total: Units,
        asked: BoxFuture<'static, Result<Extended, TabError>>,
    },
    Closing {
        closing: Closing,
        is_exhausted: bool,
    },
    /// The token is spent, and the client remains to be told.
    Leaving {
        has_waited: bool,
    },
    /// The balance remains to be told.
    Telling,
    Ended,
}

/// How an answer is delivered.
pub(super) struct Delivery {
    /// The charge, where it was known with the head.
    pub(super) closing: Option<Closing>,
    /// Whether the client can be told balance and cost behind the body.
    pub(super) tells_at_end: bool,
    pub(super) farewell: Farewell,
    /// The answer so far, where it is to be kept.
    pub(super) copy: Option<Copy>,
}

/// An answer without a body goes out once it is charged.
pub(super) async fn settle_first(
    head: response::Parts,
    upstream: UpstreamBody,
    delivery: Delivery,
) -> Response<ReplyBody> {
    let mut body = MeteredBody::new(upstream, delivery);
    body.close(false);
    let Step::Closing { closing, .. } = std::mem::replace(&mut body.step, Step::Ended) else {
        return Response::from_parts(head, ReplyBody::Own(None));
    };
    if let Err(error) = closing.await {
        tracing::error!(request = body.upstream.ticket_mut().request_id(), %error, "a charge is not in the ledger; the answer was withheld");
        body.upstream.break_off();
        let mut response = Response::new(ReplyBody::Own(None));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return response;
    }
    let mut head = head;
    if let Some(Bill { balance, charged, .. }) = body.upstream.ticket_mut().bill() {
        head.headers.insert(BALANCE, HeaderValue::from(balance.get()));
        head.headers.insert(COST, HeaderValue::from(charged.get()));
    }
    Response::from_parts(head, ReplyBody::Metered(Box::new(body)))
}

impl MeteredBody {
    pub(super) fn new(upstream: UpstreamBody, delivery: Delivery) -> Self {
        let Delivery { closing, tells_at_end, farewell, copy } = delivery;
        Self { upstream, step: Step::Passing, held: None, closing, tick: None, tells_at_end, farewell, copy }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match &mut self.step {
                Step::Passing => {
                    if let Some(total) = self.upstream.ticket_mut().units_wanted() {
                        self.extend(total);
                        continue;
                    }
                    match self.upstream.poll(cx) {
                        Poll::Pending => ready!(self.poll_tick(cx)),
                        Poll::Ready(Some(Ok(frame))) => {
                            if let Some(passed) = self.pass(frame) {
                                return Poll::Ready(Some(Ok(passed)));
                            }
                        }
                        Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                        Poll::Ready(None) => self.close(false),
                    }
                }
                Step::Extending { total, asked } => {
                    let (total, extended) = (*total, ready!(asked.as_mut().poll(cx)));
                    self.step = Step::Passing;
                    match extended {
                        Ok(Extended::Granted) => self.upstream.ticket_mut().note_extended(total),
                        Ok(Extended::Exhausted { left }) => {
                            self.upstream.ticket_mut().note_dry();
                            if left > Units::ZERO {
                                let all = self.upstream.ticket_mut().reserved().saturating_add(left);
                                self.extend(all);
                                continue;
                            }
                        }
                        Err(error) => return self.fail(&error),
                    }
                    if self.upstream.ticket_mut().units_to_add(Ahead::Nothing).is_some() {
                        self.keep_what_is_covered();
                        self.close(true);
                    } else if let Some(passed) = self.held.take().and_then(|frame| self.unless_last(frame)) {
                        return Poll::Ready(Some(Ok(passed)));
                    }
                }
                Step::Closing { closing, is_exhausted } => {
                    let is_exhausted = *is_exhausted;
                    if let Err(error) = ready!(closing.as_mut().poll(cx)) {
                        return self.fail(&error);
                    }
                    self.step =
                        if is_exhausted { Step::Leaving { has_waited: false } } else { Step::Telling };
                    if let Some(frame) = self.held.take() {
                        return Poll::Ready(Some(Ok(self.told_with(frame))));
                    }
                }
                // What passed last goes out before the connection breaks.
                Step::Leaving { has_waited: has_waited @ false } => {
                    *has_waited = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Step::Leaving { has_waited: true } => return self.say_farewell(),
                Step::Telling => {
                    self.step = Step::Ended;
                    let trailers = self.trailers();
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                Step::Ended => return Poll::Ready(None),
            }
        }
    }

    /// Whether the client has been given everything that it will get.
    pub(super) fn is_handed_over(&self) -> bool {
        matches!(self.step, Step::Leaving { .. } | Step::Telling | Step::Ended)
    }

    /// Whether the answer can be kept for who repeats the request, or is about to be.
    pub(super) fn is_worth_keeping(&self) -> bool {
        matches!(self.step, Step::Closing { .. }) || self.copy.as_ref().is_some_and(Copy::has_room)
    }

    /// The client has left; the answer is read to be kept.
    pub(super) fn note_client_gone(&mut self) {
        self.upstream.ticket_mut().note_client_gone();
    }

    /// Counts a frame; gives it back where it may pass at once.
    fn pass(&mut self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        if let Some(data) = frame.data_ref() {
            self.upstream.ticket_mut().count(data);
            if let Some(copy) = &mut self.copy {
                copy.add(data);
            }
        }
        if let Some(total) = self.upstream.ticket_mut().units_to_add(Ahead::Nothing) {
            self.held = Some(frame);
            self.extend(total);
            return None;
        }
        self.unless_last(frame)
    }

    /// The last frame waits for the charge; any other may pass.
    fn unless_last(&mut self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        if !frame.is_trailers() && !self.upstream.is_at_end() && !self.upstream.is_whole_by_length() {
            return Some(frame);
        }
        self.held = Some(frame);
        self.close(false);
        None
    }

    /// Of what is held back, the bytes that are paid for may still pass.
    fn keep_what_is_covered(&mut self) {
        let uncovered = self.upstream.ticket_mut().uncovered_bytes();
        let data = self.held.take().and_then(|frame| frame.into_data().ok());
        let covered = data.map(|mut data| data.split_to(data.len().saturating_sub(uncovered)));
        self.held = covered.filter(|data| !data.is_empty()).map(Frame::data);
    }

    fn extend(&mut self, total: Units) {
        match self.upstream.ticket_mut().extend(total) {
            Some(asked) => self.step = Step::Extending { total, asked },
            None => self.close(true),
        }
    }

    fn close(&mut self, is_exhausted: bool) {
        let status = self.upstream.status();
        let outcome = if is_exhausted { Outcome::Exhausted { status } } else { Outcome::Served { status } };
        let answer = self.copy.take().filter(|_| !is_exhausted).and_then(|copy| copy.encode());
        let closing = self.closing.take().or_else(|| self.upstream.ticket_mut().close(outcome, answer));
        if is_exhausted {
            self.upstream.ticket_mut().note_outcome(outcome);
        }
        let closing = closing.unwrap_or_else(|| Box::pin(std::future::ready(Ok(()))));
        self.step = Step::Closing { closing, is_exhausted };
    }

    /// The charge is not in the ledger, so the answer does not end properly.
    fn fail(&mut self, error: &TabError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        tracing::error!(request = self.upstream.ticket_mut().request_id(), %error, "a charge is not in the ledger; the answer was cut off");
        self.held = None;
        self.step = Step::Ended;
        self.upstream.break_off();
        Poll::Ready(Some(Err(BodyError::Unbilled)))
    }

    fn say_farewell(&mut self) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        tracing::info!(
            request = self.upstream.ticket_mut().request_id(),
            "the token's units ran out in the middle of an answer"
        );
        self.upstream.break_off();
        self.step = Step::Telling;
        match self.farewell {
            Farewell::Event => Poll::Ready(Some(Ok(Frame::data(meter::exhausted_event())))),
            Farewell::Grpc => {
                let mut trailers = self.trailers().unwrap_or_default();
                trailers.insert(GRPC_STATUS, HeaderValue::from_static("8"));
                trailers.insert(GRPC_MESSAGE, HeaderValue::from_static("the token's units ran out"));
                self.step = Step::Ended;
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Farewell::Cut => {
                self.step = Step::Ended;
                Poll::Ready(Some(Err(BodyError::Exhausted)))
            }
        }
    }

    /// The last frame; trailers get ours added.
    fn told_with(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let mut trailers = match frame.into_trailers() {
            Ok(trailers) => trailers,
            Err(data) => {
                if matches!(self.step, Step::Telling) && !self.tells_at_end {
                    self.step = Step::Ended;
                }
                return data;
            }
        };
        self.step = Step::Ended;
        trailers.extend(self.trailers().unwrap_or_default());
        Frame::trailers(trailers)
    }

    fn trailers(&mut self) -> Option<HeaderMap> {
        let Bill { balance, charged, .. } = *self.upstream.ticket_mut().bill()?;
        if !self.tells_at_end {
            return None;
        }
        let mut trailers = HeaderMap::with_capacity(2);
        trailers.insert(BALANCE, HeaderValue::from(balance.get()));
        trailers.insert(COST, HeaderValue::from(charged.get()));
        Some(trailers)
    }

    /// Time passes without bytes too.
    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wait) = self.upstream.ticket_mut().next_tick() else { return Poll::Pending };
        let tick = self.tick.get_or_insert_with(|| Box::pin(tokio::time::sleep(wait)));
        ready!(tick.as_mut().poll(cx));
        self.tick = None;
        Poll::Ready(())
    }

    pub(super) fn is_end_stream(&self) -> bool {
        matches!(self.step, Step::Ended)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        if self.tells_at_end { SizeHint::default() } else { self.upstream.size_hint() }
    }
}
