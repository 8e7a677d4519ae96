//! The loopback node keeps the contract.

#![expect(clippy::expect_used, reason = "a step that fails ends the test")]

use l402::{PaymentHash, Preimage};
use l402_lightning::{
    BoxFuture, Invoice, InvoiceRequest, Invoicer, MilliSat, Network, OpenError, PayLimits, Payer,
    loopback::{Fault, LoopbackNode, When, WrongInvoice, WrongPayment},
};
use std::{sync::Arc, time::Duration};
use testkit::{
    SeededEntropy, VirtualClock,
    contract::{BuyerRig, Lack, LackOf, NodeFault, PayFault, SellerRig, WrongAuth},
};

const NOW: u64 = 1_700_000_000;

/// Nobody stands between the node and its caller, so that there is nothing to log in to.
const NO_DOOR: &str = "it is called, not connected to";
/// What it answers are values, not bytes.
const NO_FORMAT: &str = "its answers are values, which have no format to miss";
/// Its feed is read from its records.
const NO_NOTIFICATIONS: &str = "its feed is read from its records, there are no notifications";

/// A node in memory, from either side.
struct Loopback {
    node: Arc<LoopbackNode>,
    clock: VirtualClock,
    entropy: SeededEntropy,
}

async fn loopback() -> Loopback {
    let (clock, entropy) = (VirtualClock::standing_at(NOW), SeededEntropy::new(7));
    let node = Arc::new(LoopbackNode::new(entropy.bytes32(), clock.as_fn()));
    Loopback { node, clock, entropy }
}

impl SellerRig for Loopback {
    fn invoicer(&self) -> Arc<dyn Invoicer> {
        self.node.clone()
    }

    fn invoicer_with(&self, _: WrongAuth) -> Option<Result<Arc<dyn Invoicer>, OpenError>> {
        None
    }

    fn settle<'a>(&'a self, invoice: &'a Invoice) -> BoxFuture<'a, Preimage> {
        Box::pin(async move {
            let limits = PayLimits { fee_max: MilliSat::ZERO, timeout: Duration::from_secs(5) };
            self.node.pay(invoice, limits).await.expect("a payment").preimage
        })
    }

    fn overpay<'a>(&'a self, invoice: &'a Invoice, excess: MilliSat) -> Option<BoxFuture<'a, Preimage>> {
        Some(Box::pin(async move {
            self.node.knobs().set_surplus(excess);
            let preimage = self.settle(invoice).await;
            self.node.knobs().set_surplus(MilliSat::ZERO);
            preimage
        }))
    }

    fn advance(&self, secs: u64) {
        self.clock.advance(secs);
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn arm(&self, fault: NodeFault) -> bool {
        let knobs = self.node.knobs();
        let wrong = |wrong| knobs.create().set_times(1, Fault::Wrong(wrong));
        match fault {
            NodeFault::LoseCreateAnswer => knobs.create().set_times(1, Fault::Cut(When::After)),
            NodeFault::Down => {
                knobs.create().set(Fault::Cut(When::Before));
                knobs.lookup().set(Fault::Cut(When::Before));
                knobs.settlements().set(Fault::Cut(When::Before));
                knobs.cancel().set(Fault::Cut(When::Before));
                knobs.probe().set(Fault::Cut(When::Before));
            }
            NodeFault::WrongNetwork => wrong(WrongInvoice::Network(Network::Signet)),
            NodeFault::WrongAmount => wrong(WrongInvoice::Amount(MilliSat::from_msat(9_999))),
            NodeFault::WrongHash => wrong(WrongInvoice::PaymentHash),
            NodeFault::WrongExpiry => wrong(WrongInvoice::ExpirySecs(86_400)),
            NodeFault::WrongDescription => wrong(WrongInvoice::Description),
            NodeFault::FeedCut => knobs.settlements().set_times(1, Fault::Cut(When::After)),
            NodeFault::FeedDuplicate => knobs.settlements().set(Fault::Duplicate),
            NodeFault::Hang
            | NodeFault::Garble
            | NodeFault::Truncate
            | NodeFault::Oversize
            | NodeFault::FeedReorder
            | NodeFault::FeedGap
            | NodeFault::Locked
            | NodeFault::Starting => return false,
        }
        true
    }

    fn heal(&self) {
        self.node.knobs().clear();
    }

    fn restart(&self) -> BoxFuture<'_, ()> {
        // What lives in memory and comes back with its records has never been away.
        Box::pin(async {})
    }

    fn invoice_count(&self) -> usize {
        usize::try_from(self.node.issued_invoices()).expect("a test's worth of invoices")
    }

    fn lacks(&self) -> &'static [Lack] {
        const {
            &[
                Lack::of(LackOf::Auth(WrongAuth::Credential), NO_DOOR),
                Lack::of(LackOf::Auth(WrongAuth::Permission), NO_DOOR),
                Lack::of(LackOf::Auth(WrongAuth::Certificate), NO_DOOR),
                Lack::of(LackOf::Fault(NodeFault::Hang), "it has no deadlines: its callers have"),
                Lack::of(LackOf::Fault(NodeFault::Garble), NO_FORMAT),
                Lack::of(LackOf::Fault(NodeFault::Truncate), NO_FORMAT),
                Lack::of(LackOf::Fault(NodeFault::Oversize), NO_FORMAT),
                Lack::of(LackOf::Fault(NodeFault::FeedReorder), NO_NOTIFICATIONS),
                Lack::of(LackOf::Fault(NodeFault::FeedGap), NO_NOTIFICATIONS),
                Lack::of(LackOf::Fault(NodeFault::Locked), "its wallet has no lock"),
                Lack::of(LackOf::Fault(NodeFault::Starting), "it is there at once and follows no chain"),
                Lack::of(LackOf::Resume, "its records end with it"),
            ]
        }
    }
}

impl BuyerRig for Loopback {
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn Payer>, OpenError>> {
        let payer: Arc<dyn Payer> = self.node.clone();
        Box::pin(async move { Ok(payer) })
    }

    fn open_with(&self, _: WrongAuth) -> Option<BoxFuture<'_, Result<Arc<dyn Payer>, OpenError>>> {
        None
    }

    fn invoice(&self, amount: MilliSat) -> Invoice {
        // It pays its own invoices only. What another node with the same keys issued is its own to it, and a stranger's
        // to its records.
        let seller = LoopbackNode::new(SeededEntropy::new(7).bytes32(), self.clock.as_fn());
        let preimage = Some(Preimage::from_bytes(self.entropy.bytes32()));
        let description = "weather".to_owned();
        let mut asked = seller.create(InvoiceRequest { amount, expiry_secs: 600, description, preimage });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match asked.as_mut().poll(&mut context) {
            std::task::Poll::Ready(invoice) => invoice.expect("an invoice"),
            std::task::Poll::Pending => unreachable!("a loopback node without faults answers at once"),
        }
    }

    fn arm(&self, fault: PayFault) -> bool {
        let knobs = self.node.knobs();
        match fault {
            PayFault::NoRoute => knobs.set_fee(MilliSat::from_msat(1_000_000_000)),
            PayFault::FeeAbove(least) => {
                knobs.set_fee(least.checked_add(MilliSat::from_msat(1)).expect("a small fee"));
            }
            PayFault::Hold => knobs.hold_payments(),
            PayFault::LoseAnswer => knobs.pay().set_times(1, Fault::Cut(When::After)),
            PayFault::InsufficientBalance => knobs.set_reserve(self.node.balance()),
            PayFault::NoPreimage => knobs.pay().set_times(1, Fault::Wrong(WrongPayment::NoPreimage)),
            PayFault::WrongPreimage => knobs.pay().set_times(1, Fault::Wrong(WrongPayment::WrongPreimage)),
            PayFault::Down
            | PayFault::Hang
            | PayFault::Garble
            | PayFault::Truncate
            | PayFault::Oversize
            | PayFault::Locked => return false,
        }
        true
    }

    fn heal(&self) {
        self.node.knobs().clear();
    }

    fn release(&self) {
        self.node.release_payments();
    }

    fn advance(&self, secs: u64) {
        self.clock.advance(secs);
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn payment_count(&self, payment_hash: PaymentHash) -> usize {
        // In flight or done, the money has left the wallet.
        let begun =
            self.node.payments().iter().filter(|payment| payment.payment_hash == payment_hash).count();
        begun + usize::from(self.node.is_in_flight(payment_hash))
    }

    fn lacks(&self) -> &'static [Lack] {
        const {
            &[
                Lack::of(LackOf::Auth(WrongAuth::Credential), NO_DOOR),
                Lack::of(LackOf::Auth(WrongAuth::Permission), NO_DOOR),
                Lack::of(LackOf::Auth(WrongAuth::Certificate), NO_DOOR),
                Lack::of(LackOf::PayFault(PayFault::Down), NO_DOOR),
                Lack::of(LackOf::PayFault(PayFault::Hang), "it has no deadlines: its callers have"),
                Lack::of(LackOf::PayFault(PayFault::Garble), NO_FORMAT),
                Lack::of(LackOf::PayFault(PayFault::Truncate), NO_FORMAT),
                Lack::of(LackOf::PayFault(PayFault::Oversize), NO_FORMAT),
                Lack::of(LackOf::PayFault(PayFault::Locked), "its wallet has no lock"),
            ]
        }
    }
}

testkit::seller_contract!(loopback);
testkit::buyer_contract!(loopback);
