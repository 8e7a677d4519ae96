//! The wallet service: requests in, answers and notifications out.

use super::{
    client::{Client, keys, wallet_keys},
    ledger::{Failure, Ledger},
    relay::Hub,
};
use nostr::{
    event::{Event, EventBuilder, EventId, FinalizeEvent as _, Kind, Tag},
    key::{Keys, PublicKey},
    nips::{nip04, nip44},
    types::Timestamp,
};
use serde_json::{Value, json};
use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
use tokio::sync::watch;

/// Bytes of an answer that is too large.
const OVERSIZE: usize = 2 * 1024 * 1024;

/// A wallet service.
pub(crate) struct Service {
    pub(crate) ledger: Ledger,
    keys: Keys,
    manners: Mutex<Manners>,
    /// Notifications that wait for the next one, to come after it.
    held_back: Mutex<Option<Value>>,
    awake: watch::Sender<bool>,
    looks: AtomicUsize,
    /// How far its clock is ahead of this machine's, where requests are checked for being late, in seconds.
    ahead_secs: AtomicU64,
}

/// How the service behaves.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent faults")]
pub(crate) struct Manners {
    /// The encryption that it knows, as its info event says; `None`: there is no info event, and it is NIP-04.
    pub(crate) encryption: Option<&'static str>,
    /// The network that it names.
    pub(crate) network: Option<&'static str>,
    /// What becomes of answers.
    pub(crate) spoil: Spoil,
    /// The answer of the next such request is lost with the line.
    pub(crate) lose: Option<&'static str>,
    /// Forged answers come before the right one.
    pub(crate) noise: bool,
    /// Notifications come twice.
    pub(crate) twice: bool,
    /// Notifications are lost.
    pub(crate) deaf: bool,
    /// The next two notifications come in opposite order.
    pub(crate) reorder: bool,
}

/// What becomes of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoil {
    /// They are right.
    Not,
    /// Requests are not even read.
    Hang,
    /// They are no JSON.
    Garble,
    /// They break off.
    Truncate,
    /// They are too large.
    Oversize,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            encryption: Some("nip44_v2 nip04"),
            network: Some("regtest"),
            spoil: Spoil::Not,
            lose: None,
            noise: false,
            twice: false,
            deaf: false,
            reorder: false,
        }
    }
}

impl Service {
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            keys: wallet_keys(),
            manners: Mutex::default(),
            held_back: Mutex::default(),
            awake: watch::Sender::new(true),
            looks: AtomicUsize::new(0),
            ahead_secs: AtomicU64::new(0),
        }
    }

    /// Changes how it behaves.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.manners());
    }

    /// Behaves well again, in the encryption and network that it had.
    pub(crate) fn heal(&self) {
        let mut manners = self.manners();
        let Manners { encryption, network, .. } = *manners;
        *manners = Manners { encryption, network, ..Manners::default() };
        self.ledger.fault(|faults| *faults = super::ledger::Faults::default());
    }

    /// Asleep, it leaves requests to pay lying about; woken, it reads them.
    pub(crate) fn sleep(&self, asleep: bool) {
        self.awake.send_replace(!asleep);
    }

    /// How often its transactions were listed.
    pub(crate) fn looks(&self) -> usize {
        self.looks.load(Ordering::Relaxed)
    }

    /// Its clock goes so much ahead of this machine's.
    pub(crate) fn go_ahead(&self, secs: u64) {
        self.ledger.clock.advance(secs);
        self.ahead_secs.store(secs, Ordering::Relaxed);
    }

    /// The info event that its relay keeps.
    pub(crate) fn info(&self) -> Option<Event> {
        let offered = self.manners().encryption?;
        let content = "pay_invoice make_invoice lookup_invoice list_transactions get_info notifications";
        let event = EventBuilder::new(Kind::WalletConnectInfo, content)
            .tag(Tag::custom("encryption", [offered]))
            .tag(Tag::custom("notifications", ["payment_received payment_sent"]))
            .finalize(&self.keys);
        Some(event.expect("an event"))
    }

    /// Takes a request from the relay.
    pub(crate) async fn serve(self: Arc<Self>, hub: Arc<Hub>, request: Event) {
        if request.kind != Kind::WalletConnectRequest
            || request.tags.public_keys().next() != Some(self.keys.public_key())
            || self.manners().spoil == Spoil::Hang
        {
            return;
        }
        let modern = request.tags.iter().any(|tag| tag.kind() == "encryption");
        let offered = self.manners().encryption.unwrap_or("nip04");
        if offered.contains(if modern { "nip44_v2" } else { "nip04" }) {
            let text = decrypt(&self.keys, request.pubkey, &request.content, modern);
            let asked: Value = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
            let method = asked["method"].as_str().unwrap_or_default().to_owned();
            if method == "pay_invoice" {
                self.awake.subscribe().wait_for(|awake| *awake).await.expect("the service lives");
                // Not the ledger's clock, which tests move while requests are on their way.
                let now = Timestamp::now().as_secs() + self.ahead_secs.load(Ordering::Relaxed);
                if request.tags.expiration().is_none_or(|until| until.as_secs() < now) {
                    return;
                }
            }
            let result = self.execute(request.pubkey, &method, &asked["params"]).await;
            self.answer(&hub, &request, &method, result, modern);
        } else {
            let refused = Err(("UNSUPPORTED_ENCRYPTION", "not this encryption"));
            self.answer(&hub, &request, "", refused, modern);
        }
    }

    async fn execute(&self, client: PublicKey, method: &str, params: &Value) -> Result<Value, Failure> {
        let known = Client::ALL.into_iter().find(|one| one.keys().public_key() == client);
        let allowed = known.and_then(Client::methods).ok_or(("UNAUTHORIZED", "no wallet is connected"))?;
        if !allowed.contains(&method) {
            return Err(("RESTRICTED", "this connection may not do that"));
        }
        match method {
            "get_info" => {
                let network = self.manners().network;
                Ok(json!({ "alias": "imitation", "network": network, "methods": allowed }))
            }
            "make_invoice" => self.ledger.make_invoice(params),
            "lookup_invoice" => self.ledger.lookup_invoice(params),
            "list_transactions" => {
                self.looks.fetch_add(1, Ordering::Relaxed);
                Ok(self.ledger.list_transactions(params))
            }
            "pay_invoice" => {
                let begun = self.ledger.begin(params)?;
                Ok(self.ledger.finish(begun).await)
            }
            _ => Err(("NOT_IMPLEMENTED", "unknown method")),
        }
    }

    fn answer(&self, hub: &Hub, to: &Event, method: &str, result: Result<Value, Failure>, modern: bool) {
        let lost = self.manners().lose.take_if(|lost| *lost == method).is_some();
        if lost {
            hub.cut();
            return;
        }
        let answer = match result {
            Ok(result) => json!({ "result_type": method, "error": null, "result": result }),
            Err((code, message)) => {
                json!({ "result_type": method, "error": { "code": code, "message": message }, "result": null })
            }
        };
        let mut text = answer.to_string();
        let Manners { spoil, noise, .. } = *self.manners();
        match spoil {
            Spoil::Not | Spoil::Hang => {}
            Spoil::Garble => "<html>Bad Gateway</html>".clone_into(&mut text),
            Spoil::Truncate => text.truncate(text.len() / 2),
            Spoil::Oversize => text.push_str(&" ".repeat(OVERSIZE)),
        }
        if noise {
            self.forge(hub, to, modern);
        }
        hub.publish(&self.sealed(Kind::WalletConnectResponse, to.pubkey, Some(to.id), &text, modern));
    }

    /// What a hostile relay or a stranger could send before the right answer.
    fn forge(&self, hub: &Hub, to: &Event, modern: bool) {
        let lie =
            json!({ "result_type": "pay_invoice", "error": { "code": "PAYMENT_FAILED", "message": "" } });
        let lie = lie.to_string();
        let kind = Kind::WalletConnectResponse;
        let stranger = Self { keys: keys(0x66), ..Self::new(Ledger::new(self.ledger.clock.clone())) };
        let by_stranger = stranger.sealed(kind, to.pubkey, Some(to.id), &lie, modern);
        let elsewhere = EventId::from_byte_array([9; 32]);
        let to_another_request = self.sealed(kind, to.pubkey, Some(elsewhere), &lie, modern);
        let for_another = self.sealed(kind, keys(0x67).public_key(), Some(to.id), &lie, modern);
        let mut in_the_wallets_name = by_stranger.clone();
        in_the_wallets_name.pubkey = self.keys.public_key();
        let mut exchanged = self.sealed(kind, to.pubkey, Some(to.id), &lie, modern);
        exchanged.content.clone_from(&by_stranger.content);
        let unreadable = EventBuilder::new(kind, "AgAA").tag(Tag::event(to.id)).finalize(&self.keys);
        for event in [by_stranger, to_another_request, for_another, in_the_wallets_name, exchanged] {
            hub.force(&event);
        }
        hub.force(&unreadable.expect("an event"));
    }

    /// Tells the seller of a settlement.
    pub(crate) fn notify(&self, hub: &Hub, transaction: Value) {
        let manners = self.manners().clone();
        if manners.deaf {
            return;
        }
        let mut told = vec![transaction];
        if manners.reorder {
            let mut held_back = self.held_back.lock().expect("no panic");
            match held_back.take() {
                None => {
                    *held_back = told.pop();
                    return;
                }
                Some(earlier) => told.push(earlier),
            }
            self.manners().reorder = false;
        }
        if manners.twice {
            told.push(told[0].clone());
        }
        for transaction in told {
            let text =
                json!({ "notification_type": "payment_received", "notification": transaction }).to_string();
            let modern = manners.encryption.is_some_and(|offered| offered.contains("nip44_v2"));
            let kind =
                if modern { Kind::WalletConnectNotificationNip44V2 } else { Kind::WalletConnectNotification };
            hub.publish(&self.sealed(kind, Client::Seller.keys().public_key(), None, &text, modern));
        }
    }

    fn sealed(&self, kind: Kind, to: PublicKey, answers: Option<EventId>, text: &str, modern: bool) -> Event {
        let key = self.keys.secret_key();
        let content = if modern {
            nip44::encrypt(key, &to, text, nip44::Version::V2)
        } else {
            nip04::encrypt(key, &to, text)
        };
        EventBuilder::new(kind, content.expect("an encrypted text"))
            .tag(Tag::public_key(to))
            .tag_maybe(answers.map(Tag::event))
            .custom_created_at(Timestamp::from_secs(self.ledger.clock.now()))
            .finalize(&self.keys)
            .expect("an event")
    }

    fn manners(&self) -> MutexGuard<'_, Manners> {
        self.manners.lock().expect("no panic under the lock")
    }
}

fn decrypt(keys: &Keys, from: PublicKey, content: &str, modern: bool) -> Option<String> {
    if modern {
        nip44::decrypt(keys.secret_key(), &from, content).ok()
    } else {
        nip04::decrypt(keys.secret_key(), &from, content).ok()
    }
}
