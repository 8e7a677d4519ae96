//! The service as the seller's contract sees it.

use crate::{
    front::{Front, LineFault},
    scribe::Description,
    site::Site,
};
use l402::Preimage;
use l402_lightning::{BoxFuture, Invoice, Invoicer, MilliSat, Network, OpenError, SettingValue, Settings};
use l402_lnurl::BACKEND;
use std::sync::Arc;
use testkit::{
    VirtualClock,
    contract::{Lack, LackOf, NodeFault, SellerRig, WrongAuth},
};

/// A service of its own, on loopback.
pub(crate) struct Rig {
    pub(crate) site: Arc<Site>,
    front: Front,
    clock: VirtualClock,
}

/// A fresh one.
pub(crate) async fn rig() -> Rig {
    let clock = VirtualClock::standing_at(1_800_000_000);
    let site = Arc::new(Site::new(clock.as_fn()));
    let front = Front::start(site.clone(), clock.as_fn(), None);
    site.books().base = format!("http://{}", front.address());
    Rig { site, front, clock }
}

impl Rig {
    /// The settings for its shop.
    pub(crate) fn settings(&self) -> Settings {
        Settings::new(Some(Network::Regtest))
            .with("address", SettingValue::Text(format!("shop@{}", self.front.address())))
            .with("danger_plain_http", SettingValue::Flag(true))
    }
}

/// Opens a seller's side.
pub(crate) fn open(settings: &Settings) -> Result<Arc<dyn Invoicer>, OpenError> {
    BACKEND.invoicer.expect("it can be paid")(settings)
}

impl SellerRig for Rig {
    fn invoicer(&self) -> Arc<dyn Invoicer> {
        open(&self.settings()).expect("good settings")
    }

    fn invoicer_with(&self, _wrong: WrongAuth) -> Option<Result<Arc<dyn Invoicer>, OpenError>> {
        None
    }

    fn settle<'a>(&'a self, invoice: &'a Invoice) -> BoxFuture<'a, Preimage> {
        Box::pin(async move { self.site.settle(invoice.payment_hash()) })
    }

    fn advance(&self, secs: u64) {
        self.clock.advance(secs);
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn arm(&self, fault: NodeFault) -> bool {
        match fault {
            NodeFault::LoseCreateAnswer => {
                self.front.arm(LineFault::Lose(|asked| asked.path() == "/callback"));
            }
            NodeFault::Down => self.front.down(),
            NodeFault::Hang => self.front.arm(LineFault::Hang),
            NodeFault::Garble => self.front.arm(LineFault::Garble),
            NodeFault::Truncate => self.front.arm(LineFault::Truncate),
            NodeFault::Oversize => self.front.arm(LineFault::Oversize),
            NodeFault::WrongNetwork => {
                self.site.books().lie = Some(|draft| draft.network = Network::Mainnet);
            }
            NodeFault::WrongAmount => {
                self.site.books().lie = Some(|draft| draft.amount = MilliSat::from_msat(1));
            }
            NodeFault::WrongDescription => {
                self.site.books().lie = Some(|draft| draft.description = Description::Hash([9; 32]));
            }
            NodeFault::WrongHash
            | NodeFault::WrongExpiry
            | NodeFault::FeedCut
            | NodeFault::FeedDuplicate
            | NodeFault::FeedReorder
            | NodeFault::FeedGap
            | NodeFault::Locked
            | NodeFault::Starting => return false,
        }
        true
    }

    fn heal(&self) {
        self.site.books().lie = None;
        self.front.heal();
    }

    fn restart(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.front.restart() })
    }

    fn invoice_count(&self) -> usize {
        self.site.sold()
    }

    fn lacks(&self) -> &'static [Lack] {
        LACKS
    }
}

const LACKS: &[Lack] = &[
    Lack::of(LackOf::Auth(WrongAuth::Credential), "a Lightning Address has no credential"),
    Lack::of(LackOf::Auth(WrongAuth::Permission), "a Lightning Address has no credential"),
    Lack::of(
        LackOf::Auth(WrongAuth::Certificate),
        "no certificate can be named, only public authorities count",
    ),
    Lack::of(LackOf::Fault(NodeFault::WrongHash), "nothing but the invoice says what its hash is"),
    Lack::of(LackOf::Fault(NodeFault::WrongExpiry), "the service chooses the expiry"),
    Lack::of(LackOf::Fault(NodeFault::FeedCut), "there is no feed"),
    Lack::of(LackOf::Fault(NodeFault::FeedDuplicate), "there is no feed"),
    Lack::of(LackOf::Fault(NodeFault::FeedReorder), "there is no feed"),
    Lack::of(LackOf::Fault(NodeFault::FeedGap), "there is no feed"),
    Lack::of(LackOf::Fault(NodeFault::Locked), "a service does not tell of its wallet"),
    Lack::of(LackOf::Fault(NodeFault::Starting), "a service does not tell of its node"),
    Lack::of(LackOf::ChosenPreimage, "LUD-06 knows no such parameter"),
    Lack::of(LackOf::Terms, "invoices commit to the service's metadata"),
    Lack::of(LackOf::Cancel, "LUD-06 and LUD-21 cannot withdraw"),
    Lack::of(LackOf::Feed, "LUD-21 answers about one invoice"),
];
