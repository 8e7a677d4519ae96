//! lnd's router over gRPC: `SendPaymentV2` and `TrackPaymentV2`
//! (<https://lightning.engineering/api-docs/api/lnd/router/>).

use super::{
    Order, Router, Trouble,
    messages::{SEND_PAYMENT, SendPaymentRequest, TRACK_PAYMENT, TrackPaymentRequest},
};
use crate::{
    call::Answers,
    link::Link,
    messages::{GET_INFO, Method, Nothing},
};
use l402::PaymentHash;
use l402_lightning::{Network, OpenError, PaymentState, Settings, UnknownCause};
use l402_node_http::Fault;
use prost::Message;

/// lnd's router over gRPC.
pub(super) struct GrpcRouter {
    link: Link,
}

impl GrpcRouter {
    /// From the settings `address`, `certificate` and `macaroon`.
    pub(super) fn new(settings: &Settings) -> Result<Self, OpenError> {
        Ok(Self { link: Link::open(settings)? })
    }

    /// Asks once, over a connection of its own, and begins to read the answers.
    async fn ask<Q, A>(&self, method: &Method<Q, A>, question: &Q) -> Result<Updates<A>, Trouble>
    where
        Q: Message,
        A: Message + Default,
    {
        let question = self.link.question(method, question)?;
        Ok(Updates(question.ask(self.link.connect().await?).await?))
    }
}

/// What lnd tells of a payment.
struct Updates<A>(Answers<A>);

impl<A: Message + Default> Updates<A> {
    /// The next one; an answer that ends without one has been cut off.
    async fn next(&mut self) -> Result<A, Trouble> {
        Ok(self.0.next().await?.ok_or(Fault::Cut)?)
    }
}

impl Router for GrpcRouter {
    async fn send(&self, order: &Order<'_>) -> Result<PaymentState, Trouble> {
        let request = SendPaymentRequest {
            payment_request: order.invoice.text().to_owned(),
            timeout_seconds: order.timeout_secs,
            fee_limit_msat: order.fee_max_msat,
            no_inflight_updates: false,
        };
        let hash = order.invoice.payment_hash();
        let mut updates = self.ask(&SEND_PAYMENT, &request).await?;
        let mut begun = false;
        loop {
            match updates.next().await {
                Ok(update) => match update.state(hash)? {
                    PaymentState::InFlight => begun = true,
                    end => return Ok(end),
                },
                Err(Trouble::Refused(refusal)) if begun && !refusal.says_already_known() => {
                    return Err(UnknownCause::WalletFailed.into());
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    async fn track(&self, hash: PaymentHash) -> Result<PaymentState, Trouble> {
        let request =
            TrackPaymentRequest { payment_hash: hash.as_bytes().to_vec(), no_inflight_updates: false };
        let first = async { self.ask(&TRACK_PAYMENT, &request).await?.next().await };
        match first.await {
            Ok(update) => update.state(hash),
            Err(Trouble::Refused(refusal)) if refusal.says_not_found() => Ok(PaymentState::Unknown),
            Err(trouble) => Err(trouble),
        }
    }

    async fn network(&self) -> Result<Option<Network>, Trouble> {
        let info = self.ask(&GET_INFO, &Nothing {}).await?.next().await?;
        let chain = info.chains.first().ok_or(Fault::Garbled("chains"))?;
        Ok(chain.network.parse().ok())
    }
}
