//! The messages of `routerrpc.Router` in lnd 0.21, as far as a payer needs them.
//! <https://github.com/lightningnetwork/lnd/blob/v0.21.2-beta/lnrpc/routerrpc/router.proto> and `lightning.proto`.

use super::{SEND_PERMISSION, TRACK_PERMISSION, Trouble};
use crate::messages::Method;
use l402::{PaymentHash, Preimage};
use l402_lightning::{FailureReason, MilliSat, Paid, PaymentState, UnknownCause};
use l402_node_http::Fault;
use std::fmt;

/// Pays, and tells how it goes.
pub(super) const SEND_PAYMENT: Method<SendPaymentRequest, Payment> =
    Method::new("/routerrpc.Router/SendPaymentV2", SEND_PERMISSION, "routerrpc", "Payment");
/// Tells how a payment goes.
pub(super) const TRACK_PAYMENT: Method<TrackPaymentRequest, Payment> =
    Method::new("/routerrpc.Router/TrackPaymentV2", TRACK_PERMISSION, "routerrpc", "Payment");

/// `routerrpc.SendPaymentRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct SendPaymentRequest {
    #[prost(string, tag = "5")]
    pub(super) payment_request: String,
    #[prost(int32, tag = "6")]
    pub(super) timeout_seconds: i32,
    #[prost(int64, tag = "13")]
    pub(super) fee_limit_msat: i64,
    #[prost(bool, tag = "18")]
    pub(super) no_inflight_updates: bool,
}

/// `routerrpc.TrackPaymentRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct TrackPaymentRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) payment_hash: Vec<u8>,
    #[prost(bool, tag = "2")]
    pub(super) no_inflight_updates: bool,
}

/// `lnrpc.Payment`: one update.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct Payment {
    #[prost(string, tag = "1")]
    pub(super) hash: String,
    #[prost(string, tag = "6")]
    pub(super) preimage: String,
    #[prost(int64, tag = "8")]
    pub(super) value_msat: i64,
    #[prost(int32, tag = "10")]
    pub(super) status: i32,
    #[prost(int64, tag = "12")]
    pub(super) fee_msat: i64,
    #[prost(int32, tag = "16")]
    pub(super) failure_reason: i32,
}

impl fmt::Debug for Payment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payment").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Payment {
    /// What the update says of the payment with `hash`.
    pub(super) fn state(&self, hash: PaymentHash) -> Result<PaymentState, Trouble> {
        if self.hash.parse() != Ok(hash) {
            return Err(Fault::Garbled("payment_hash").into());
        }
        // `Payment.PaymentStatus`
        match self.status {
            1 | 4 => Ok(PaymentState::InFlight),
            2 => self.paid().map(PaymentState::Succeeded),
            3 => Ok(PaymentState::Failed(self.reason())),
            _ => Err(Fault::Garbled("status").into()),
        }
    }

    fn paid(&self) -> Result<Paid, Trouble> {
        let msat = |value: i64, field| {
            u64::try_from(value).map(MilliSat::from_msat).map_err(|_| Fault::Garbled(field))
        };
        Ok(Paid {
            preimage: preimage(&self.preimage)?,
            amount: msat(self.value_msat, "value_msat")?,
            fee: msat(self.fee_msat, "fee_msat")?,
        })
    }

    /// `PaymentFailureReason`
    fn reason(&self) -> FailureReason {
        match self.failure_reason {
            1 => FailureReason::Timeout,
            2 => FailureReason::NoRoute,
            4 => FailureReason::IncorrectPaymentDetails,
            5 => FailureReason::InsufficientBalance,
            6 => FailureReason::Cancelled,
            _ => FailureReason::Other,
        }
    }
}

/// A preimage in hex. lnd writes 64 zeros where there is none.
fn preimage(text: &str) -> Result<Preimage, Trouble> {
    if text.bytes().all(|digit| digit == b'0') {
        return Err(UnknownCause::NoPreimage.into());
    }
    Preimage::from_hex(text.as_bytes()).map_err(|_| Fault::Garbled("payment_preimage").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use l402_lightning::PayError;
    use prost::Message as _;

    fn payment() -> Payment {
        Payment {
            hash: "ab".repeat(32),
            preimage: "cd".repeat(32),
            value_msat: 1000,
            status: 2,
            fee_msat: 7,
            failure_reason: 0,
        }
    }

    fn state(payment: &Payment) -> Result<PaymentState, Trouble> {
        payment.state(PaymentHash::from_bytes([0xab; 32]))
    }

    /// Field numbers, wire types and bytes as protobuf's encoding prescribes for router.proto.
    #[test]
    fn requests_have_lnds_field_numbers() {
        let send = SendPaymentRequest {
            payment_request: "ln".to_owned(),
            timeout_seconds: 60,
            fee_limit_msat: 300,
            no_inflight_updates: true,
        };
        assert_eq!(send.encode_to_vec(), [0x2a, 2, b'l', b'n', 0x30, 60, 0x68, 0xac, 2, 0x90, 1, 1]);
        let track = TrackPaymentRequest { payment_hash: vec![7; 32], no_inflight_updates: false };
        assert_eq!(track.encode_to_vec()[..3], [0x0a, 32, 7]);
    }

    #[test]
    fn an_update_is_read_by_its_status() {
        let Ok(PaymentState::Succeeded(paid)) = state(&payment()) else { panic!() };
        assert_eq!(paid.preimage.as_bytes(), &[0xcd; 32]);
        assert_eq!((paid.amount.as_msat(), paid.fee.as_msat()), (1000, 7));
        for status in [1, 4] {
            assert!(matches!(state(&Payment { status, ..payment() }), Ok(PaymentState::InFlight)));
        }
        for (reason, expected) in [
            (1, FailureReason::Timeout),
            (2, FailureReason::NoRoute),
            (3, FailureReason::Other),
            (4, FailureReason::IncorrectPaymentDetails),
            (5, FailureReason::InsufficientBalance),
            (6, FailureReason::Cancelled),
        ] {
            let failed = Payment { status: 3, failure_reason: reason, ..payment() };
            assert!(matches!(state(&failed), Ok(PaymentState::Failed(reason)) if reason == expected));
        }
    }

    #[test]
    fn a_preimage_is_not_printed() {
        assert!(!format!("{:?}", payment()).contains("cdcd"));
    }

    #[test]
    fn a_wrong_field_is_named() {
        let field = |payment: Payment| match state(&payment) {
            Err(Trouble::Other(PayError::OutcomeUnknown(UnknownCause::Garbled { field }))) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(Payment { status: 0, ..payment() }), "status");
        assert_eq!(field(Payment { hash: "00".repeat(32), ..payment() }), "payment_hash");
        assert_eq!(field(Payment { value_msat: -1, ..payment() }), "value_msat");
        assert_eq!(field(Payment { fee_msat: -1, ..payment() }), "fee_msat");
        assert_eq!(field(Payment { preimage: "cd".repeat(31), ..payment() }), "payment_preimage");
        for none in [String::new(), "00".repeat(32)] {
            let error = state(&Payment { preimage: none, ..payment() }).unwrap_err();
            assert!(matches!(error, Trouble::Other(PayError::OutcomeUnknown(UnknownCause::NoPreimage))));
        }
    }
}
