//! A request whose answer is kept is served to its end, whether or not its client waits for it: who repeats it with the
//! same `Idempotency-Key` gets the answer that was paid for, and the upstream is not asked again.
//!
//! It is served by a task of its own, which hands the answer over piece by piece. Once the client has left, the rest is
//! read as long as it can still be kept.

use super::{
    body::{BodyError, Progress, ReplyBody},
    metered::MeteredBody,
    worker::{Orphan, Worker},
};
use bytes::Bytes;
use http::Response;
use http_body::Frame;
use std::{
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::sync::{mpsc, oneshot};

/// A piece of an answer; `None` is its proper end, so that an errand that breaks down is not taken for one that is over.
type Piece = Option<Result<Frame<Bytes>, BodyError>>;

/// The client's side of an answer that an errand reads.
pub(crate) struct Relay {
    /// Absent once everything has come.
    pieces: Option<mpsc::Receiver<Piece>>,
}

impl Relay {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        let Some(pieces) = &mut self.pieces else { return Poll::Ready(None) };
        let piece = ready!(pieces.poll_recv(cx)).unwrap_or(Some(Err(BodyError::Lost)));
        if piece.is_none() {
            self.pieces = None;
        }
        Poll::Ready(piece)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.pieces.is_none()
    }
}

/// Serves a request apart from its client's connection. `None` where that broke down.
pub(super) async fn run(
    worker: Rc<Worker>,
    progress: Rc<Progress>,
    serving: impl Future<Output = Response<ReplyBody>> + 'static,
) -> Option<Response<ReplyBody>> {
    let (client, answer) = oneshot::channel();
    tokio::task::spawn_local(serve(worker, progress, serving, client));
    answer.await.ok()
}

/// Waits for the head of the answer. A client that leaves before anything was sent to the upstream takes its request with
/// it.
async fn serve(
    worker: Rc<Worker>,
    progress: Rc<Progress>,
    serving: impl Future<Output = Response<ReplyBody>>,
    mut client: oneshot::Sender<Response<ReplyBody>>,
) {
    let mut serving = pin!(serving);
    let mut orphan = None;
    let response = tokio::select! {
        biased;
        response = serving.as_mut() => response,
        () = client.closed() => {
            orphan = worker.adopt().filter(|_| progress.is_sent());
            if orphan.is_none() {
                return;
            }
            serving.await
        }
    };
    let (head, body) = response.into_parts();
    match body {
        ReplyBody::Metered(body) if !body.is_end_stream() => {
            let (pieces, relay) = mpsc::channel(1);
            let relay = ReplyBody::Relayed(Relay { pieces: Some(relay) });
            drop(client.send(Response::from_parts(head, relay))); // who has left is found out about while reading
            read(&worker, *body, &pieces, orphan).await;
        }
        // Its charge is in the ledger, or it costs nothing.
        body => drop(client.send(Response::from_parts(head, body))),
    }
}

/// Reads an answer to its end and passes it on; without a client as long as it can be kept.
async fn read(
    worker: &Rc<Worker>,
    mut body: MeteredBody,
    client: &mpsc::Sender<Piece>,
    mut orphan: Option<Orphan>,
) {
    loop {
        if client.is_closed() && !body.is_handed_over() {
            orphan = orphan.or_else(|| worker.adopt());
            if orphan.is_none() || !body.is_worth_keeping() {
                return;
            }
            body.note_client_gone();
        }
        let piece = tokio::select! {
            biased;
            piece = poll_fn(|cx| body.poll(cx)) => piece,
            () = client.closed(), if orphan.is_none() => continue,
        };
        let is_over = !matches!(piece, Some(Ok(_)));
        let _ = client.send(piece).await; // fails at once where nobody listens, which is looked at above
        if is_over {
            return;
        }
    }
}
