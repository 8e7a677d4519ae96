//! The adapter, the relay and the wallet behind it, as the contract wants them.

use crate::imitation::{
    client::{Client, wallet_keys},
    ledger::{Faults, Ledger, NoProof},
    relay::{Door, Hub},
    service::{Manners, Service, Spoil},
};
use l402::{PaymentHash, Preimage};
use l402_lightning::{
    BoxFuture, Invoice, Invoicer, MilliSat, Network, OpenError, Payer, Secret, SettingValue, Settings,
};
use l402_nwc::BACKEND;
use rustls::{ServerConfig, crypto::aws_lc_rs};
use std::sync::Arc;
use testkit::{
    VirtualClock,
    contract::{BuyerRig, Lack, LackOf, NodeFault, PayFault, SellerRig, WrongAuth},
};
use tokio_rustls::TlsAcceptor;

const NO_CODE: &str = "NIP-47 has no error code that says so";

const SELLER_LACKS: &[Lack] = &[
    Lack::of(LackOf::ChosenPreimage, "make_invoice takes no preimage"),
    Lack::of(LackOf::Cancel, "NIP-47 withdraws only hold invoices"),
    Lack::of(
        LackOf::Invoiced,
        "NIP-47 does not say whether an amount is what was asked for or what was received",
    ),
    Lack::of(LackOf::Fault(NodeFault::Locked), NO_CODE),
    Lack::of(LackOf::Fault(NodeFault::Starting), NO_CODE),
];

const BUYER_LACKS: &[Lack] = &[
    Lack::of(LackOf::PayFault(PayFault::FeeAbove(MilliSat::ZERO)), "pay_invoice takes no fee limit"),
    Lack::of(LackOf::PayFault(PayFault::Locked), NO_CODE),
];

/// One wallet with its relay.
pub(crate) struct Rig {
    /// The wallet.
    pub(crate) service: Arc<Service>,
    /// The relay.
    pub(crate) hub: Arc<Hub>,
    /// The wallet's clock.
    pub(crate) clock: VirtualClock,
    door: Door,
    /// The same relay, behind a certificate that nobody trusts.
    untrusted: Door,
}

impl Rig {
    /// A fresh wallet.
    pub(crate) fn new() -> Self {
        let clock = VirtualClock::following_the_system();
        let service = Arc::new(Service::new(Ledger::new(clock.clone())));
        let hub = Arc::new(Hub::new(Arc::clone(&service)));
        let door = Door::open(Arc::clone(&hub), None);
        let untrusted = Door::open(Arc::clone(&hub), Some(certificate()));
        Self { service, hub, clock, door, untrusted }
    }

    /// The relay's URL.
    pub(crate) fn relay(&self) -> String {
        format!("ws://{}", self.door.address())
    }

    /// The connection URI of a client by these relays.
    pub(crate) fn uri(client: Client, relays: &[String]) -> String {
        let secret = client.keys().secret_key().to_secret_hex();
        let relays = relays.join("&relay=");
        format!("nostr+walletconnect://{}?relay={relays}&secret={secret}", wallet_keys().public_key())
    }

    /// A seller with this URI.
    pub(crate) fn seller_by(uri: String) -> Result<Arc<dyn Invoicer>, OpenError> {
        BACKEND.invoicer.expect("it can be paid")(&settings(Some(Network::Regtest), uri))
    }

    /// A buyer with this URI.
    pub(crate) fn buyer_by(
        uri: String,
        network: Option<Network>,
    ) -> BoxFuture<'static, Result<Arc<dyn Payer>, OpenError>> {
        BACKEND.payer.expect("it can pay")(settings(network, uri))
    }

    /// A good seller.
    pub(crate) fn seller(&self) -> Arc<dyn Invoicer> {
        Self::seller_by(Self::uri(Client::Seller, &[self.relay()])).expect("an adapter")
    }

    /// A good buyer.
    pub(crate) async fn buyer(&self) -> Arc<dyn Payer> {
        let opened = Self::buyer_by(Self::uri(Client::Buyer, &[self.relay()]), None).await;
        opened.unwrap_or_else(|error| panic!("a good wallet opens: {error}"))
    }

    /// Somebody pays; the seller may be told of it. The wallet's clock goes on if `then_secs` says so.
    pub(crate) fn pay(&self, payment_hash: PaymentHash, then_secs: u64) -> Preimage {
        let (preimage, transaction) = self.service.ledger.settle(payment_hash);
        self.clock.advance(then_secs);
        self.service.notify(&self.hub, transaction);
        preimage
    }

    fn money(&self, change: impl FnOnce(&mut Faults)) -> bool {
        self.service.ledger.fault(change);
        true
    }

    fn manners(&self, change: impl FnOnce(&mut Manners)) -> bool {
        self.service.change(change);
        true
    }

    fn spoil(&self, spoil: Spoil) -> bool {
        self.manners(|manners| manners.spoil = spoil)
    }

    fn heal_all(&self) {
        self.service.heal();
        self.door.reopen();
    }

    fn close(&self) -> bool {
        self.door.close();
        true
    }

    fn wrong_uri(&self, wrong: WrongAuth, good: Client, less: Client) -> String {
        let untrusted = format!("wss://{}", self.untrusted.address());
        match wrong {
            WrongAuth::Credential => Self::uri(Client::Foreign, &[self.relay()]),
            WrongAuth::Permission => Self::uri(less, &[self.relay()]),
            WrongAuth::Certificate => Self::uri(good, &[untrusted]),
        }
    }
}

fn settings(network: Option<Network>, uri: String) -> Settings {
    Settings::new(network).with("uri", SettingValue::Secret(Secret::from_text(uri)))
}

fn secrets() -> Vec<String> {
    Client::ALL.iter().map(|client| client.keys().secret_key().to_secret_hex()).collect()
}

/// A certificate for this machine that no authority signed.
fn certificate() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = made.signing_key.serialize_der().try_into().expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate with its key");
    TlsAcceptor::from(Arc::new(config))
}

impl SellerRig for Rig {
    fn invoicer(&self) -> Arc<dyn Invoicer> {
        self.seller()
    }

    fn invoicer_with(&self, wrong: WrongAuth) -> Option<Result<Arc<dyn Invoicer>, OpenError>> {
        let uri = self.wrong_uri(wrong, Client::Seller, Client::SellerWithoutMakeInvoice);
        Some(Self::seller_by(uri))
    }

    fn settle<'a>(&'a self, invoice: &'a Invoice) -> BoxFuture<'a, Preimage> {
        // Each payment in a second of its own: records know no order within one.
        Box::pin(async move { self.pay(invoice.payment_hash(), 1) })
    }

    fn advance(&self, secs: u64) {
        self.clock.advance(secs);
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn arm(&self, fault: NodeFault) -> bool {
        match fault {
            NodeFault::LoseCreateAnswer => self.manners(|manners| manners.lose = Some("make_invoice")),
            NodeFault::Down => self.close(),
            NodeFault::Hang => self.spoil(Spoil::Hang),
            NodeFault::Garble => self.spoil(Spoil::Garble),
            NodeFault::Truncate => self.spoil(Spoil::Truncate),
            NodeFault::Oversize => self.spoil(Spoil::Oversize),
            NodeFault::WrongNetwork
            | NodeFault::WrongAmount
            | NodeFault::WrongHash
            | NodeFault::WrongExpiry
            | NodeFault::WrongDescription => {
                self.money(|faults| faults.wrong_invoice = fault.wrong_invoice())
            }
            NodeFault::FeedCut => {
                self.hub.cut();
                true
            }
            NodeFault::FeedDuplicate => self.manners(|manners| manners.twice = true),
            NodeFault::FeedReorder => self.manners(|manners| manners.reorder = true),
            NodeFault::FeedGap => self.manners(|manners| manners.deaf = true),
            NodeFault::Locked | NodeFault::Starting => false,
        }
    }

    fn heal(&self) {
        self.heal_all();
    }

    fn restart(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.door.close();
            self.door.reopen();
        })
    }

    fn invoice_count(&self) -> usize {
        self.service.ledger.made()
    }

    fn lacks(&self) -> &'static [Lack] {
        SELLER_LACKS
    }

    fn secrets(&self) -> Vec<String> {
        secrets()
    }
}

impl BuyerRig for Rig {
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn Payer>, OpenError>> {
        Self::buyer_by(Self::uri(Client::Buyer, &[self.relay()]), None)
    }

    fn open_with(&self, wrong: WrongAuth) -> Option<BoxFuture<'_, Result<Arc<dyn Payer>, OpenError>>> {
        let uri = self.wrong_uri(wrong, Client::Buyer, Client::BuyerWithoutPayInvoice);
        Some(Self::buyer_by(uri, None))
    }

    fn invoice(&self, amount: MilliSat) -> Invoice {
        self.service.ledger.invoice_of_a_stranger(amount)
    }

    fn arm(&self, fault: PayFault) -> bool {
        match fault {
            PayFault::NoRoute => self.money(|faults| faults.no_route = true),
            PayFault::Hold => self.money(|faults| faults.hold = true),
            PayFault::LoseAnswer => self.manners(|manners| manners.lose = Some("pay_invoice")),
            PayFault::InsufficientBalance => self.money(|faults| faults.poor = true),
            PayFault::Down => self.close(),
            PayFault::Hang => self.spoil(Spoil::Hang),
            PayFault::Garble => self.spoil(Spoil::Garble),
            PayFault::Truncate => self.spoil(Spoil::Truncate),
            PayFault::Oversize => self.spoil(Spoil::Oversize),
            PayFault::NoPreimage => self.money(|faults| faults.proof = Some(NoProof::Missing)),
            PayFault::WrongPreimage => self.money(|faults| faults.proof = Some(NoProof::Another)),
            PayFault::FeeAbove(_) | PayFault::Locked => false,
        }
    }

    fn heal(&self) {
        self.heal_all();
    }

    fn release(&self) {
        self.service.ledger.release();
    }

    fn advance(&self, secs: u64) {
        self.clock.advance(secs);
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn payment_count(&self, payment_hash: PaymentHash) -> usize {
        self.service.ledger.payment_count(payment_hash)
    }

    fn lacks(&self) -> &'static [Lack] {
        BUYER_LACKS
    }

    fn secrets(&self) -> Vec<String> {
        secrets()
    }
}
