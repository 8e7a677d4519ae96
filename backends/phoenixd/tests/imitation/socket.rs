//! The websocket.

use super::{node::PhoenixdNode, server::Reply};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

impl PhoenixdNode {
    /// Breaks the websockets; if there is none, the next one.
    pub(crate) fn cut_feed(&self) {
        if self.events.send(None).is_err() {
            self.fault(|faults| faults.cut_socket = true);
        }
    }

    /// Breaks the websockets that are open.
    pub(crate) fn hang_up(&self) {
        let _ = self.events.send(None);
    }

    /// Turns a request into a websocket and serves it.
    pub(super) fn open_socket(self: Arc<Self>, request: &mut Request<Bytes>) -> Reply {
        let answer = Response::builder();
        let Some(key) =
            request.headers().get(header::SEC_WEBSOCKET_KEY).filter(|_| !self.lock().faults.no_socket)
        else {
            let answer = answer.status(StatusCode::NOT_FOUND);
            return Reply::Answer(answer.body(Bytes::new()).expect("a right response"));
        };
        if std::mem::take(&mut self.lock().faults.cut_socket) {
            return Reply::Cut;
        }
        let answer = answer
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
            .body(Bytes::new())
            .expect("a right response");
        let mut events = self.events.subscribe();
        let upgrade = hyper::upgrade::on(request);
        tokio::spawn(async move {
            let Ok(upgraded) = upgrade.await else { return };
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            let (mut sender, mut receiver) = socket.split();
            loop {
                tokio::select! {
                    event = events.recv() => match event {
                        Ok(Some(event)) => if sender.send(Message::text(event)).await.is_err() { return },
                        Err(RecvError::Lagged(_)) => {}
                        Ok(None) | Err(RecvError::Closed) => return,
                    },
                    // A client says nothing but its goodbye.
                    message = receiver.next() => if !matches!(message, Some(Ok(_))) { return },
                }
            }
        });
        Reply::Answer(answer)
    }
}
