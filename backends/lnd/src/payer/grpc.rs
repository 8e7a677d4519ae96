//! lnd's router over gRPC: `SendPaymentV2` and `TrackPaymentV2`
//! (<https://lightning.engineering/api-docs/api/lnd/router/>).

use super::{
    Order, Router, Trouble, UPDATE_BYTES_MAX,
    link::Link,
    messages::{SEND_PAYMENT, SendPaymentRequest, TRACK_PAYMENT, TrackPaymentRequest},
};
use crate::{
    address::Address,
    channel::{Raw, decode},
    credential,
    fault::CallError,
    messages::{GET_INFO, Method, Nothing},
};
use bytes::Bytes;
use http::uri::PathAndQuery;
use l402::PaymentHash;
use l402_lightning::{Network, OpenError, PaymentState, Settings, UnknownCause};
use l402_node_http::Fault;
use prost::Message;
use std::marker::PhantomData;
use tonic::{
    Request, Streaming,
    metadata::{Ascii, MetadataValue},
};

/// lnd's router over gRPC.
pub(super) struct GrpcRouter {
    link: Link,
    macaroon: MetadataValue<Ascii>,
}

impl GrpcRouter {
    /// From the settings `address`, `certificate` and `macaroon`.
    pub(super) fn new(settings: &Settings) -> Result<Self, OpenError> {
        let address = Address::from_settings(settings)?;
        let macaroon = credential::macaroon(settings, &address.enclosed)?;
        let tls = credential::tls(settings, &address)?;
        Ok(Self { link: Link::new(address, tls)?, macaroon })
    }

    /// Sends a message once, over a connection of its own, and begins to read the answer.
    async fn ask<Q, A>(&self, method: &Method<Q, A>, question: &Q) -> Result<Answers<A>, Trouble>
    where
        Q: Message,
        A: Message + Default,
    {
        let sender = self.link.connect().await?;
        let service = tower::service_fn(move |request| {
            let mut sender = sender.clone();
            async move { sender.send_request(request).await }
        });
        let mut client = tonic::client::Grpc::with_origin(service, self.link.origin())
            .max_decoding_message_size(UPDATE_BYTES_MAX);
        let mut request = Request::new(question.encode_to_vec());
        request.metadata_mut().insert("macaroon", self.macaroon.clone());
        client.ready().await.map_err(|_| Fault::NotConnected)?;
        let path = PathAndQuery::from_static(method.path);
        let stream = client.server_streaming(request, path, Raw).await;
        let stream = stream.map_err(|status| CallError::of_status(&status))?.into_inner();
        Ok(Answers { stream, name: method.answer, kind: PhantomData })
    }
}

/// The messages of an answer.
struct Answers<A> {
    stream: Streaming<Bytes>,
    name: &'static str,
    kind: PhantomData<fn() -> A>,
}

impl<A: Message + Default> Answers<A> {
    /// The next one; an answer that ends without one has been cut off.
    async fn next(&mut self) -> Result<A, Trouble> {
        let next = self.stream.message().await.map_err(|status| CallError::of_status(&status))?;
        Ok(decode(next.ok_or(Fault::Cut)?, self.name)?)
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
