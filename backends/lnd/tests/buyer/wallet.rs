//! The records of an lnd that pays: what it owes nobody, in memory.

use l402::{PaymentHash, Preimage};
use l402_lightning::{
    Invoice, InvoiceRequest, Invoicer as _, MilliSat, Network,
    loopback::{Clock, LoopbackNode},
};
use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};
use testkit::contract::PayFault;
use tokio::sync::watch;

/// What every route costs, in millisatoshis.
const ROUTE_COSTS: u64 = 21;
/// Seconds that invoices may be paid for.
const EXPIRY_SECS: u32 = 600;

/// A refusal, in lnd's words.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// The gRPC code.
    pub(crate) code: u16,
    /// The words.
    pub(crate) message: String,
}

impl Refused {
    pub(crate) fn new(code: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// How far a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    InFlight,
    Succeeded,
    /// The number of lnd's `PaymentFailureReason`.
    Failed(u8),
}

/// A payment.
#[derive(Clone, Debug)]
pub(crate) struct Payment {
    pub(crate) hash: PaymentHash,
    pub(crate) stage: Stage,
    /// Only of a payment that succeeded.
    pub(crate) preimage: Option<Preimage>,
    pub(crate) amount: u64,
    pub(crate) fee: u64,
}

/// What a buyer asked for last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) timeout_secs: i64,
    pub(crate) fee_limit_msat: i64,
}

/// How a call to pay is made to end otherwise than lnd's records say.
#[derive(Clone, Debug)]
pub(crate) struct Breakdown {
    pub(crate) refused: Refused,
    /// The payment has begun.
    pub(crate) begun: bool,
    /// One update has been told.
    pub(crate) told: bool,
}

/// The wallet.
pub(crate) struct Wallet {
    seller: LoopbackNode,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

struct State {
    now: u64,
    faults: Vec<PayFault>,
    held: Vec<PaymentHash>,
    payments: HashMap<PaymentHash, Payment>,
    moves: HashMap<PaymentHash, usize>,
    preimages: HashMap<PaymentHash, Preimage>,
    limits: Limits,
    breakdown: Option<Breakdown>,
    network: &'static str,
}

impl Wallet {
    pub(crate) fn new(now: u64) -> Arc<Self> {
        let clock: Clock = Arc::new(move || now);
        Arc::new(Self {
            seller: LoopbackNode::new([0x5e; 32], clock),
            state: Mutex::new(State {
                now,
                faults: Vec::new(),
                held: Vec::new(),
                payments: HashMap::new(),
                moves: HashMap::new(),
                preimages: HashMap::new(),
                limits: Limits::default(),
                breakdown: None,
                network: "regtest",
            }),
            changed: watch::Sender::new(()),
        })
    }

    /// A stranger's invoice.
    pub(crate) fn invoice(&self, amount: MilliSat) -> Invoice {
        let mut state = self.lock();
        let number = u8::try_from(state.preimages.len() + 1).expect("not that many invoices");
        let preimage = Preimage::from_bytes([number; 32]);
        let request = InvoiceRequest {
            amount,
            expiry_secs: EXPIRY_SECS,
            description: "of a stranger".to_owned(),
            preimage: Some(preimage.clone()),
        };
        // The loopback node writes an invoice without waiting for anything.
        let mut writing = pin!(self.seller.create(request));
        let Poll::Ready(invoice) = writing.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("an invoice at once")
        };
        let invoice = invoice.expect("an invoice");
        state.preimages.insert(invoice.payment_hash(), preimage);
        invoice
    }

    pub(crate) fn arm(&self, fault: PayFault) {
        self.lock().faults.push(fault);
    }

    pub(crate) fn heal(&self) {
        self.lock().faults.clear();
    }

    /// The next call to pay ends like this.
    pub(crate) fn break_down(&self, breakdown: Breakdown) {
        self.lock().breakdown = Some(breakdown);
    }

    /// What `GetInfo` says.
    pub(crate) fn set_network(&self, network: &'static str) {
        self.lock().network = network;
    }

    pub(crate) fn network(&self) -> &'static str {
        self.lock().network
    }

    pub(crate) fn advance(&self, secs: u64) {
        self.lock().now += secs;
    }

    pub(crate) fn now(&self) -> u64 {
        self.lock().now
    }

    pub(crate) fn moves(&self, hash: PaymentHash) -> usize {
        self.lock().moves.get(&hash).copied().unwrap_or_default()
    }

    pub(crate) fn limits(&self) -> Limits {
        self.lock().limits
    }

    /// Lets held payments succeed.
    pub(crate) fn release(&self) {
        let mut state = self.lock();
        for hash in std::mem::take(&mut state.held) {
            state.succeed(hash);
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// Whether this fault is armed; one that strikes once is taken.
    pub(crate) fn suffers(&self, fault: PayFault) -> bool {
        let mut state = self.lock();
        let Some(place) = state.faults.iter().position(|armed| armed.is_same_kind(fault)) else {
            return false;
        };
        let once = matches!(
            fault,
            PayFault::Hold | PayFault::LoseAnswer | PayFault::NoPreimage | PayFault::WrongPreimage
        );
        if once {
            state.faults.remove(place);
        }
        true
    }

    /// Whether the call that just came is to break down, and how.
    pub(crate) fn breakdown(&self) -> Option<Breakdown> {
        self.lock().breakdown.take()
    }

    /// Begins a payment, or refuses it. What can fail at once has failed afterwards.
    pub(crate) fn begin(&self, invoice: &str, limits: Limits) -> Result<PaymentHash, Refused> {
        let hold = self.suffers(PayFault::Hold);
        let mut state = self.lock();
        state.limits = limits;
        let words = |message: &str| Refused::new(2, message);
        let invoice = Invoice::parse(invoice).map_err(|error| words(&error.to_string()))?;
        let hash = invoice.payment_hash();
        if invoice.network() != Network::Regtest {
            return Err(words("invoice not for current active network 'regtest'"));
        }
        if invoice.is_expired(state.now) {
            return Err(words("invoice expired. Valid until 2026-01-01 00:00:00 +0000 UTC"));
        }
        let amount = invoice.amount().map(MilliSat::as_msat);
        let amount =
            amount.ok_or_else(|| words("amount must be specified when paying a zero amount invoice"))?;
        match state.payments.get(&hash).map(|payment| payment.stage) {
            Some(Stage::Succeeded) => return Err(Refused::new(6, "invoice is already paid")),
            Some(Stage::InFlight) => return Err(Refused::new(6, "payment is in transition")),
            Some(Stage::Failed(_)) | None => {}
        }
        let fee = state.cost();
        let failure = state.failure(fee, limits);
        let stage = failure.map_or(Stage::InFlight, Stage::Failed);
        state.payments.insert(hash, Payment { hash, stage, preimage: None, amount, fee });
        if failure.is_none() {
            *state.moves.entry(hash).or_default() += 1;
            if hold {
                state.held.push(hash);
            } else {
                state.succeed(hash);
            }
        }
        Ok(hash)
    }

    /// A payment as it stands.
    pub(crate) fn payment(&self, hash: PaymentHash) -> Option<Payment> {
        self.lock().payments.get(&hash).cloned()
    }

    /// A payment once it has ended.
    pub(crate) async fn end_of(&self, hash: PaymentHash) -> Payment {
        let mut news = self.changed.subscribe();
        loop {
            match self.payment(hash) {
                Some(payment) if payment.stage != Stage::InFlight => return payment,
                _ => news.changed().await.expect("the wallet is still there"),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panicked in here")
    }
}

impl State {
    fn cost(&self) -> u64 {
        let least = self.faults.iter().find_map(|fault| match fault {
            PayFault::FeeAbove(fee) => Some(fee.as_msat() + 1),
            _ => None,
        });
        least.unwrap_or(ROUTE_COSTS)
    }

    fn failure(&self, fee: u64, limits: Limits) -> Option<u8> {
        if self.faults.contains(&PayFault::InsufficientBalance) {
            Some(5)
        } else if self.faults.contains(&PayFault::NoRoute)
            || i128::from(fee) > i128::from(limits.fee_limit_msat)
        {
            Some(2)
        } else {
            None
        }
    }

    fn succeed(&mut self, hash: PaymentHash) {
        let preimage = self.preimages.get(&hash).cloned();
        if let Some(payment) = self.payments.get_mut(&hash) {
            (payment.stage, payment.preimage) = (Stage::Succeeded, preimage);
        }
    }
}
