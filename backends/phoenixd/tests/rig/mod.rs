//! The adapter and the imitation behind it, as the contract wants them.

use crate::imitation::{
    node::{FOREIGN, FULL, Faults, LIMITED, NoProof, PhoenixdNode},
    server::{Server, Spoil},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use l402::{PaymentHash, Preimage};
use l402_lightning::{
    BoxFuture, Invoice, Invoicer, MilliSat, Network, OpenError, Payer, Secret, SettingValue, Settings,
};
use l402_phoenixd::BACKEND;
use rustls::{ServerConfig, crypto::aws_lc_rs};
use std::sync::Arc;
use tempfile::TempDir;
use testkit::{
    VirtualClock,
    contract::{BuyerRig, Lack, LackOf, NodeFault, PayFault, SellerRig, WrongAuth},
};
use tokio_rustls::TlsAcceptor;

const LOCKED: &str = "phoenixd has no locked state: it runs with its seed or not at all";

const SELLER_LACKS: &[Lack] = &[
    Lack::of(LackOf::Auth(WrongAuth::Permission), "the lesser password may issue invoices"),
    Lack::of(LackOf::ChosenPreimage, "phoenixd draws the preimage"),
    Lack::of(LackOf::MilliSat, "amountSat"),
    Lack::of(LackOf::Cancel, "there is no such order"),
    Lack::of(LackOf::Fault(NodeFault::Locked), LOCKED),
    Lack::of(
        LackOf::Fault(NodeFault::Starting),
        "it issues invoices before it knows the chain's tip; its probe says so",
    ),
];

const BUYER_LACKS: &[Lack] = &[
    Lack::of(
        LackOf::PayFault(PayFault::FeeAbove(MilliSat::ZERO)),
        "phoenixd charges its published fee, whatever the route; the adapter refuses by that figure",
    ),
    Lack::of(LackOf::PayFault(PayFault::Locked), LOCKED),
];

/// One daemon behind a proxy with TLS.
pub(crate) struct Rig {
    /// The daemon.
    pub(crate) node: Arc<PhoenixdNode>,
    /// Its clock.
    pub(crate) clock: VirtualClock,
    server: Server,
    files: TempDir,
}

impl Rig {
    /// A fresh daemon.
    pub(crate) fn new() -> Self {
        let clock = VirtualClock::standing_at(1_763_000_000);
        let node = Arc::new(PhoenixdNode::new(clock.clone()));
        let files = TempDir::new().expect("a folder for files");
        let acceptor = certificate(&files, "server.pem");
        certificate(&files, "other.pem");
        let server = Server::start(node.clone(), Some(acceptor));
        Self { node, clock, server, files }
    }

    /// The settings for this password.
    pub(crate) fn settings(&self, password: &str) -> Settings {
        self.settings_with(password, "server.pem")
    }

    /// A seller with this password.
    pub(crate) fn seller(&self, password: &str) -> Arc<dyn Invoicer> {
        open_seller(&self.settings(password)).expect("an adapter")
    }

    /// A buyer with this password.
    pub(crate) async fn buyer(&self, password: &str) -> Result<Arc<dyn Payer>, OpenError> {
        open_buyer(self.settings(password)).await
    }

    fn settings_with(&self, password: &str, certificate: &str) -> Settings {
        Settings::new(Some(Network::Regtest))
            .with("address", SettingValue::Text(format!("https://{}", self.server.address())))
            .with("certificate", SettingValue::File(self.files.path().join(certificate)))
            .with("password", SettingValue::Secret(Secret::from_text(password)))
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
        self.node.hang_up();
        true
    }

    fn heal_all(&self) {
        self.server.spoil(Spoil::Not);
        self.node.heal();
        self.server.open_again();
    }
}

/// Opens a seller.
pub(crate) fn open_seller(settings: &Settings) -> Result<Arc<dyn Invoicer>, OpenError> {
    BACKEND.invoicer.expect("it can be paid")(settings)
}

fn open_buyer(settings: Settings) -> BoxFuture<'static, Result<Arc<dyn Payer>, OpenError>> {
    BACKEND.payer.expect("it can pay")(settings)
}

/// Makes a certificate, writes it to a file, and serves with it.
fn certificate(files: &TempDir, name: &str) -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["proxy".to_owned()]).expect("a certificate");
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

/// A password, as it is written and as it is sent.
fn shown(password: &str) -> [String; 2] {
    [password.to_owned(), STANDARD.encode(format!(":{password}"))]
}

impl SellerRig for Rig {
    fn invoicer(&self) -> Arc<dyn Invoicer> {
        self.seller(LIMITED)
    }

    fn invoicer_with(&self, wrong: WrongAuth) -> Option<Result<Arc<dyn Invoicer>, OpenError>> {
        match wrong {
            WrongAuth::Credential => Some(open_seller(&self.settings(FOREIGN))),
            WrongAuth::Permission => None,
            WrongAuth::Certificate => Some(open_seller(&self.settings_with(LIMITED, "other.pem"))),
        }
    }

    fn settle<'a>(&'a self, invoice: &'a Invoice) -> BoxFuture<'a, Preimage> {
        Box::pin(async move { self.node.settle(invoice.payment_hash(), 0) })
    }

    fn overpay<'a>(&'a self, invoice: &'a Invoice, excess: MilliSat) -> Option<BoxFuture<'a, Preimage>> {
        Some(Box::pin(async move { self.node.settle(invoice.payment_hash(), excess.as_msat() / 1_000) }))
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
            NodeFault::FeedCut => {
                self.node.cut_feed();
                true
            }
            NodeFault::FeedDuplicate => self.set(|faults| faults.twice = true),
            NodeFault::FeedReorder => self.set(|faults| faults.reorder = true),
            NodeFault::FeedGap => self.set(|faults| faults.mute = true),
            NodeFault::Locked | NodeFault::Starting => false,
        }
    }

    fn heal(&self) {
        self.heal_all();
    }

    fn restart(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.close();
            self.server.open_again();
        })
    }

    fn invoice_count(&self) -> usize {
        self.node.made()
    }

    fn lacks(&self) -> &'static [Lack] {
        SELLER_LACKS
    }

    fn secrets(&self) -> Vec<String> {
        [LIMITED, FOREIGN].iter().flat_map(|password| shown(password)).collect()
    }
}

impl BuyerRig for Rig {
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn Payer>, OpenError>> {
        open_buyer(self.settings(FULL))
    }

    fn open_with(&self, wrong: WrongAuth) -> Option<BoxFuture<'_, Result<Arc<dyn Payer>, OpenError>>> {
        Some(open_buyer(match wrong {
            WrongAuth::Credential => self.settings(FOREIGN),
            WrongAuth::Permission => self.settings(LIMITED),
            WrongAuth::Certificate => self.settings_with(FULL, "other.pem"),
        }))
    }

    fn invoice(&self, amount: MilliSat) -> Invoice {
        self.node.invoice_of_a_stranger(amount)
    }

    fn arm(&self, fault: PayFault) -> bool {
        let fails = |words| self.set(|faults| faults.failure = Some(words));
        match fault {
            PayFault::NoRoute => {
                fails("the recipient was offline or did not have enough liquidity to receive the payment")
            }
            PayFault::InsufficientBalance => fails("not enough funds in wallet to afford payment"),
            PayFault::Hold => self.set(|faults| faults.hold = true),
            PayFault::LoseAnswer => self.set(|faults| faults.lose_payment = true),
            PayFault::Down => self.close(),
            PayFault::Hang => self.spoil(Spoil::Hang),
            PayFault::Garble => self.spoil(Spoil::Garble),
            PayFault::Truncate => self.spoil(Spoil::Truncate),
            PayFault::Oversize => self.spoil(Spoil::Oversize),
            PayFault::NoPreimage => self.set(|faults| faults.proof = Some(NoProof::Missing)),
            PayFault::WrongPreimage => self.set(|faults| faults.proof = Some(NoProof::Another)),
            PayFault::FeeAbove(_) | PayFault::Locked => false,
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
        [FULL, LIMITED, FOREIGN].iter().flat_map(|password| shown(password)).collect()
    }
}
