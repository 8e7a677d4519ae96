//! LNbits as both sides' contracts see it: wallets, imitated or real, behind a line with TLS that can fail.

use crate::{
    front::{Behind, Front, LineFault},
    liar::{Liar, Lie, is_self_test, other_amount, other_network},
    scribe::Description,
};
use l402::{PaymentHash, Preimage};
use l402_lightning::{
    BoxFuture, Invoice, Invoicer, MilliSat, Network, OpenError, Payer, SettingValue, Settings,
};
use l402_lnbits::BACKEND;
use std::{fs, path::PathBuf, sync::Arc};
use testkit::{
    VirtualClock,
    contract::{BuyerRig, Lack, NodeFault, PayFault, SellerRig, WrongAuth},
};
use tokio_rustls::TlsAcceptor;

/// A seller's and a buyer's wallet at one service.
pub(crate) trait Wallets: Behind {
    const NETWORK: Network;
    const SELLER_LACKS: &'static [Lack];
    const BUYER_LACKS: &'static [Lack];

    /// The seller's invoice key.
    fn seller_key(&self) -> String;
    /// The buyer's admin key.
    fn buyer_key(&self) -> String;
    /// The buyer's invoice key, which cannot pay.
    fn buyer_invoice_key(&self) -> String;
    /// A key of a wallet that may not be paid, if there can be one.
    fn key_without_rights(&self) -> Option<String>;
    /// The buyer pays.
    fn pay<'a>(&'a self, invoice: &'a Invoice) -> BoxFuture<'a, Preimage>;
    /// An invoice that the buyer can pay, for 600 seconds.
    fn invoice(&self, amount: MilliSat) -> Invoice;
    /// Payments that the buyer made or is making.
    fn payment_count(&self, hash: PaymentHash) -> usize;
    /// Makes payments fail, or not (`None`).
    fn arm(&self, fault: Option<PayFault>) -> bool;
    /// Lets held payments succeed.
    fn release(&self);
}

/// A service of one scenario's own, or its own line to a shared one.
pub(crate) struct Rig<W> {
    pub(crate) wallets: Arc<W>,
    liar: Arc<Liar<W>>,
    front: Front,
    clock: VirtualClock,
    folder: tempfile::TempDir,
}

impl<W: Wallets> Rig<W> {
    pub(crate) fn new(wallets: W, clock: VirtualClock) -> Self {
        let wallets = Arc::new(wallets);
        let liar = Arc::new(Liar::new(Arc::clone(&wallets)));
        let folder = tempfile::tempdir().expect("a folder");
        let tls = certify(&folder.path().join("right.pem"));
        certify(&folder.path().join("wrong.pem"));
        let front = Front::start(liar.clone(), clock.as_fn(), Some(tls));
        Self { wallets, liar, front, clock, folder }
    }

    /// Settings with this key and certificate.
    pub(crate) fn settings(&self, key: String, certificate: &str) -> Settings {
        Settings::new(Some(W::NETWORK))
            .with("address", SettingValue::Text(format!("https://{}", self.front.address())))
            .with("key", SettingValue::Secret(l402_lightning::Secret::from_text(key)))
            .with("certificate", SettingValue::File(self.file(certificate)))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn seller(&self, key: String, certificate: &str) -> Result<Arc<dyn Invoicer>, OpenError> {
        BACKEND.invoicer.expect("it can be paid")(&self.settings(key, certificate))
    }

    pub(crate) fn buyer(
        &self,
        key: String,
        certificate: &str,
    ) -> BoxFuture<'static, Result<Arc<dyn Payer>, OpenError>> {
        BACKEND.payer.expect("it pays")(self.settings(key, certificate))
    }
}

/// A key of the right form that no wallet has.
pub(crate) fn foreign_key() -> String {
    "0123456789abcdef0123456789abcdef".to_owned()
}

/// Writes a new self-signed certificate, and makes an acceptor that shows it.
fn certify(path: &std::path::Path) -> TlsAcceptor {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    fs::write(path, own.cert.pem()).expect("a file");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("a certificate and its key");
    TlsAcceptor::from(Arc::new(config))
}

impl<W: Wallets> SellerRig for Rig<W> {
    fn invoicer(&self) -> Arc<dyn Invoicer> {
        self.seller(self.wallets.seller_key(), "right.pem").expect("good settings")
    }

    fn invoicer_with(&self, wrong: WrongAuth) -> Option<Result<Arc<dyn Invoicer>, OpenError>> {
        Some(match wrong {
            WrongAuth::Credential => self.seller(foreign_key(), "right.pem"),
            WrongAuth::Permission => self.seller(self.wallets.key_without_rights()?, "right.pem"),
            WrongAuth::Certificate => self.seller(self.wallets.seller_key(), "wrong.pem"),
        })
    }

    fn settle<'a>(&'a self, invoice: &'a Invoice) -> BoxFuture<'a, Preimage> {
        self.wallets.pay(invoice)
    }

    fn advance(&self, secs: u64) {
        self.clock.advance(secs);
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn arm(&self, fault: NodeFault) -> bool {
        let lie: fn(&mut crate::scribe::Draft) = match fault {
            NodeFault::WrongNetwork => other_network,
            NodeFault::WrongAmount => other_amount,
            NodeFault::WrongHash => {
                |draft| draft.payment_hash = Preimage::from_bytes([0xab; 32]).payment_hash()
            }
            NodeFault::WrongExpiry => |draft| draft.expiry_secs = 86_400,
            NodeFault::WrongDescription => {
                |draft| draft.description = Description::Text("something else".to_owned())
            }
            _ => return self.arm_line(fault),
        };
        self.liar.set(Some(Lie::Invoice(lie)));
        true
    }

    fn heal(&self) {
        self.liar.set(None);
        self.front.heal();
    }

    fn restart(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.front.restart() })
    }

    fn invoice_count(&self) -> usize {
        self.liar.invoices()
    }

    fn lacks(&self) -> &'static [Lack] {
        W::SELLER_LACKS
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.wallets.seller_key(), foreign_key()]
    }

    fn network(&self) -> Network {
        W::NETWORK
    }
}

impl<W: Wallets> Rig<W> {
    fn arm_line(&self, fault: NodeFault) -> bool {
        match fault {
            NodeFault::LoseCreateAnswer => {
                self.front.arm(LineFault::Lose(|asked| asked.method == "POST" && !is_self_test(&asked.body)));
            }
            NodeFault::Down => self.front.down(),
            NodeFault::Hang => self.front.arm(LineFault::Hang),
            NodeFault::Garble => self.front.arm(LineFault::Garble),
            NodeFault::Truncate => self.front.arm(LineFault::Truncate),
            NodeFault::Oversize => self.front.arm(LineFault::Oversize),
            _ => return false,
        }
        true
    }
}

impl<W: Wallets> BuyerRig for Rig<W> {
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn Payer>, OpenError>> {
        self.buyer(self.wallets.buyer_key(), "right.pem")
    }

    fn open_with(&self, wrong: WrongAuth) -> Option<BoxFuture<'_, Result<Arc<dyn Payer>, OpenError>>> {
        Some(match wrong {
            WrongAuth::Credential => self.buyer(foreign_key(), "right.pem"),
            WrongAuth::Permission => self.buyer(self.wallets.buyer_invoice_key(), "right.pem"),
            WrongAuth::Certificate => self.buyer(self.wallets.buyer_key(), "wrong.pem"),
        })
    }

    fn invoice(&self, amount: MilliSat) -> Invoice {
        self.wallets.invoice(amount)
    }

    fn arm(&self, fault: PayFault) -> bool {
        match fault {
            PayFault::LoseAnswer => self.front.arm(LineFault::Lose(|asked| asked.method == "POST")),
            PayFault::Down => self.front.down(),
            PayFault::Hang => self.front.arm(LineFault::Hang),
            PayFault::Garble => self.front.arm(LineFault::Garble),
            PayFault::Truncate => self.front.arm(LineFault::Truncate),
            PayFault::Oversize => self.front.arm(LineFault::Oversize),
            PayFault::NoPreimage => self.liar.set(Some(Lie::Preimage(None))),
            PayFault::WrongPreimage => self.liar.set(Some(Lie::Preimage(Some(OTHER_PREIMAGE)))),
            PayFault::Locked => return false,
            fault => return self.wallets.arm(Some(fault)),
        }
        true
    }

    fn heal(&self) {
        self.wallets.arm(None);
        self.liar.set(None);
        self.front.heal();
    }

    fn release(&self) {
        self.wallets.release();
    }

    fn advance(&self, secs: u64) {
        self.clock.advance(secs);
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn payment_count(&self, payment_hash: PaymentHash) -> usize {
        self.wallets.payment_count(payment_hash)
    }

    fn lacks(&self) -> &'static [Lack] {
        W::BUYER_LACKS
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.wallets.buyer_key(), self.wallets.buyer_invoice_key(), foreign_key()]
    }

    fn network(&self) -> Network {
        W::NETWORK
    }
}

const OTHER_PREIMAGE: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
