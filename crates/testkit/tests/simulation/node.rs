//! The node that is paid, and the wallets that pay it: the loopback node, made slow, faulty and dishonest by chance.

use crate::{dice::Dice, pause, story::Story};
use l402::{PaymentHash, Preimage};
use l402_lightning::{
    BoxFuture, Invoice, InvoiceRequest, InvoiceState, Invoicer, InvoicerCapabilities, InvoicerError,
    MilliSat, Network, NodeStatus, PayLimits, Payer, PaymentState, Settlement,
    loopback::{Fault, LoopbackNode, When, WrongInvoice, WrongPayment, WrongState},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How often a wallet tries to pay.
const TRIES_MAX: u32 = 4;
/// Never waited out: nothing in a world takes real time.
const TIMEOUT: Duration = Duration::from_hours(1);

/// A node in a world.
pub(crate) struct Node {
    loopback: LoopbackNode,
    /// How many of a hundred calls go wrong.
    trouble: AtomicU64,
    dice: Arc<Dice>,
    story: Story,
}

impl Node {
    /// A node whose clock is `time`.
    pub(crate) fn new(dice: Arc<Dice>, time: Arc<AtomicU64>, story: Story) -> Self {
        let mut secret = [0; 32];
        l402_paywall::Entropy::fill(&*dice, &mut secret);
        let loopback = LoopbackNode::new(secret, Arc::new(move || time.load(Ordering::Relaxed)));
        Self { loopback, trouble: AtomicU64::new(0), dice, story }
    }

    pub(crate) fn set_trouble(&self, percent: u64) {
        self.trouble.store(percent, Ordering::Relaxed);
    }

    /// A wallet pays an invoice, perhaps too much, perhaps twice. The preimage is the one that the wallet was told.
    pub(crate) async fn pay(&self, invoice: &Invoice) -> Option<Preimage> {
        for _ in 0..TRIES_MAX {
            self.wait().await;
            if let Some(preimage) = self.pay_once(invoice).await {
                if self.dice.chance(20) {
                    self.story.count("paid twice");
                    self.pay_once(invoice).await;
                }
                return Some(preimage);
            }
        }
        None
    }

    async fn pay_once(&self, invoice: &Invoice) -> Option<Preimage> {
        let knobs = self.loopback.knobs();
        if self.is_troubled() {
            self.story.count("payment troubled");
            knobs.pay().set_times(1, self.dice.one_of(&PAYMENT_FAULTS));
        }
        if self.dice.chance(15) {
            self.story.count("overpaid");
            knobs.set_surplus(MilliSat::from_msat(self.dice.between(1, 9_000)));
        }
        let limits = PayLimits { fee_max: MilliSat::ZERO, timeout: TIMEOUT };
        let paid = self.loopback.pay(invoice, limits).await;
        knobs.clear();
        if let Ok(paid) = paid {
            return Some(paid.preimage);
        }
        match Payer::lookup(&self.loopback, invoice.payment_hash()).await {
            Ok(PaymentState::Succeeded(paid)) => Some(paid.preimage),
            _ => None,
        }
    }

    fn is_troubled(&self) -> bool {
        self.dice.chance(self.trouble.load(Ordering::Relaxed))
    }

    async fn wait(&self) {
        for _ in 0..self.dice.below(4) {
            pause().await;
        }
    }
}

const INVOICE_FAULTS: [Fault<WrongInvoice>; 14] = [
    Fault::Fail(When::Before),
    Fault::Fail(When::After),
    Fault::Cut(When::Before),
    Fault::Cut(When::After),
    Fault::Duplicate,
    Fault::Wrong(WrongInvoice::Network(Network::Mainnet)),
    Fault::Wrong(WrongInvoice::Amount(MilliSat::from_msat(1))),
    Fault::Wrong(WrongInvoice::NoAmount),
    Fault::Wrong(WrongInvoice::SubMilliSatoshi),
    Fault::Wrong(WrongInvoice::PaymentHash),
    Fault::Wrong(WrongInvoice::ExpirySecs(1)),
    Fault::Wrong(WrongInvoice::Expired),
    Fault::Wrong(WrongInvoice::Description),
    Fault::Wrong(WrongInvoice::Signature),
];

const LOOKUP_FAULTS: [Fault<WrongState>; 4] = [
    Fault::Fail(When::Before),
    Fault::Cut(When::After),
    Fault::Wrong(WrongState::Unknown),
    Fault::Wrong(WrongState::Settled),
];

const PAYMENT_FAULTS: [Fault<WrongPayment>; 8] = [
    Fault::Fail(When::Before),
    Fault::Fail(When::After),
    Fault::Cut(When::Before),
    Fault::Cut(When::After),
    Fault::Wrong(WrongPayment::WrongPreimage),
    Fault::Wrong(WrongPayment::ZeroPreimage),
    Fault::Wrong(WrongPayment::Failed),
    Fault::Wrong(WrongPayment::InFlight),
];

impl Invoicer for Node {
    fn capabilities(&self) -> InvoicerCapabilities {
        Invoicer::capabilities(&self.loopback)
    }

    fn create(&self, request: InvoiceRequest) -> BoxFuture<'_, Result<Invoice, InvoicerError>> {
        Box::pin(async move {
            self.wait().await;
            let knob = self.loopback.knobs().create();
            if self.is_troubled() {
                self.story.count("invoice troubled");
                knob.set_times(1, self.dice.one_of(&INVOICE_FAULTS));
            }
            let made = self.loopback.create(request).await;
            knob.clear();
            self.wait().await;
            made
        })
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<InvoiceState, InvoicerError>> {
        Box::pin(async move {
            self.wait().await;
            let knob = self.loopback.knobs().lookup();
            if self.is_troubled() {
                self.story.count("lookup troubled");
                knob.set_times(1, self.dice.one_of(&LOOKUP_FAULTS));
            }
            let state = Invoicer::lookup(&self.loopback, payment_hash).await;
            knob.clear();
            state
        })
    }

    fn open_invoice(
        &self,
        payment_hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<Invoice>, InvoicerError>> {
        self.loopback.open_invoice(payment_hash)
    }

    fn cancel(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<(), InvoicerError>> {
        self.loopback.cancel(payment_hash)
    }

    fn probe(&self) -> BoxFuture<'_, Result<NodeStatus, InvoicerError>> {
        self.loopback.probe()
    }

    fn settlements(&self, cursor: u64) -> BoxFuture<'_, Result<Vec<Settlement>, InvoicerError>> {
        self.loopback.settlements(cursor)
    }
}
