//! A wallet: a loopback node behind a door with a lock, a line and a certificate, all of them pretended.

use crate::wallet_slips::Slip;
use l402::PaymentHash;
use l402_lightning::{
    BoxFuture, Invoice, InvoiceRequest, Invoicer as _, MilliSat, NotSent, OpenError, Paid, PayError,
    PayLimits, Payer, PayerCapabilities, PaymentState, UnknownCause, UntrustedText,
    loopback::{Fault, LoopbackNode, When, WrongPayment},
};
use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use testkit::{
    SeededEntropy, VirtualClock,
    contract::{BuyerRig, Lack, PayFault, WrongAuth},
};

/// The credential that no error may show.
const CREDENTIAL: &str = "0201036c6e64";

/// The wallet, as a rig.
pub(crate) struct Wallet(Arc<Service>);

pub(crate) struct Service {
    node: LoopbackNode,
    clock: VirtualClock,
    pub(crate) slip: Option<Slip>,
    line: Mutex<Option<PayFault>>,
    /// For a slip: payments that were made again.
    pub(crate) again: AtomicUsize,
}

impl Wallet {
    pub(crate) fn new(slip: Option<Slip>) -> Self {
        let clock = VirtualClock::standing_at(1_700_000_000);
        let node = LoopbackNode::new(SeededEntropy::new(3).bytes32(), clock.as_fn());
        let (line, again) = (Mutex::default(), AtomicUsize::new(0));
        Self(Arc::new(Service { node, clock, slip, line, again }))
    }

    fn opened(&self, wrong: Option<WrongAuth>) -> Result<Arc<dyn Payer>, OpenError> {
        let wrong = wrong.filter(|_| self.0.slip != Some(Slip::OpensForAnybody));
        let adapter = Adapter { service: Arc::clone(&self.0), wrong, own: Mutex::default() };
        // What is missing shows when it is to pay.
        if wrong != Some(WrongAuth::Permission) {
            adapter.ask().map_err(|error| match error {
                PayError::NotSent(why) => OpenError::NotReady(why),
                _ => OpenError::Garbled("status"),
            })?;
        }
        Ok(Arc::new(adapter))
    }
}

impl BuyerRig for Wallet {
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn Payer>, OpenError>> {
        Box::pin(std::future::ready(self.opened(None)))
    }

    fn open_with(&self, wrong: WrongAuth) -> Option<BoxFuture<'_, Result<Arc<dyn Payer>, OpenError>>> {
        Some(Box::pin(std::future::ready(self.opened(Some(wrong)))))
    }

    fn invoice(&self, amount: MilliSat) -> Invoice {
        let description = "weather".to_owned();
        let request = InvoiceRequest { amount, expiry_secs: 600, description, preimage: None };
        let mut asked = self.0.node.create(request);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match asked.as_mut().poll(&mut context) {
            std::task::Poll::Ready(invoice) => invoice.expect("an invoice"),
            std::task::Poll::Pending => unreachable!("a loopback node without faults answers at once"),
        }
    }

    fn arm(&self, fault: PayFault) -> bool {
        let knobs = self.0.node.knobs();
        match fault {
            PayFault::NoRoute => knobs.set_fee(MilliSat::from_msat(1_000_000_000)),
            PayFault::FeeAbove(least) => {
                knobs.set_fee(least.checked_add(MilliSat::from_msat(1)).expect("a small fee"));
            }
            PayFault::Hold => knobs.hold_payments(),
            PayFault::LoseAnswer => knobs.pay().set_times(1, Fault::Cut(When::After)),
            PayFault::InsufficientBalance => knobs.set_reserve(self.0.node.balance()),
            PayFault::NoPreimage => knobs.pay().set_times(1, Fault::Wrong(WrongPayment::NoPreimage)),
            PayFault::WrongPreimage => knobs.pay().set_times(1, Fault::Wrong(WrongPayment::WrongPreimage)),
            _ => *self.0.line.lock().expect("no panic under the lock") = Some(fault),
        }
        true
    }

    fn heal(&self) {
        self.0.node.knobs().clear();
        *self.0.line.lock().expect("no panic under the lock") = None;
    }

    fn release(&self) {
        self.0.node.release_payments();
    }

    fn advance(&self, secs: u64) {
        self.0.clock.advance(secs);
    }

    fn now(&self) -> u64 {
        self.0.clock.now()
    }

    fn payment_count(&self, payment_hash: PaymentHash) -> usize {
        let node = &self.0.node;
        let made = usize::from(node.payment(payment_hash).is_some() || node.is_in_flight(payment_hash));
        made + self.0.again.load(Ordering::SeqCst)
    }

    fn lacks(&self) -> &'static [Lack] {
        &[]
    }

    fn secrets(&self) -> Vec<String> {
        vec![CREDENTIAL.to_owned()]
    }
}

/// The adapter to the wallet.
pub(crate) struct Adapter {
    pub(crate) service: Arc<Service>,
    wrong: Option<WrongAuth>,
    own: Mutex<HashSet<PaymentHash>>,
}

impl Adapter {
    pub(crate) fn slips(&self, slip: Slip) -> bool {
        self.service.slip == Some(slip)
    }

    pub(crate) fn is_own(&self, payment_hash: PaymentHash) -> bool {
        self.own.lock().expect("no panic under the lock").contains(&payment_hash)
    }

    /// The way to the wallet: whether it lets a call through.
    fn ask(&self) -> Result<(), PayError> {
        let refusal = match (self.wrong, *self.service.line.lock().expect("no panic under the lock")) {
            (Some(WrongAuth::Certificate), _) => NotSent::Certificate,
            (Some(WrongAuth::Credential), _) if self.slips(Slip::ShowsTheCredential) => {
                let message = UntrustedText::new(format!("macaroon {CREDENTIAL} is unknown"));
                NotSent::Refused { message }
            }
            (Some(WrongAuth::Credential), _) => NotSent::Unauthorized,
            (Some(WrongAuth::Permission), _) => NotSent::Forbidden { permission: "offchain:write" },
            (None, Some(PayFault::Down)) => NotSent::Unreachable,
            (None, Some(PayFault::Locked)) => NotSent::Locked,
            _ => return Ok(()),
        };
        Err(PayError::NotSent(refusal))
    }

    /// The way back from the wallet, after whatever it did.
    async fn hear(&self) -> Result<(), PayError> {
        let fault = *self.service.line.lock().expect("no panic under the lock");
        Err(PayError::OutcomeUnknown(match fault {
            Some(PayFault::Hang) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                UnknownCause::Timeout
            }
            Some(PayFault::Garble) => UnknownCause::Garbled { field: "JSON" },
            Some(PayFault::Oversize) => UnknownCause::Garbled { field: "size" },
            Some(PayFault::Truncate) => UnknownCause::Cut,
            _ => return Ok(()),
        }))
    }

    /// Pays once, and believes nothing.
    async fn pay_once(&self, invoice: &Invoice, limits: PayLimits) -> Result<Paid, PayError> {
        self.ask()?;
        self.own.lock().expect("no panic under the lock").insert(invoice.payment_hash());
        let paid = self.service.node.pay(invoice, limits).await;
        self.hear().await?;
        let paid = paid?;
        if paid.preimage.payment_hash() != invoice.payment_hash() {
            return Err(PayError::OutcomeUnknown(UnknownCause::WrongPreimage));
        }
        Ok(paid)
    }

    async fn state(&self, payment_hash: PaymentHash) -> Result<PaymentState, PayError> {
        self.ask()?;
        let state = Payer::lookup(&self.service.node, payment_hash).await;
        self.hear().await?;
        state
    }
}

impl Payer for Adapter {
    fn capabilities(&self) -> PayerCapabilities {
        let returns_preimage = !self.slips(Slip::KeepsThePreimage);
        PayerCapabilities { returns_preimage, ..Payer::capabilities(&self.service.node) }
    }

    fn pay<'a>(&'a self, invoice: &'a Invoice, limits: PayLimits) -> BoxFuture<'a, Result<Paid, PayError>> {
        Box::pin(async move {
            let any_fee = PayLimits { fee_max: MilliSat::from_msat(u64::MAX), ..limits };
            let limits = if self.slips(Slip::IgnoresTheFeeLimit) { any_fee } else { limits };
            self.paid_with_slips(invoice, self.pay_once(invoice, limits).await).await
        })
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<PaymentState, PayError>> {
        Box::pin(async move { self.state_with_slips(payment_hash, self.state(payment_hash).await) })
    }
}
