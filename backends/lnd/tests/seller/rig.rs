//! The seller under test with the imitation behind it.

use crate::node::{self, Node, Telling};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use l402::Preimage;
use l402_lightning::{
    BoxFuture, Invoice, InvoiceRequest, Invoicer, MilliSat, Network, OpenError, Secret, SettingValue,
    Settings,
};
use l402_lnd::open_invoicer;
use std::{path::PathBuf, sync::Arc};
use tempfile::TempDir;
use testkit::contract::{Lack, NodeFault, SellerRig, WrongAuth};

/// An lnd and somebody who sells through it.
pub(crate) struct Rig {
    pub(crate) node: Node,
    /// Holds the certificates.
    folder: TempDir,
    macaroon: Vec<u8>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let node = Node::start();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tls.cert"), node.certificate()).unwrap();
        std::fs::write(folder.path().join("other.cert"), node::identity().0.pem()).unwrap();
        let macaroon = node.invoice_macaroon();
        Self { node, folder, macaroon }
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("tls.cert")
    }

    /// Settings that work.
    pub(crate) fn settings(&self) -> Settings {
        Settings::new(Some(Network::Regtest))
            .with("address", SettingValue::Text(format!("https://{}", self.node.address())))
            .with("certificate", SettingValue::File(self.certificate()))
            .with("macaroon", SettingValue::Secret(Secret::from_bytes(self.macaroon.clone())))
    }

    pub(crate) fn open(&self, settings: &Settings) -> Result<Arc<dyn Invoicer>, OpenError> {
        open_invoicer(settings, self.node.world.clock.as_fn())
    }

    /// A seller whose macaroon has these rights.
    pub(crate) fn with_rights(&self, rights: &[&'static str]) -> Arc<dyn Invoicer> {
        let macaroon = Secret::from_bytes(self.node.bake(rights));
        self.open(&self.settings().with("macaroon", SettingValue::Secret(macaroon))).unwrap()
    }

    /// A request unlike any other.
    pub(crate) fn request(&self) -> InvoiceRequest {
        InvoiceRequest {
            amount: MilliSat::from_msat(10_500),
            expiry_secs: 600,
            description: "weather".to_owned(),
            preimage: Some(Preimage::from_bytes(self.node.world.entropy.bytes32())),
        }
    }

    /// An invoice that somebody has paid.
    pub(crate) async fn sold(&self, seller: &Arc<dyn Invoicer>) -> Invoice {
        let invoice = seller.create(self.request()).await.unwrap();
        self.settle(&invoice).await;
        invoice
    }

    /// The node receives what the invoice asks for and so much beyond.
    fn receive(&self, invoice: &Invoice, excess: MilliSat) -> BoxFuture<'static, Preimage> {
        let world = &self.node.world;
        let faults = &world.faults;
        let telling = if faults.strikes(NodeFault::FeedGap) {
            Telling::Never
        } else if faults.strikes(NodeFault::FeedDuplicate) {
            Telling::Twice
        } else if faults.strikes_once(NodeFault::FeedReorder) {
            Telling::AfterTheNext
        } else {
            Telling::Once
        };
        let preimage = world.ledger().settle(invoice.payment_hash(), excess, world.clock.now(), telling);
        Box::pin(async { preimage })
    }
}

impl SellerRig for Rig {
    fn invoicer(&self) -> Arc<dyn Invoicer> {
        self.open(&self.settings()).unwrap()
    }

    fn invoicer_with(&self, wrong: WrongAuth) -> Option<Result<Arc<dyn Invoicer>, OpenError>> {
        Some(match wrong {
            WrongAuth::Credential => {
                let macaroon = Secret::from_bytes(node::foreign_macaroon(&self.node.world.entropy));
                self.open(&self.settings().with("macaroon", SettingValue::Secret(macaroon)))
            }
            WrongAuth::Permission => Ok(self.with_rights(&["invoices:read", "info:read"])),
            WrongAuth::Certificate => {
                let other = self.folder.path().join("other.cert");
                self.open(&self.settings().with("certificate", SettingValue::File(other)))
            }
        })
    }

    fn settle<'a>(&'a self, invoice: &'a Invoice) -> BoxFuture<'a, Preimage> {
        self.receive(invoice, MilliSat::ZERO)
    }

    fn overpay<'a>(&'a self, invoice: &'a Invoice, excess: MilliSat) -> Option<BoxFuture<'a, Preimage>> {
        Some(self.receive(invoice, excess))
    }

    fn advance(&self, secs: u64) {
        self.node.world.clock.advance(secs);
    }

    fn now(&self) -> u64 {
        self.node.world.clock.now()
    }

    fn arm(&self, fault: NodeFault) -> bool {
        let world = &self.node.world;
        match fault {
            // One that is told of settlements breaks at once, or else the next.
            NodeFault::FeedCut if world.ledger().hush() => {}
            _ => world.faults.arm(fault),
        }
        if fault == NodeFault::Down {
            self.node.break_connections();
        }
        true
    }

    fn heal(&self) {
        self.node.world.faults.heal();
    }

    fn restart(&self) -> BoxFuture<'_, ()> {
        self.node.break_connections();
        Box::pin(async {})
    }

    fn invoice_count(&self) -> usize {
        self.node.world.ledger().len()
    }

    fn lacks(&self) -> &'static [Lack] {
        &[]
    }

    fn secrets(&self) -> Vec<String> {
        vec![hex::encode(&self.macaroon), STANDARD.encode(&self.macaroon)]
    }
}
