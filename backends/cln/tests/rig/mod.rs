//! The adapter and the imitation behind it, as the contract wants them.

use crate::imitation::{
    node::{ClnNode, Faults, NoProof},
    rune,
    server::{Server, Spoil},
};
use l402::{PaymentHash, Preimage};
use l402_cln::BACKEND;
use l402_lightning::{
    BoxFuture, Invoice, Invoicer, MilliSat, Network, OpenError, Payer, Secret, SettingValue, Settings,
};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use std::{path::PathBuf, sync::Arc};
use tempfile::TempDir;
use testkit::{
    VirtualClock,
    contract::{BuyerRig, Lack, LackOf, NodeFault, PayFault, SellerRig, WrongAuth},
};
use tokio_rustls::TlsAcceptor;

const FEED: &str = "waitanyinvoice hands out the node's records, one by one";
const LOCKED: &str = "clnrest runs only while lightningd runs, and that runs only unlocked";

const SELLER_LACKS: &[Lack] = &[
    Lack::of(LackOf::Fault(NodeFault::FeedDuplicate), FEED),
    Lack::of(LackOf::Fault(NodeFault::FeedReorder), FEED),
    Lack::of(LackOf::Fault(NodeFault::FeedGap), FEED),
    Lack::of(LackOf::Fault(NodeFault::Locked), LOCKED),
    Lack::of(
        LackOf::Fault(NodeFault::Starting),
        "a node that catches up issues invoices all the same; its probe says what it does",
    ),
    Lack::of(LackOf::Cancelled, "delinvoice deletes the record"),
];

const BUYER_LACKS: &[Lack] = &[
    Lack::of(
        LackOf::PayFault(PayFault::InsufficientBalance),
        "to xpay an empty channel is one more missing route (205)",
    ),
    Lack::of(LackOf::PayFault(PayFault::Locked), LOCKED),
];

/// One node with its clnrest.
pub(crate) struct Rig {
    /// The node.
    pub(crate) node: Arc<ClnNode>,
    /// Its clock.
    pub(crate) clock: VirtualClock,
    server: Server,
    files: TempDir,
}

impl Rig {
    /// A fresh node.
    pub(crate) fn new() -> Self {
        let clock = VirtualClock::standing_at(1_763_000_000);
        let node = Arc::new(ClnNode::new(clock.clone()));
        let files = TempDir::new().expect("a folder for files");
        let acceptor = certificate(&files, "server.pem");
        certificate(&files, "other.pem");
        let server = Server::start(node.clone(), Some(acceptor));
        Self { node, clock, server, files }
    }

    /// A seller with this rune.
    pub(crate) fn seller(&self, rune: &str) -> Arc<dyn Invoicer> {
        self.open_seller(rune, "server.pem").expect("an adapter")
    }

    /// A buyer with this rune.
    pub(crate) async fn buyer(&self, rune: &str) -> Result<Arc<dyn Payer>, OpenError> {
        self.open_buyer(rune, "server.pem").await
    }

    fn open_seller(&self, rune: &str, certificate: &str) -> Result<Arc<dyn Invoicer>, OpenError> {
        let open = BACKEND.invoicer.expect("it can be paid");
        open(&self.settings(Some(Network::Regtest), rune, certificate))
    }

    fn open_buyer(
        &self,
        rune: &str,
        certificate: &str,
    ) -> BoxFuture<'static, Result<Arc<dyn Payer>, OpenError>> {
        let open = BACKEND.payer.expect("it can pay");
        open(self.settings(None, rune, certificate))
    }

    fn settings(&self, network: Option<Network>, rune: &str, certificate: &str) -> Settings {
        let address = format!("https://{}", self.server.address());
        Settings::new(network)
            .with("address", SettingValue::Text(address))
            .with("certificate", SettingValue::File(self.file(certificate)))
            .with("rune", SettingValue::Secret(Secret::from_text(rune)))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn set(&self, change: impl FnOnce(&mut Faults)) -> bool {
        self.node.fault(change);
        true
    }

    fn spoil(&self, spoil: Spoil) -> bool {
        self.server.spoil(spoil);
        true
    }

    fn close(&self) -> bool {
        self.server.close();
        true
    }

    fn heal_all(&self) {
        self.server.spoil(Spoil::Not);
        self.node.heal();
        self.server.open_again();
    }
}

/// Makes a certificate for 127.0.0.1, writes it to a file, and serves with it.
fn certificate(files: &TempDir, name: &str) -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["cln".to_owned()]).expect("a certificate");
    std::fs::write(files.path().join(name), made.cert.pem()).expect("a file");
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
        self.seller(rune::SELLER)
    }

    fn invoicer_with(&self, wrong: WrongAuth) -> Option<Result<Arc<dyn Invoicer>, OpenError>> {
        Some(match wrong {
            WrongAuth::Credential => self.open_seller(rune::FOREIGN, "server.pem"),
            WrongAuth::Permission => self.open_seller(rune::SELLER_WITHOUT_INVOICE, "server.pem"),
            WrongAuth::Certificate => self.open_seller(rune::SELLER, "other.pem"),
        })
    }

    fn settle<'a>(&'a self, invoice: &'a Invoice) -> BoxFuture<'a, Preimage> {
        Box::pin(async move { self.node.settle(invoice.payment_hash(), 0) })
    }

    fn overpay<'a>(&'a self, invoice: &'a Invoice, excess: MilliSat) -> Option<BoxFuture<'a, Preimage>> {
        Some(Box::pin(async move { self.node.settle(invoice.payment_hash(), excess.as_msat()) }))
    }

    fn advance(&self, secs: u64) {
        self.clock.advance(secs);
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn arm(&self, fault: NodeFault) -> bool {
        match fault {
            NodeFault::LoseCreateAnswer => self.set(|faults| faults.lose_invoice = true),
            NodeFault::Down => self.close(),
            NodeFault::Hang => self.spoil(Spoil::Hang),
            NodeFault::Garble => self.spoil(Spoil::Garble),
            NodeFault::Truncate => self.spoil(Spoil::Truncate),
            NodeFault::Oversize => self.spoil(Spoil::Oversize),
            NodeFault::WrongNetwork
            | NodeFault::WrongAmount
            | NodeFault::WrongHash
            | NodeFault::WrongExpiry
            | NodeFault::WrongDescription => self.set(|faults| faults.wrong_invoice = fault.wrong_invoice()),
            NodeFault::FeedCut => self.set(|faults| faults.cut_feed = true),
            NodeFault::FeedDuplicate
            | NodeFault::FeedReorder
            | NodeFault::FeedGap
            | NodeFault::Locked
            | NodeFault::Starting => false,
        }
    }

    fn heal(&self) {
        self.heal_all();
    }

    fn restart(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.server.open_again() })
    }

    fn invoice_count(&self) -> usize {
        self.node.made()
    }

    fn lacks(&self) -> &'static [Lack] {
        SELLER_LACKS
    }

    fn secrets(&self) -> Vec<String> {
        [rune::SELLER, rune::SELLER_WITHOUT_INVOICE, rune::FOREIGN].map(str::to_owned).to_vec()
    }
}

impl BuyerRig for Rig {
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn Payer>, OpenError>> {
        self.open_buyer(rune::BUYER, "server.pem")
    }

    fn open_with(&self, wrong: WrongAuth) -> Option<BoxFuture<'_, Result<Arc<dyn Payer>, OpenError>>> {
        Some(match wrong {
            WrongAuth::Credential => self.open_buyer(rune::FOREIGN, "server.pem"),
            WrongAuth::Permission => self.open_buyer(rune::BUYER_WITHOUT_XPAY, "server.pem"),
            WrongAuth::Certificate => self.open_buyer(rune::BUYER, "other.pem"),
        })
    }

    fn invoice(&self, amount: MilliSat) -> Invoice {
        self.node.invoice_of_a_stranger(amount)
    }

    fn arm(&self, fault: PayFault) -> bool {
        match fault {
            PayFault::NoRoute => self.set(|faults| faults.no_route = true),
            PayFault::FeeAbove(fee) => self.set(|faults| faults.fee_above = Some(fee)),
            PayFault::Hold => self.set(|faults| faults.hold = true),
            PayFault::LoseAnswer => self.set(|faults| faults.lose_payment = true),
            PayFault::Down => self.close(),
            PayFault::Hang => self.spoil(Spoil::Hang),
            PayFault::Garble => self.spoil(Spoil::Garble),
            PayFault::Truncate => self.spoil(Spoil::Truncate),
            PayFault::Oversize => self.spoil(Spoil::Oversize),
            PayFault::NoPreimage => self.set(|faults| faults.proof = Some(NoProof::Missing)),
            PayFault::WrongPreimage => self.set(|faults| faults.proof = Some(NoProof::Another)),
            PayFault::InsufficientBalance | PayFault::Locked => false,
        }
    }

    fn heal(&self) {
        self.heal_all();
    }

    fn release(&self) {
        self.node.release();
    }

    fn advance(&self, secs: u64) {
        self.clock.advance(secs);
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn payment_count(&self, payment_hash: PaymentHash) -> usize {
        self.node.payment_count(payment_hash)
    }

    fn lacks(&self) -> &'static [Lack] {
        BUYER_LACKS
    }

    fn secrets(&self) -> Vec<String> {
        [rune::BUYER, rune::BUYER_WITHOUT_XPAY, rune::FOREIGN].map(str::to_owned).to_vec()
    }
}
