//! A service that is paid: a loopback node behind a door with a lock, a line and a certificate, all of them pretended.

use l402::{PaymentHash, Preimage};
use l402_lightning::{
    AmountUnit, BoxFuture, Invoice, InvoiceRequest, InvoiceState, Invoicer, InvoicerCapabilities,
    InvoicerError, KeyControl, MilliSat, Network, NodeStatus, OpenError, PayLimits, Payer as _, Settlement,
    SettlementFeed, Terms, Unsupported, UntrustedText,
    loopback::{Fault, LoopbackNode, When, WrongInvoice},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use testkit::{
    SeededEntropy, VirtualClock,
    contract::{Lack, LackOf, NodeFault, SellerRig, WrongAuth},
};

use crate::counter_slips::Slip;

/// The credential that no error may show.
pub(crate) const CREDENTIAL: &str = "0201036c6e64";

/// What the service can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All there is.
    Rich,
    /// As little as there is.
    Poor,
}

/// The service, as a rig.
pub(crate) struct Counter(Arc<Service>);

pub(crate) struct Service {
    pub(crate) node: LoopbackNode,
    clock: VirtualClock,
    pub(crate) kind: Kind,
    pub(crate) slip: Option<Slip>,
    line: Mutex<Option<NodeFault>>,
    pub(crate) issued: Mutex<HashMap<PaymentHash, Invoice>>,
    /// What was settled while notifications were lost.
    pub(crate) unnoticed: Mutex<HashSet<PaymentHash>>,
    /// How many payments there were when the node last restarted.
    pub(crate) before_restart: AtomicU64,
    pub(crate) feed_was_cut: AtomicBool,
}

impl Counter {
    pub(crate) fn new(kind: Kind, slip: Option<Slip>) -> Self {
        let clock = VirtualClock::standing_at(1_700_000_000);
        let node = LoopbackNode::new(SeededEntropy::new(3).bytes32(), clock.as_fn());
        Self(Arc::new(Service {
            node,
            clock,
            kind,
            slip,
            line: Mutex::default(),
            issued: Mutex::default(),
            unnoticed: Mutex::default(),
            before_restart: AtomicU64::new(0),
            feed_was_cut: AtomicBool::new(false),
        }))
    }

    fn adapter(&self, wrong: Option<WrongAuth>) -> Arc<dyn Invoicer> {
        let service = Arc::clone(&self.0);
        Arc::new(Adapter { service, wrong, own: Mutex::default(), told: AtomicU64::new(0) })
    }
}

impl SellerRig for Counter {
    fn invoicer(&self) -> Arc<dyn Invoicer> {
        self.adapter(None)
    }

    fn invoicer_with(&self, wrong: WrongAuth) -> Option<Result<Arc<dyn Invoicer>, OpenError>> {
        (self.0.kind == Kind::Rich).then(|| Ok(self.adapter(Some(wrong))))
    }

    fn settle<'a>(&'a self, invoice: &'a Invoice) -> BoxFuture<'a, Preimage> {
        Box::pin(async move {
            let limits = PayLimits { fee_max: MilliSat::ZERO, timeout: Duration::from_secs(5) };
            let paid = self.0.node.pay(invoice, limits).await.expect("a payment");
            if *self.0.line.lock().expect("no panic under the lock") == Some(NodeFault::FeedGap) {
                self.0.unnoticed.lock().expect("no panic under the lock").insert(invoice.payment_hash());
            }
            paid.preimage
        })
    }

    fn overpay<'a>(&'a self, invoice: &'a Invoice, excess: MilliSat) -> Option<BoxFuture<'a, Preimage>> {
        Some(Box::pin(async move {
            self.0.node.knobs().set_surplus(excess);
            let preimage = self.settle(invoice).await;
            self.0.node.knobs().set_surplus(MilliSat::ZERO);
            preimage
        }))
    }

    fn advance(&self, secs: u64) {
        self.0.clock.advance(secs);
    }

    fn now(&self) -> u64 {
        self.0.clock.now()
    }

    fn arm(&self, fault: NodeFault) -> bool {
        if self.0.kind == Kind::Poor && self.lacks().iter().any(|lack| lack.what == LackOf::Fault(fault)) {
            return false;
        }
        let create = self.0.node.knobs().create();
        let wrong = |wrong| create.set_times(1, Fault::Wrong(wrong));
        match fault {
            NodeFault::LoseCreateAnswer => create.set_times(1, Fault::Cut(When::After)),
            NodeFault::WrongNetwork => wrong(WrongInvoice::Network(Network::Mainnet)),
            NodeFault::WrongAmount => wrong(WrongInvoice::Amount(MilliSat::from_msat(1_000))),
            NodeFault::WrongHash => wrong(WrongInvoice::PaymentHash),
            NodeFault::WrongExpiry => wrong(WrongInvoice::ExpirySecs(60)),
            NodeFault::WrongDescription => wrong(WrongInvoice::Description),
            NodeFault::FeedCut => {
                self.0.node.knobs().settlements().set_times(1, Fault::Cut(When::After));
            }
            NodeFault::FeedDuplicate if self.0.slip.is_none() => {
                self.0.node.knobs().settlements().set(Fault::Duplicate);
            }
            _ => *self.0.line.lock().expect("no panic under the lock") = Some(fault),
        }
        true
    }

    fn heal(&self) {
        self.0.node.knobs().clear();
        *self.0.line.lock().expect("no panic under the lock") = None;
    }

    fn restart(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let payments = self.0.node.payments().len() as u64;
            self.0.before_restart.store(payments, Ordering::SeqCst);
        })
    }

    fn invoice_count(&self) -> usize {
        usize::try_from(self.0.node.issued_invoices()).expect("a test's worth")
    }

    fn lacks(&self) -> &'static [Lack] {
        match self.0.kind {
            Kind::Rich => &[],
            Kind::Poor => POOR,
        }
    }

    fn secrets(&self) -> Vec<String> {
        vec![CREDENTIAL.to_owned()]
    }
}

/// One reason for all: nothing about this service is real.
const SAYS_SO: &str = "the service is made to be without it";

const POOR: &[Lack] = &[
    Lack::of(LackOf::Auth(WrongAuth::Credential), SAYS_SO),
    Lack::of(LackOf::Auth(WrongAuth::Permission), SAYS_SO),
    Lack::of(LackOf::Auth(WrongAuth::Certificate), SAYS_SO),
    Lack::of(LackOf::Fault(NodeFault::WrongHash), SAYS_SO),
    Lack::of(LackOf::Fault(NodeFault::WrongExpiry), SAYS_SO),
    Lack::of(LackOf::Fault(NodeFault::WrongDescription), SAYS_SO),
    Lack::of(LackOf::ChosenPreimage, SAYS_SO),
    Lack::of(LackOf::MilliSat, SAYS_SO),
    Lack::of(LackOf::Terms, SAYS_SO),
    Lack::of(LackOf::Cancel, SAYS_SO),
    Lack::of(LackOf::Expired, SAYS_SO),
    Lack::of(LackOf::OpenInvoice, SAYS_SO),
    Lack::of(LackOf::Memory, SAYS_SO),
    Lack::of(LackOf::Feed, SAYS_SO),
];

/// The adapter to the service.
pub(crate) struct Adapter {
    pub(crate) service: Arc<Service>,
    wrong: Option<WrongAuth>,
    own: Mutex<HashSet<PaymentHash>>,
    /// For a slip: the last settlement that was told.
    pub(crate) told: AtomicU64,
}

impl Adapter {
    pub(crate) fn slips(&self, slip: Slip) -> bool {
        self.service.slip == Some(slip)
    }

    pub(crate) fn fault(&self) -> Option<NodeFault> {
        *self.service.line.lock().expect("no panic under the lock")
    }

    /// The way to the service: whether it lets a call through.
    async fn ask(&self) -> Result<(), InvoicerError> {
        let refused = |message: &str| InvoicerError::Refused { message: UntrustedText::new(message) };
        match self.wrong {
            Some(WrongAuth::Certificate) if !self.slips(Slip::TrustsAnyCertificate) => {
                return Err(InvoicerError::Certificate);
            }
            Some(WrongAuth::Credential) if self.slips(Slip::ShowsTheCredential) => {
                return Err(refused(&format!("macaroon {CREDENTIAL} is unknown")));
            }
            Some(WrongAuth::Credential) if self.slips(Slip::HidesWhatIsWrong) => return Err(refused("no")),
            Some(WrongAuth::Credential) => return Err(InvoicerError::Unauthorized),
            _ => {}
        }
        match self.fault() {
            Some(NodeFault::Down | NodeFault::Truncate) => Err(InvoicerError::Unreachable),
            Some(NodeFault::Hang) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let dead = self.slips(Slip::HidesWhatIsWrong);
                Err(if dead { InvoicerError::Unreachable } else { InvoicerError::Timeout })
            }
            Some(NodeFault::Garble) => Err(InvoicerError::Garbled { field: "JSON" }),
            Some(NodeFault::Oversize) => Err(InvoicerError::Garbled { field: "size" }),
            Some(NodeFault::Locked | NodeFault::Starting) if self.slips(Slip::HidesWhatIsWrong) => {
                Err(refused("not now"))
            }
            Some(NodeFault::Locked) => Err(InvoicerError::Locked),
            Some(NodeFault::Starting) => Err(InvoicerError::Starting),
            _ => Ok(()),
        }
    }

    /// What a poor service does not take.
    fn supported(&self, request: &InvoiceRequest) -> Result<(), Unsupported> {
        if self.service.kind == Kind::Rich {
            Ok(())
        } else if request.preimage.is_some() {
            Err(Unsupported::ChosenPreimage)
        } else if !request.amount.as_msat().is_multiple_of(1_000) {
            Err(Unsupported::Amount)
        } else {
            Ok(())
        }
    }
}

impl Invoicer for Adapter {
    fn capabilities(&self) -> InvoicerCapabilities {
        let rich = Invoicer::capabilities(&self.service.node);
        let fickle = self.slips(Slip::ChangesItsMind).then(|| self.service.node.calls().create);
        match self.service.kind {
            Kind::Rich => InvoicerCapabilities {
                settlement_feed: SettlementFeed::Resumable,
                description_bytes_max: fickle
                    .map_or(rich.description_bytes_max, |calls| 500 + usize::from(calls > 0)),
                ..rich
            },
            Kind::Poor => InvoicerCapabilities {
                key_control: KeyControl::None,
                amount_unit: AmountUnit::Sat,
                settlement_feed: SettlementFeed::Poll,
                cancel: false,
                terms: Terms::Service,
                ..rich
            },
        }
    }

    fn create(&self, request: InvoiceRequest) -> BoxFuture<'_, Result<Invoice, InvoicerError>> {
        Box::pin(async move {
            self.ask().await?;
            if self.wrong == Some(WrongAuth::Permission) {
                let permission = if self.slips(Slip::HidesWhatIsWrong) { "" } else { "invoices:write" };
                return Err(InvoicerError::Forbidden { permission });
            }
            self.supported(&request).map_err(InvoicerError::Unsupported)?;
            let invoice = self.create_with_slips(request).await?;
            self.own.lock().expect("no panic under the lock").insert(invoice.payment_hash());
            self.service
                .issued
                .lock()
                .expect("no panic under the lock")
                .insert(invoice.payment_hash(), invoice.clone());
            Ok(invoice)
        })
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<InvoiceState, InvoicerError>> {
        Box::pin(async move {
            if let Err(error) = self.ask().await {
                return if self.slips(Slip::GuessesStates) { Ok(InvoiceState::Unknown) } else { Err(error) };
            }
            let poor = self.service.kind == Kind::Poor;
            if (poor || self.slips(Slip::KnowsOnlyItsOwn))
                && !self.own.lock().expect("no panic under the lock").contains(&payment_hash)
            {
                return Ok(InvoiceState::Unknown);
            }
            let state = Invoicer::lookup(&self.service.node, payment_hash).await?;
            let late = if poor { InvoiceState::Open } else { InvoiceState::Expired };
            let state = if state == InvoiceState::Expired { late } else { state };
            Ok(self.state_with_slips(state))
        })
    }

    fn open_invoice(
        &self,
        payment_hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<Invoice>, InvoicerError>> {
        Box::pin(async move {
            self.ask().await?;
            if self.slips(Slip::HandsOutWhatIsClosed) {
                return Ok(self
                    .service
                    .issued
                    .lock()
                    .expect("no panic under the lock")
                    .get(&payment_hash)
                    .cloned());
            }
            match self.service.kind {
                Kind::Rich => self.service.node.open_invoice(payment_hash).await,
                Kind::Poor => Ok(None),
            }
        })
    }

    fn cancel(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<(), InvoicerError>> {
        Box::pin(async move {
            if self.service.kind == Kind::Poor {
                return Err(InvoicerError::Unsupported(Unsupported::Cancel));
            }
            self.ask().await?;
            if self.slips(Slip::CancelsNothing) {
                return Ok(());
            }
            self.service.node.cancel(payment_hash).await
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<NodeStatus, InvoicerError>> {
        Box::pin(async move {
            self.ask().await?;
            let status = self.service.node.probe().await?;
            let behind = self.slips(Slip::SaysThatItIsBehind);
            Ok(NodeStatus { synced: Some(!behind), ..status })
        })
    }

    fn settlements(&self, cursor: u64) -> BoxFuture<'_, Result<Vec<Settlement>, InvoicerError>> {
        Box::pin(async move {
            if self.service.kind == Kind::Poor {
                return Err(InvoicerError::Unsupported(Unsupported::Feed));
            }
            if self.service.slip.is_some() {
                return self.settlements_with_slips(cursor).await;
            }
            self.ask().await?;
            self.service.node.settlements(cursor).await
        })
    }
}
