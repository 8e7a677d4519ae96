//! The payer under test with the imitation behind it.

use crate::{
    desk::{ADMIN, FOREIGN, READ_ONLY},
    door::{Door, identity},
    wallet::Wallet,
};
use l402::PaymentHash;
use l402_lightning::{
    BoxFuture, Invoice, MilliSat, Network, OpenError, Payer, PayerOpening, Secret, SettingValue, Settings,
};
use std::{path::PathBuf, sync::Arc};
use tempfile::TempDir;
use testkit::contract::{BuyerRig, Lack, PayFault, WrongAuth};

/// When the world begins, in unix seconds.
const BEGINNING: u64 = 1_760_000_000;

/// How the buyer speaks to lnd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Grpc,
    Rest,
}

impl Transport {
    pub(crate) const ALL: [Self; 2] = [Self::Grpc, Self::Rest];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Rest => "rest",
        }
    }
}

/// An lnd with money, and a buyer that may use it.
pub(crate) struct Rig {
    pub(crate) wallet: Arc<Wallet>,
    transport: Transport,
    door: Door,
    folder: TempDir,
}

impl Rig {
    pub(crate) fn new(transport: Transport) -> Self {
        let wallet = Wallet::new(BEGINNING);
        let door = Door::open(Arc::clone(&wallet));
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("tls.cert"), door.certificate()).expect("a file");
        std::fs::write(folder.path().join("other.cert"), identity().0).expect("a file");
        Self { wallet, transport, door, folder }
    }

    /// Settings that work.
    pub(crate) fn settings(&self) -> Settings {
        Settings::new(None)
            .with("transport", SettingValue::Text(self.transport.word().to_owned()))
            .with("address", SettingValue::Text(self.door.url()))
            .with("certificate", SettingValue::File(self.file("tls.cert")))
            .with("macaroon", SettingValue::Secret(Secret::from_bytes(ADMIN.to_vec())))
    }

    /// The same with another macaroon.
    pub(crate) fn settings_with(&self, macaroon: &[u8]) -> Settings {
        self.settings().with("macaroon", SettingValue::Secret(Secret::from_bytes(macaroon.to_vec())))
    }

    pub(crate) fn url(&self) -> String {
        self.door.url()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Opens lnd as a wallet, as a buyer does.
pub(crate) fn open(settings: Settings) -> PayerOpening {
    l402_lnd::BACKEND.payer.expect("lnd pays")(settings)
}

impl BuyerRig for Rig {
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn Payer>, OpenError>> {
        open(self.settings())
    }

    fn open_with(&self, wrong: WrongAuth) -> Option<BoxFuture<'_, Result<Arc<dyn Payer>, OpenError>>> {
        Some(open(match wrong {
            WrongAuth::Credential => self.settings_with(FOREIGN),
            WrongAuth::Permission => self.settings_with(READ_ONLY),
            WrongAuth::Certificate => {
                self.settings().with("certificate", SettingValue::File(self.file("other.cert")))
            }
        }))
    }

    fn invoice(&self, amount: MilliSat) -> Invoice {
        self.wallet.invoice(amount)
    }

    fn arm(&self, fault: PayFault) -> bool {
        if fault == PayFault::Down {
            self.door.close();
        }
        self.wallet.arm(fault);
        true
    }

    fn heal(&self) {
        if self.wallet.suffers(PayFault::Down) {
            self.door.reopen();
        }
        self.wallet.heal();
    }

    fn release(&self) {
        self.wallet.release();
    }

    fn advance(&self, secs: u64) {
        self.wallet.advance(secs);
    }

    fn now(&self) -> u64 {
        self.wallet.now()
    }

    fn payment_count(&self, payment_hash: PaymentHash) -> usize {
        self.wallet.moves(payment_hash)
    }

    fn lacks(&self) -> &'static [Lack] {
        &[]
    }

    fn secrets(&self) -> Vec<String> {
        [ADMIN, READ_ONLY, FOREIGN]
            .into_iter()
            .flat_map(|macaroon| {
                [hex::encode(macaroon), String::from_utf8_lossy(&macaroon[3..]).into_owned()]
            })
            .collect()
    }

    fn network(&self) -> Network {
        Network::Regtest
    }
}
