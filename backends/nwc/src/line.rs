//! The line to the wallet: one websocket, shared by all requests, dialled when it is needed.
//!
//! A link is served by a task of its own and ends with the websocket, with the last one who holds it, or when the relay
//! falls silent. Requests that wait for their answers then get [`Fault::Cut`]; nothing is sent a second time.

use crate::{
    envelope::{Answer, Cipher, Envelope, UnknownCipher},
    relay::{Relay, tls},
    trouble::{Refusal, Trouble},
    uri::WalletUri,
};
use l402_lightning::OpenError;
use l402_node_http::Fault;
use nostr::{
    event::{Event, EventId},
    message::{ClientMessage, RelayMessage, SubscriptionId},
    types::url::RelayUrl,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, Semaphore, mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_rustls::TlsConnector;

/// Longest that connecting may take, all relays together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most requests on their way at once; relays limit subscriptions, and each request needs one.
const REQUESTS_MAX: usize = 16;
/// How often a relay is asked for a sign of life. One that gives none in between is given up.
const PULSE: Duration = Duration::from_secs(20);

const INFO: &str = "info";
const NEWS: &str = "news";

/// The way to a wallet.
pub(crate) struct Line {
    envelope: Arc<Envelope>,
    relays: Vec<RelayUrl>,
    tls: TlsConnector,
    hears_news: bool,
    /// Held while dialling, so that many requests make one connection; never longer than [`CONNECT_TIMEOUT`].
    link: Mutex<Option<Link>>,
}

/// A connection that stands.
#[derive(Clone)]
pub(crate) struct Link {
    /// How requests are to be encrypted.
    pub(crate) cipher: Cipher,
    /// Counts what the wallet told of. Closed when the link ends.
    pub(crate) news: watch::Receiver<u64>,
    requests: mpsc::Sender<Request>,
    turns: Arc<Semaphore>,
}

/// A request and who waits for its answer.
struct Request {
    method: &'static str,
    event: Event,
    answer: oneshot::Sender<Result<Answer, Trouble>>,
}

impl Line {
    /// Prepares the way; connects to nothing. With `hears_news` the wallet's notifications are listened to.
    pub(crate) fn new(uri: WalletUri, envelope: Arc<Envelope>, hears_news: bool) -> Result<Self, OpenError> {
        let tls = tls(&uri.relays)?;
        Ok(Self { envelope, relays: uri.relays, tls, hears_news, link: Mutex::new(None) })
    }

    /// The link that stands, or a new one. An error means that nothing was asked.
    pub(crate) async fn link(&self) -> Result<Link, Fault> {
        let linking = async {
            let mut standing = self.link.lock().await;
            if let Some(link) = standing.as_ref().filter(|link| !link.requests.is_closed()) {
                return Ok(link.clone());
            }
            let link = self.dial().await?;
            *standing = Some(link.clone());
            Ok(link)
        };
        timeout(CONNECT_TIMEOUT, linking).await.unwrap_or(Err(Fault::NotConnected))
    }

    /// Has the next request dial anew: a link that gave no answer may be dead without knowing it.
    pub(crate) async fn give_up(&self, link: &Link) {
        let mut standing = self.link.lock().await;
        standing.take_if(|standing| standing.requests.same_channel(&link.requests));
    }

    /// Tries one relay after the other.
    async fn dial(&self) -> Result<Link, Fault> {
        let share = CONNECT_TIMEOUT / u32::try_from(self.relays.len().max(1)).unwrap_or(u32::MAX);
        let mut last = Fault::NotConnected;
        for relay in &self.relays {
            match timeout(share, self.begin(relay)).await {
                Ok(Ok(link)) => return Ok(link),
                Ok(Err(fault)) => last = fault,
                Err(_) => last = Fault::NotConnected,
            }
        }
        Err(last)
    }

    async fn begin(&self, url: &RelayUrl) -> Result<Link, Fault> {
        let mut relay = Relay::dial(url, &self.tls).await?;
        let cipher = self.negotiate(&mut relay).await?;
        if self.hears_news {
            let filter = self.envelope.news();
            relay.send(&ClientMessage::req(SubscriptionId::new(NEWS), vec![filter])).await?;
        }
        let (requests, asked) = mpsc::channel(REQUESTS_MAX);
        let (told, news) = watch::channel(0);
        let envelope = Arc::clone(&self.envelope);
        let operator =
            Operator { relay, envelope, cipher, asked, waiting: HashMap::new(), told, heard: true };
        tokio::spawn(operator.serve());
        Ok(Link { cipher, news, requests, turns: Arc::new(Semaphore::new(REQUESTS_MAX)) })
    }

    /// Reads the wallet's info event (kind 13194): which encryption to use. Without one it is NIP-04.
    async fn negotiate(&self, relay: &mut Relay) -> Result<Cipher, Fault> {
        let id = SubscriptionId::new(INFO);
        relay.send(&ClientMessage::req(id.clone(), vec![self.envelope.info()])).await?;
        let mut newest = (0, Ok(Cipher::Nip04));
        loop {
            match relay.next().await? {
                Some(RelayMessage::Event { event, .. }) => {
                    if let Some(offered) = self.envelope.offered(&event)
                        && event.created_at.as_secs() >= newest.0
                    {
                        newest = (event.created_at.as_secs(), offered);
                    }
                }
                Some(RelayMessage::EndOfStoredEvents(ended)) if *ended == id => break,
                Some(RelayMessage::Closed { subscription_id, .. }) if *subscription_id == id => break,
                _ => {}
            }
        }
        relay.send(&ClientMessage::close(id)).await?;
        newest.1.map_err(|UnknownCipher| Fault::Garbled("encryption"))
    }
}

impl Link {
    /// Sends a request once and waits for its answer, within `deadline`. Only [`Fault::NotConnected`] means that it was
    /// not sent.
    pub(crate) async fn ask(
        &self,
        method: &'static str,
        event: Event,
        deadline: Duration,
    ) -> Result<Answer, Trouble> {
        let asking = async {
            let _turn = self.turns.acquire().await.map_err(|_| Fault::NotConnected)?;
            let (answer, answered) = oneshot::channel();
            let request = Request { method, event, answer };
            self.requests.send(request).await.map_err(|_| Fault::NotConnected)?;
            answered.await.unwrap_or(Err(Fault::Cut.into()))
        };
        timeout(deadline, asking).await.unwrap_or(Err(Fault::Timeout.into()))
    }
}

/// Serves a link.
struct Operator {
    relay: Relay,
    envelope: Arc<Envelope>,
    cipher: Cipher,
    asked: mpsc::Receiver<Request>,
    waiting: HashMap<EventId, Waiting>,
    told: watch::Sender<u64>,
    /// Whether the relay gave a sign of life since the last pulse.
    heard: bool,
}

/// Who waits for an answer.
struct Waiting {
    method: &'static str,
    answer: oneshot::Sender<Result<Answer, Trouble>>,
}

impl Operator {
    async fn serve(mut self) {
        let mut pulse = interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let fault = loop {
            let step = tokio::select! {
                request = self.asked.recv() => match request {
                    Some(request) => self.send(request).await,
                    None => break Fault::Cut,
                },
                message = self.relay.next() => match message {
                    Ok(message) => self.hear(message).await,
                    Err(fault) => Err(fault),
                },
                _ = pulse.tick() => self.pulse().await,
            };
            if let Err(fault) = step {
                break fault;
            }
        };
        // No new request is taken from here on, and none of those taken is left without a word.
        self.asked.close();
        for (_, waiting) in self.waiting.drain() {
            let _ = waiting.answer.send(Err(fault.into()));
        }
        self.relay.close().await;
    }

    /// Subscribes to the answer and sends the request, unless nobody waits for it any more.
    async fn send(&mut self, request: Request) -> Result<(), Fault> {
        let gone: Vec<EventId> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.answer.is_closed())
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.waiting.remove(&id);
            self.unsubscribe(id).await?;
        }
        let Request { method, event, answer } = request;
        if answer.is_closed() {
            return Ok(());
        }
        let id = event.id;
        self.waiting.insert(id, Waiting { method, answer });
        let filter = self.envelope.answers(id);
        self.relay.send(&ClientMessage::req(subscription(id), vec![filter])).await?;
        self.relay.send(&ClientMessage::event(event)).await
    }

    async fn hear(&mut self, message: Option<RelayMessage<'static>>) -> Result<(), Fault> {
        self.heard = true;
        match message {
            Some(RelayMessage::Event { event, .. }) => {
                if self.envelope.is_news(&event) {
                    self.told.send_modify(|count| *count = count.wrapping_add(1));
                }
                let asked = event.tags.event_ids().find(|id| self.waiting.contains_key(id));
                let Some(id) = asked else { return Ok(()) };
                match self.envelope.open(self.cipher, &event, id) {
                    Some(answer) => self.answer(id, Ok(answer)).await,
                    None => Ok(()),
                }
            }
            Some(RelayMessage::Ok { event_id, status: false, message }) => {
                self.refuse(event_id, &message).await
            }
            Some(RelayMessage::Closed { subscription_id, message }) => {
                let ended = self.waiting.keys().find(|id| subscription(**id) == *subscription_id).copied();
                match ended {
                    Some(id) => self.refuse(id, &message).await,
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// The relay does not carry a request.
    async fn refuse(&mut self, id: EventId, message: &str) -> Result<(), Fault> {
        let Some(method) = self.waiting.get(&id).map(|waiting| waiting.method) else { return Ok(()) };
        self.answer(id, Err(Trouble::Refused(Refusal::of_relay(method, message)))).await
    }

    async fn answer(&mut self, id: EventId, answer: Result<Answer, Trouble>) -> Result<(), Fault> {
        if let Some(waiting) = self.waiting.remove(&id) {
            // Who no longer waits has said what that means.
            let _ = waiting.answer.send(answer);
        }
        self.unsubscribe(id).await
    }

    async fn unsubscribe(&mut self, id: EventId) -> Result<(), Fault> {
        self.relay.send(&ClientMessage::close(subscription(id))).await
    }

    async fn pulse(&mut self) -> Result<(), Fault> {
        if !std::mem::take(&mut self.heard) {
            return Err(Fault::Cut);
        }
        self.relay.ping().await
    }
}

/// The subscription to the answer of a request.
fn subscription(request: EventId) -> SubscriptionId {
    SubscriptionId::new(request.to_hex())
}
