//! Whatever is asked of the loopback node in whatever order, it says what a few lines of model say.

#![expect(clippy::expect_used, clippy::panic, reason = "a step that fails ends the test")]

use l402::{PaymentHash, Preimage};
use l402_lightning::{
    Expected, FailureReason, Invoice, InvoiceRequest, InvoiceState, Invoicer, InvoicerError, MilliSat,
    Network, NotSent, PayError, PayLimits, Payer, PaymentState, SETTLEMENTS_MAX, Terms, check,
    loopback::{LoopbackNode, WALLET_START},
};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

const START: u64 = 1_700_000_000;
const EXPIRY_SECS: u32 = 600;
const LIMITS: PayLimits = PayLimits { fee_max: MilliSat::ZERO, timeout: Duration::from_mins(1) };

/// One thing that is done to the node. A slot is a preimage.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create {
        slot: u8,
        msat: u64,
    },
    Pay {
        slot: u8,
    },
    Cancel {
        slot: u8,
    },
    Look {
        slot: u8,
    },
    Wait {
        secs: u64,
    },
    ReadFeed,
    /// A gateway that restarts, with its cursor or without.
    Restart {
        keeps_cursor: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let slot = 0_u8..6;
    prop_oneof![
        4 => (slot.clone(), prop::sample::select(vec![1_000, 10_500]))
            .prop_map(|(slot, msat)| Step::Create { slot, msat }),
        4 => slot.clone().prop_map(|slot| Step::Pay { slot }),
        2 => slot.clone().prop_map(|slot| Step::Cancel { slot }),
        3 => slot.prop_map(|slot| Step::Look { slot }),
        2 => (0_u64..400).prop_map(|secs| Step::Wait { secs }),
        2 => Just(Step::ReadFeed),
        1 => any::<bool>().prop_map(|keeps_cursor| Step::Restart { keeps_cursor }),
    ]
}

/// What should be so.
#[derive(Default)]
struct Model {
    invoices: BTreeMap<u8, Sold>,
    /// The slots that were paid, in order.
    paid: Vec<u8>,
    now: u64,
    /// What the gateway has read of the feed.
    cursor: usize,
}

struct Sold {
    invoice: Invoice,
    msat: u64,
    cancelled: bool,
}

impl Model {
    fn state(&self, slot: u8) -> InvoiceState {
        match self.invoices.get(&slot) {
            None => InvoiceState::Unknown,
            Some(sold) if self.paid.contains(&slot) => {
                InvoiceState::Settled { amount: MilliSat::from_msat(sold.msat) }
            }
            Some(sold) if sold.cancelled => InvoiceState::Cancelled,
            Some(sold) if sold.invoice.is_expired(self.now) => InvoiceState::Expired,
            Some(_) => InvoiceState::Open,
        }
    }

    /// How a payment should end.
    fn payment(&self, slot: u8, sold: &Sold) -> Result<(), PayError> {
        if sold.invoice.is_expired(self.now) {
            Err(PayError::NotSent(NotSent::Expired))
        } else if self.paid.contains(&slot) {
            Err(PayError::AlreadyKnown)
        } else if sold.cancelled {
            Err(PayError::Failed(FailureReason::IncorrectPaymentDetails))
        } else {
            Ok(())
        }
    }
}

struct World {
    node: LoopbackNode,
    clock: Arc<AtomicU64>,
    model: Model,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(AtomicU64::new(START));
        let now = Arc::clone(&clock);
        let node = LoopbackNode::new([7; 32], Arc::new(move || now.load(Ordering::Relaxed)));
        Self { node, clock, model: Model { now: START, ..Model::default() } }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Create { slot, msat } => self.create(slot, msat),
            Step::Pay { slot } => self.pay(slot),
            Step::Cancel { slot } => self.cancel(slot),
            Step::Look { slot } => self.look(slot),
            Step::Wait { secs } => {
                self.model.now += secs;
                self.clock.store(self.model.now, Ordering::Relaxed);
            }
            Step::ReadFeed => self.read_feed(),
            Step::Restart { keeps_cursor } => {
                self.model.cursor *= usize::from(keeps_cursor);
            }
        }
    }

    fn create(&mut self, slot: u8, msat: u64) {
        let request = InvoiceRequest {
            amount: MilliSat::from_msat(msat),
            expiry_secs: EXPIRY_SECS,
            description: "weather".to_owned(),
            preimage: Some(preimage(slot)),
        };
        let answer = at_once(self.node.create(request.clone()));
        match self.model.invoices.get(&slot) {
            Some(sold) if sold.msat == msat && self.model.state(slot) == InvoiceState::Open => {
                assert_eq!(answer, Ok(sold.invoice.clone()));
            }
            Some(_) => assert_eq!(answer, Err(InvoicerError::Duplicate)),
            None => {
                let invoice = answer.expect("an invoice");
                let (network, now) = (Network::Regtest, self.model.now);
                let expected = Expected { request: &request, network, now, terms: Terms::Caller };
                assert_eq!(check(&invoice, &expected), Ok(()));
                self.model.invoices.insert(slot, Sold { invoice, msat, cancelled: false });
            }
        }
    }

    fn pay(&mut self, slot: u8) {
        let Some(sold) = self.model.invoices.get(&slot) else { return };
        let answer = at_once(self.node.pay(&sold.invoice, LIMITS));
        let expected = self.model.payment(slot, sold);
        assert_eq!(answer.as_ref().map(drop).map_err(Clone::clone), expected);
        if let Ok(paid) = answer {
            assert_eq!(paid.preimage.as_bytes(), preimage(slot).as_bytes());
            assert_eq!((paid.amount.as_msat(), paid.fee), (sold.msat, MilliSat::ZERO));
            self.model.paid.push(slot);
        }
    }

    fn cancel(&mut self, slot: u8) {
        let answer = at_once(self.node.cancel(hash(slot)));
        if self.model.paid.contains(&slot) {
            assert!(matches!(answer, Err(InvoicerError::Refused { .. })), "{answer:?}");
        } else {
            assert_eq!(answer, Ok(()));
            if let Some(sold) = self.model.invoices.get_mut(&slot) {
                sold.cancelled = true;
            }
        }
    }

    fn look(&self, slot: u8) {
        let state = self.model.state(slot);
        assert_eq!(at_once(Invoicer::lookup(&self.node, hash(slot))), Ok(state));
        let open = self.model.invoices.get(&slot).filter(|_| state == InvoiceState::Open);
        let handed_out = at_once(self.node.open_invoice(hash(slot)));
        assert_eq!(handed_out, Ok(open.map(|sold| sold.invoice.clone())));
        let payment = at_once(Payer::lookup(&self.node, hash(slot))).expect("an answer");
        let is_paid = matches!(payment, PaymentState::Succeeded(_));
        assert_eq!(is_paid, self.model.paid.contains(&slot), "{payment:?}");
        assert!(!matches!(payment, PaymentState::InFlight));
    }

    fn read_feed(&mut self) {
        let expected: Vec<_> = self.model.paid.iter().enumerate().skip(self.model.cursor).collect();
        let mut told = pin!(self.node.settlements(self.model.cursor as u64));
        let told = match told.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Vec::new(),
            Poll::Ready(told) => {
                let told = told.expect("settlements");
                assert!(!told.is_empty() && told.len() <= SETTLEMENTS_MAX);
                told
            }
        };
        assert_eq!(told.len(), expected.len());
        for (settlement, (place, slot)) in told.iter().zip(expected) {
            assert_eq!(settlement.index, place as u64 + 1);
            assert_eq!(settlement.payment_hash, hash(*slot));
            assert_eq!(settlement.amount.as_msat(), self.model.invoices[slot].msat);
        }
        self.model.cursor = self.model.paid.len();
    }

    /// What holds after every step.
    fn check_sums(&self) {
        let paid: u64 = self.model.paid.iter().map(|slot| self.model.invoices[slot].msat).sum();
        assert_eq!(self.node.balance().as_msat(), WALLET_START.as_msat() - paid);
        assert_eq!(self.node.issued_invoices(), self.model.invoices.len() as u64);
        let hashes: Vec<_> = self.node.payments().iter().map(|payment| payment.payment_hash).collect();
        assert_eq!(hashes, self.model.paid.iter().map(|slot| hash(*slot)).collect::<Vec<_>>());
    }
}

fn preimage(slot: u8) -> Preimage {
    Preimage::from_bytes([slot + 1; 32])
}

fn hash(slot: u8) -> PaymentHash {
    preimage(slot).payment_hash()
}

/// A node without faults answers at once.
fn at_once<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("the node did not answer at once"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_node_is_as_its_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _timers = runtime.enter();
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.check_sums();
        }
        for slot in 0..6 {
            world.look(slot);
        }
        world.read_feed();
    }
}
