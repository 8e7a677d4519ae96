//! A relay: as much of NIP-01 as clients of a wallet need, on a thread of its own.

use super::service::Service;
use futures_util::{SinkExt as _, StreamExt as _};
use nostr::{
    event::Event,
    filter::{Filter, MatchEventOptions},
    message::{ClientMessage, RelayMessage, SubscriptionId},
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread::JoinHandle,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{accept_async, tungstenite::Message};

/// Who is connected, and what they want to hear.
pub(crate) struct Hub {
    pub(crate) service: Arc<Service>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    clients: HashMap<u64, Client>,
    /// What the relay says to every event instead of taking it.
    refusal: Option<&'static str>,
    connections: usize,
}

struct Client {
    out: mpsc::UnboundedSender<String>,
    wants: HashMap<SubscriptionId, Vec<Filter>>,
}

impl Hub {
    pub(crate) fn new(service: Arc<Service>) -> Self {
        Self { service, state: Mutex::default() }
    }

    /// Hands an event to whoever asked for such.
    pub(crate) fn publish(&self, event: &Event) {
        self.deliver(event, |filter| filter.match_event(event, MatchEventOptions::new()));
    }

    /// Hands an event to everybody, as a hostile relay would.
    pub(crate) fn force(&self, event: &Event) {
        self.deliver(event, |_| true);
    }

    /// Breaks every connection.
    pub(crate) fn cut(&self) {
        self.state.lock().expect("no panic").clients.clear();
    }

    /// From now on no event is taken, for this reason.
    pub(crate) fn refuse(&self, reason: Option<&'static str>) {
        self.state.lock().expect("no panic").refusal = reason;
    }

    /// How many connections there ever were.
    pub(crate) fn connections(&self) -> usize {
        self.state.lock().expect("no panic").connections
    }

    fn deliver(&self, event: &Event, wanted: impl Fn(&Filter) -> bool) {
        for client in self.state.lock().expect("no panic").clients.values() {
            for (id, _) in client.wants.iter().filter(|(_, filters)| filters.iter().any(&wanted)) {
                // Who has gone hears nothing.
                let _ = client.out.send(RelayMessage::event(id.clone(), event.clone()).as_json());
            }
        }
    }

    fn join(&self, out: mpsc::UnboundedSender<String>) -> u64 {
        let mut state = self.state.lock().expect("no panic");
        state.next += 1;
        state.connections += 1;
        let number = state.next;
        state.clients.insert(number, Client { out, wants: HashMap::new() });
        number
    }

    /// Serves one message of a client.
    fn hear(self: &Arc<Self>, number: u64, message: ClientMessage<'static>) {
        let mut state = self.state.lock().expect("no panic");
        let refusal = state.refusal;
        let Some(client) = state.clients.get_mut(&number) else { return };
        let say = |message: RelayMessage<'_>| {
            let _ = client.out.send(message.as_json());
        };
        match message {
            ClientMessage::Req { subscription_id, filters } => {
                let filters: Vec<Filter> = filters.into_iter().map(std::borrow::Cow::into_owned).collect();
                let stored = self.service.info().filter(|event| {
                    filters.iter().any(|filter| filter.match_event(event, MatchEventOptions::new()))
                });
                if let Some(event) = stored {
                    say(RelayMessage::event(subscription_id.clone().into_owned(), event));
                }
                say(RelayMessage::eose(subscription_id.clone().into_owned()));
                client.wants.insert(subscription_id.into_owned(), filters);
            }
            ClientMessage::Close(id) => {
                client.wants.remove(&id);
            }
            ClientMessage::Event(event) => {
                let refusal = if event.verify().is_ok() { refusal } else { Some("invalid: signature") };
                say(RelayMessage::ok(event.id, refusal.is_none(), refusal.unwrap_or_default()));
                if refusal.is_none() {
                    tokio::spawn(Arc::clone(&self.service).serve(Arc::clone(self), event.into_owned()));
                }
            }
            other => panic!("the adapter sends no such message: {other:?}"),
        }
    }

    async fn attend(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Ok(mut socket) = accept_async(stream).await else { return };
        let (out, mut queue) = mpsc::unbounded_channel();
        let number = self.join(out);
        loop {
            tokio::select! {
                text = queue.recv() => match text {
                    Some(text) => if socket.send(Message::text(text)).await.is_err() { break },
                    None => break,
                },
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        let message = ClientMessage::from_json(text.as_bytes()).expect("a message of NIP-01");
                        self.hear(number, message);
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    _ => break,
                },
            }
        }
        self.state.lock().expect("no panic").clients.remove(&number);
    }
}

/// A hub's door.
pub(crate) struct Door {
    hub: Arc<Hub>,
    tls: Option<TlsAcceptor>,
    address: SocketAddr,
    running: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Door {
    /// Opens a door on a free port.
    pub(crate) fn open(hub: Arc<Hub>, tls: Option<TlsAcceptor>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let door = Self { hub, tls, address, running: Mutex::default() };
        door.serve(listener);
        door
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nobody listens any more, and connections break.
    pub(crate) fn close(&self) {
        if let Some((stop, thread)) = self.running.lock().expect("no panic").take() {
            drop(stop);
            // A panic on that thread has been printed there.
            let _ = thread.join();
        }
        self.hub.cut();
    }

    /// Listens again on the same port, if nobody does.
    pub(crate) fn reopen(&self) {
        if self.running.lock().expect("no panic").is_some() {
            return;
        }
        self.serve(std::net::TcpListener::bind(self.address).expect("the same port"));
    }

    fn serve(&self, listener: std::net::TcpListener) {
        listener.set_nonblocking(true).expect("a socket that does not block");
        let (stop, stopped) = oneshot::channel::<()>();
        let (hub, tls) = (Arc::clone(&self.hub), self.tls.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = accept(listener, hub, tls) => {}
                    _ = stopped => {}
                }
            });
        });
        *self.running.lock().expect("no panic") = Some((stop, thread));
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.close();
    }
}

async fn accept(listener: TcpListener, hub: Arc<Hub>, tls: Option<TlsAcceptor>) {
    while let Ok((stream, _)) = listener.accept().await {
        let hub = Arc::clone(&hub);
        match tls.clone() {
            None => drop(tokio::spawn(hub.attend(stream))),
            Some(tls) => drop(tokio::spawn(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    hub.attend(stream).await;
                }
            })),
        }
    }
}
