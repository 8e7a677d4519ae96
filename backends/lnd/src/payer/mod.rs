//! lnd as the node that pays: what its router's answers mean for the money, whichever way they travel.
//!
//! Rules:
//! - A payment is asked for once, over a connection made for it: if there is none, nothing was asked. (One that is kept
//!   may have died unseen.)
//! - "Nothing was paid" is said where lnd says so: by a payment that failed, by a refusal that it makes before it begins,
//!   or by not knowing the payment when it is asked by hash. Everything else leaves the outcome unknown.
//! - Every call has a deadline.

mod grpc;
mod messages;
mod refusal;

pub(crate) use refusal::Refusal;

use crate::{fault::CallError, rest::RestRouter};
use grpc::GrpcRouter;
use l402::PaymentHash;
use l402_lightning::{
    BoxFuture, Invoice, Network, NotSent, OpenError, Paid, PayError, PayLimits, Payer, PayerCapabilities,
    PayerOpening, PaymentState, Settings, UnknownCause,
};
use l402_node_http::Fault;
use refusal::Meaning;
use std::{future::Future, sync::Arc, time::Duration};

/// Longest wait for the answer to a question; lnd answers them from its own records.
pub(crate) const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer than the payment's own timeout its answer may take, at most.
const ANSWER_MARGIN_MAX: Duration = Duration::from_secs(2);
/// Largest update of a payment that is read, in bytes: one payment with all its routes.
pub(crate) const UPDATE_BYTES_MAX: usize = 1024 * 1024;

/// The rights that the calls take, in the words of `lncli bakemacaroon`.
const SEND_PERMISSION: &str = "offchain:write (SendPaymentV2)";
const TRACK_PERMISSION: &str = "offchain:read (TrackPaymentV2)";
const INFO_PERMISSION: &str = "info:read (GetInfo), unless `network=` says the network";

/// Opens lnd as a wallet over the transport that the settings name, and asks it whether it can pay: it is reachable,
/// takes the credential, can be asked by hash, and its network is known.
pub(crate) fn open(settings: Settings) -> PayerOpening {
    Box::pin(async move {
        match settings.text("transport") {
            Some("rest") => LndPayer::open(RestRouter::new(&settings)?, settings.network).await,
            Some("grpc") | None => LndPayer::open(GrpcRouter::new(&settings)?, settings.network).await,
            Some(_) => Err(OpenError::Form { setting: "transport", expected: "`grpc` or `rest`" }),
        }
    })
}

/// The part of lnd that pays, over one transport. Its futures have no deadline of their own.
pub(crate) trait Router: Send + Sync + 'static {
    /// Has lnd pay, once, and waits for the end: the state is `Succeeded` or `Failed`.
    fn send(&self, order: &Order<'_>) -> impl Future<Output = Result<PaymentState, Trouble>> + Send;

    /// Asks what became of a payment, as it stands.
    fn track(&self, hash: PaymentHash) -> impl Future<Output = Result<PaymentState, Trouble>> + Send;

    /// Asks which network lnd is on; `None` if it is none that is known here.
    fn network(&self) -> impl Future<Output = Result<Option<Network>, Trouble>> + Send;
}

/// One payment to make, in lnd's units.
pub(crate) struct Order<'a> {
    /// What to pay.
    pub(crate) invoice: &'a Invoice,
    /// How long lnd may go on trying, in seconds; not 0, which lnd reads as its own default.
    pub(crate) timeout_secs: i32,
    /// Most that routing may cost, in millisatoshis; always sent, because lnd reads its absence as 0.
    pub(crate) fee_max_msat: i64,
}

impl<'a> Order<'a> {
    fn new(invoice: &'a Invoice, limits: PayLimits) -> Self {
        Self {
            invoice,
            timeout_secs: i32::try_from(limits.timeout.as_secs()).unwrap_or(i32::MAX).max(1),
            fee_max_msat: i64::try_from(limits.fee_max.as_msat()).unwrap_or(i64::MAX),
        }
    }
}

/// Why a call to lnd's router did not end as it should.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// lnd refused the call before it told of any payment.
    Refused(Refusal),
    /// Anything else, and what it means for a payment that was asked for.
    Other(PayError),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Other(fault.into())
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Fault(fault) => fault.into(),
            CallError::Refused { code, message } => Self::Refused(Refusal::new(code, message)),
        }
    }
}

impl From<UnknownCause> for Trouble {
    fn from(cause: UnknownCause) -> Self {
        Self::Other(PayError::OutcomeUnknown(cause))
    }
}

impl Trouble {
    /// Why the wallet cannot be opened.
    fn closes(self, permission: &'static str) -> OpenError {
        match self {
            Self::Refused(refusal) => match refusal.meaning(permission) {
                Meaning::NotSent(why) => OpenError::NotReady(why),
                _ => OpenError::NotReady(NotSent::Refused { message: refusal.words() }),
            },
            Self::Other(PayError::NotSent(why)) => OpenError::NotReady(why),
            Self::Other(PayError::OutcomeUnknown(UnknownCause::Garbled { field })) => {
                OpenError::Garbled(field)
            }
            Self::Other(PayError::OutcomeUnknown(UnknownCause::Timeout | UnknownCause::Cut)) => {
                OpenError::NotReady(NotSent::Unreachable)
            }
            Self::Other(_) => OpenError::Garbled("its state"),
        }
    }
}

/// lnd as a wallet.
struct LndPayer<R> {
    router: R,
    network: Network,
}

impl<R: Router> LndPayer<R> {
    async fn open(router: R, named: Option<Network>) -> Result<Arc<dyn Payer>, OpenError> {
        // First whether the credential is good at all: a locked or starting node is then said to be that.
        question(ask_permission(&router), TRACK_PERMISSION).await?;
        let network = match named {
            Some(network) => network,
            None => question(router.network(), INFO_PERMISSION)
                .await?
                .ok_or(OpenError::Garbled("the network (give it as `network=`)"))?,
        };
        Ok(Arc::new(Self { router, network }))
    }

    async fn send(&self, order: &Order<'_>) -> Result<Paid, PayError> {
        let hash = order.invoice.payment_hash();
        match self.router.send(order).await {
            Ok(PaymentState::Succeeded(paid)) if paid.preimage.payment_hash() == hash => Ok(paid),
            Ok(PaymentState::Succeeded(_)) => Err(PayError::OutcomeUnknown(UnknownCause::WrongPreimage)),
            Ok(PaymentState::Failed(reason)) => Err(PayError::Failed(reason)),
            Ok(_) => Err(PayError::OutcomeUnknown(UnknownCause::Garbled { field: "status" })),
            Err(Trouble::Refused(refusal)) => Err(self.weigh(&refusal, hash).await),
            Err(Trouble::Other(error)) => Err(error),
        }
    }

    /// What a refusal means for the payment. lnd has no code for "not begun": where its words are not known, it is asked
    /// whether it knows the payment. (A router that is shutting down ends a payment that has begun with such words.)
    async fn weigh(&self, refusal: &Refusal, hash: PaymentHash) -> PayError {
        match refusal.meaning(SEND_PERMISSION) {
            Meaning::AlreadyKnown => PayError::AlreadyKnown,
            Meaning::NotSent(why) => PayError::NotSent(why),
            Meaning::Broken => PayError::OutcomeUnknown(UnknownCause::WalletFailed),
            Meaning::Unlisted => match self.router.track(hash).await {
                Ok(PaymentState::Unknown | PaymentState::Failed(_)) => {
                    PayError::NotSent(NotSent::Refused { message: refusal.words() })
                }
                Ok(_) => PayError::AlreadyKnown,
                Err(_) => PayError::OutcomeUnknown(UnknownCause::WalletFailed),
            },
        }
    }
}

impl<R: Router> Payer for LndPayer<R> {
    fn capabilities(&self) -> PayerCapabilities {
        PayerCapabilities {
            network: Some(self.network),
            fee_limit: true,
            timeout: true,
            returns_preimage: true,
            lookup_by_hash: true,
        }
    }

    fn pay<'a>(&'a self, invoice: &'a Invoice, limits: PayLimits) -> BoxFuture<'a, Result<Paid, PayError>> {
        let margin = (limits.timeout / 4).min(ANSWER_MARGIN_MAX);
        Box::pin(async move {
            if invoice.amount().is_none() {
                return Err(PayError::NotSent(NotSent::Amountless));
            }
            if invoice.network() != self.network {
                return Err(PayError::NotSent(NotSent::OtherNetwork));
            }
            let order = Order::new(invoice, limits);
            tokio::time::timeout(limits.timeout.saturating_add(margin), self.send(&order))
                .await
                .unwrap_or(Err(PayError::OutcomeUnknown(UnknownCause::Timeout)))
        })
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<PaymentState, PayError>> {
        Box::pin(async move {
            match tokio::time::timeout(QUESTION_TIMEOUT, self.router.track(payment_hash)).await {
                Ok(Ok(state)) => Ok(state),
                Ok(Err(trouble)) => Err(PayError::OutcomeUnknown(no_answer(&trouble))),
                Err(_) => Err(PayError::OutcomeUnknown(UnknownCause::Timeout)),
            }
        })
    }
}

/// Asks about a payment that cannot exist: a wallet that may not answer this could never be asked after a crash.
async fn ask_permission<R: Router>(router: &R) -> Result<(), Trouble> {
    match router.track(PaymentHash::from_bytes([0; 32])).await? {
        PaymentState::Unknown => Ok(()),
        _ => Err(UnknownCause::Garbled { field: "a payment that cannot exist" }.into()),
    }
}

/// Waits for the answer to one question of an opening.
async fn question<T>(
    answer: impl Future<Output = Result<T, Trouble>>,
    permission: &'static str,
) -> Result<T, OpenError> {
    match tokio::time::timeout(QUESTION_TIMEOUT, answer).await {
        Ok(answer) => answer.map_err(|trouble| trouble.closes(permission)),
        Err(_) => Err(OpenError::NotReady(NotSent::Unreachable)),
    }
}

/// Why a question about a payment has no answer. That this call moved no money says nothing of the payment, so it is
/// never [`PayError::NotSent`].
fn no_answer(trouble: &Trouble) -> UnknownCause {
    match trouble {
        Trouble::Other(PayError::OutcomeUnknown(cause)) => *cause,
        Trouble::Other(PayError::NotSent(NotSent::Unreachable)) => UnknownCause::Cut,
        Trouble::Other(_) | Trouble::Refused(_) => UnknownCause::WalletFailed,
    }
}
