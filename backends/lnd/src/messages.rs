//! The part of lnd's gRPC interface that a seller uses: its methods, and of their messages the fields that matter here.
//!
//! Names and numbers are those of lnd 0.21 (<https://github.com/lightningnetwork/lnd/blob/v0.21.2-beta/lnrpc/>:
//! `lightning.proto`, `stateservice.proto`, `invoicesrpc/invoices.proto`).

use l402::PaymentHash;
use l402_lightning::{MilliSat, Settlement};
use l402_node_http::Fault;
use prost::Message;
use std::{fmt, marker::PhantomData};

/// A method of lnd's interface that takes a `Q` and answers with an `A`, or with any number of them.
pub(crate) struct Method<Q, A> {
    /// Its path in HTTP.
    pub(crate) path: &'static str,
    /// The right that it takes, in the words of `lncli bakemacaroon`.
    pub(crate) permission: &'static str,
    /// The service that it is part of, as lnd's build tags name it.
    pub(crate) service: &'static str,
    /// The name of its answer, for errors.
    pub(crate) answer: &'static str,
    types: PhantomData<fn(Q) -> A>,
}

impl<Q, A> Method<Q, A> {
    /// A method.
    pub(crate) const fn new(
        path: &'static str,
        permission: &'static str,
        service: &'static str,
        answer: &'static str,
    ) -> Self {
        Self { path, permission, service, answer, types: PhantomData }
    }
}

/// Issues an invoice.
pub(crate) const ADD_INVOICE: Method<AddInvoice, AddedInvoice> =
    Method::new("/lnrpc.Lightning/AddInvoice", "invoices:write (AddInvoice)", "lnrpc", "AddInvoiceResponse");
/// Finds an invoice by its hash.
pub(crate) const LOOKUP_INVOICE: Method<InvoiceHash, Invoice> =
    Method::new("/lnrpc.Lightning/LookupInvoice", "invoices:read (LookupInvoice)", "lnrpc", "Invoice");
/// Pages through all invoices.
pub(crate) const LIST_INVOICES: Method<InvoicePage, InvoiceList> = Method::new(
    "/lnrpc.Lightning/ListInvoices",
    "invoices:read (ListInvoices)",
    "lnrpc",
    "ListInvoiceResponse",
);
/// Tells of invoices as they are added and settled.
pub(crate) const SUBSCRIBE_INVOICES: Method<InvoiceSubscription, Invoice> = Method::new(
    "/lnrpc.Lightning/SubscribeInvoices",
    "invoices:read (SubscribeInvoices)",
    "lnrpc",
    "Invoice",
);
/// Withdraws an invoice.
pub(crate) const CANCEL_INVOICE: Method<CancelInvoice, Nothing> = Method::new(
    "/invoicesrpc.Invoices/CancelInvoice",
    "invoices:write (CancelInvoice)",
    "invoicesrpc",
    "CancelInvoiceResp",
);
/// Tells of the node.
pub(crate) const GET_INFO: Method<Nothing, NodeInfo> =
    Method::new("/lnrpc.Lightning/GetInfo", "info:read (GetInfo)", "lnrpc", "GetInfoResponse");
/// Tells how far the node's start has come; takes no macaroon.
pub(crate) const GET_STATE: Method<Nothing, NodeState> =
    Method::new("/lnrpc.State/GetState", "none (GetState)", "lnrpc", "GetStateResponse");

/// A message without fields that matter.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Nothing {}

/// `lnrpc.Invoice` as a question: the invoice to add.
#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub(crate) struct AddInvoice {
    #[prost(string, tag = "1")]
    pub(crate) memo: String,
    /// Empty: lnd chooses.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) preimage: Vec<u8>,
    /// In satoshis; excludes [`value_msat`](Self::value_msat).
    #[prost(int64, tag = "5")]
    pub(crate) value_sat: i64,
    #[prost(int64, tag = "11")]
    pub(crate) expiry_secs: i64,
    #[prost(int64, tag = "23")]
    pub(crate) value_msat: i64,
}

impl fmt::Debug for AddInvoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddInvoice(..)")
    }
}

/// `lnrpc.AddInvoiceResponse`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct AddedInvoice {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) r_hash: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(crate) payment_request: String,
}

/// `lnrpc.PaymentHash`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct InvoiceHash {
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) r_hash: Vec<u8>,
}

/// `lnrpc.Invoice` as an answer. The preimage, which lnd shows even of an open invoice, is not read.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Invoice {
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) r_hash: Vec<u8>,
    #[prost(int64, tag = "7")]
    pub(crate) creation_date: i64,
    #[prost(int64, tag = "8")]
    pub(crate) settle_date: i64,
    #[prost(string, tag = "9")]
    pub(crate) payment_request: String,
    #[prost(int64, tag = "11")]
    pub(crate) expiry_secs: i64,
    #[prost(uint64, tag = "17")]
    pub(crate) settle_index: u64,
    #[prost(int64, tag = "20")]
    pub(crate) amt_paid_msat: i64,
    #[prost(enumeration = "InvoiceStage", tag = "21")]
    pub(crate) state: i32,
    #[prost(int64, tag = "23")]
    pub(crate) value_msat: i64,
}

/// `lnrpc.Invoice.InvoiceState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum InvoiceStage {
    Open = 0,
    Settled = 1,
    Cancelled = 2,
    /// Paid for, and not settled yet.
    Accepted = 3,
}

/// `lnrpc.ListInvoiceRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct InvoicePage {
    #[prost(uint64, tag = "4")]
    pub(crate) index_offset: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) num_max_invoices: u64,
}

/// `lnrpc.ListInvoiceResponse`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct InvoiceList {
    #[prost(message, repeated, tag = "1")]
    pub(crate) invoices: Vec<Invoice>,
    #[prost(uint64, tag = "2")]
    pub(crate) last_index_offset: u64,
}

/// `lnrpc.InvoiceSubscription`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct InvoiceSubscription {
    /// New invoices up to this one are not told; 0: all are.
    #[prost(uint64, tag = "1")]
    pub(crate) add_index: u64,
    /// Settlements after this one are told again; 0: none is.
    #[prost(uint64, tag = "2")]
    pub(crate) settle_index: u64,
}

/// `invoicesrpc.CancelInvoiceMsg`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct CancelInvoice {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) payment_hash: Vec<u8>,
}

/// `lnrpc.GetInfoResponse`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct NodeInfo {
    #[prost(bool, tag = "9")]
    pub(crate) synced_to_chain: bool,
    #[prost(string, tag = "14")]
    pub(crate) version: String,
    #[prost(message, repeated, tag = "16")]
    pub(crate) chains: Vec<Chain>,
}

/// `lnrpc.Chain`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Chain {
    #[prost(string, tag = "2")]
    pub(crate) network: String,
}

/// `lnrpc.GetStateResponse`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct NodeState {
    #[prost(enumeration = "WalletStage", tag = "1")]
    pub(crate) state: i32,
}

/// `lnrpc.WalletState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum WalletStage {
    NonExisting = 0,
    Locked = 1,
    Unlocked = 2,
    RpcActive = 3,
    ServerActive = 4,
    WaitingToStart = 255,
}

impl Invoice {
    /// What has become of it.
    pub(crate) fn stage(&self) -> Result<InvoiceStage, Fault> {
        InvoiceStage::try_from(self.state).map_err(|_| Fault::Garbled("state"))
    }

    /// The hash that it is bound to.
    pub(crate) fn payment_hash(&self) -> Result<PaymentHash, Fault> {
        payment_hash(&self.r_hash)
    }

    /// What was received for it.
    pub(crate) fn amount_paid(&self) -> Result<MilliSat, Fault> {
        not_negative(self.amt_paid_msat, "amt_paid_msat").map(MilliSat::from_msat)
    }

    /// What it asked for; `None` if it left that to its payer, which lnd writes as 0.
    fn amount_invoiced(&self) -> Result<Option<MilliSat>, Fault> {
        let msat = not_negative(self.value_msat, "value_msat")?;
        Ok((msat > 0).then(|| MilliSat::from_msat(msat)))
    }

    /// The first second at which it can no longer be paid.
    pub(crate) fn expires_at(&self) -> Result<u64, Fault> {
        let created_at = not_negative(self.creation_date, "creation_date")?;
        Ok(created_at.saturating_add(not_negative(self.expiry_secs, "expiry")?))
    }

    /// How it was settled; `None` if it is not, or not as one of those that lnd numbers.
    pub(crate) fn settlement(&self) -> Result<Option<Settlement>, Fault> {
        if self.stage()? != InvoiceStage::Settled || self.settle_index == 0 {
            return Ok(None);
        }
        Ok(Some(Settlement {
            index: self.settle_index,
            payment_hash: self.payment_hash()?,
            amount: self.amount_paid()?,
            invoiced: self.amount_invoiced()?,
            settled_at: not_negative(self.settle_date, "settle_date")?,
        }))
    }
}

/// A payment hash, from bytes that should be one.
pub(crate) fn payment_hash(bytes: &[u8]) -> Result<PaymentHash, Fault> {
    bytes.try_into().map(PaymentHash::from_bytes).map_err(|_| Fault::Garbled("r_hash"))
}

fn not_negative(number: i64, field: &'static str) -> Result<u64, Fault> {
    u64::try_from(number).map_err(|_| Fault::Garbled(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled() -> Invoice {
        Invoice {
            r_hash: vec![7; 32],
            settle_date: 1_700_000_000,
            settle_index: 3,
            amt_paid_msat: 1_500,
            value_msat: 1_200,
            state: InvoiceStage::Settled.into(),
            ..Invoice::default()
        }
    }

    #[test]
    fn a_field_that_cannot_be_is_named() {
        let settlement = settled().settlement().unwrap().unwrap();
        assert_eq!((settlement.index, settlement.amount), (3, MilliSat::from_msat(1_500)));
        assert_eq!(settlement.excess(), MilliSat::from_msat(300));
        let amountless = Invoice { value_msat: 0, ..settled() }.settlement().unwrap().unwrap();
        assert_eq!((amountless.invoiced, amountless.excess()), (None, MilliSat::ZERO));
        for (wrong, field) in [
            (Invoice { r_hash: vec![7; 31], ..settled() }, "r_hash"),
            (Invoice { amt_paid_msat: -1, ..settled() }, "amt_paid_msat"),
            (Invoice { value_msat: -1, ..settled() }, "value_msat"),
            (Invoice { settle_date: i64::MIN, ..settled() }, "settle_date"),
            (Invoice { state: 4, ..settled() }, "state"),
        ] {
            assert_eq!(wrong.settlement(), Err(Fault::Garbled(field)));
        }
        assert_eq!(Invoice { expiry_secs: -1, ..settled() }.expires_at(), Err(Fault::Garbled("expiry")));
    }

    #[test]
    fn what_is_not_settled_is_no_settlement() {
        for state in [InvoiceStage::Open, InvoiceStage::Cancelled, InvoiceStage::Accepted] {
            assert_eq!(Invoice { state: state.into(), ..settled() }.settlement(), Ok(None));
        }
        assert_eq!(Invoice { settle_index: 0, ..settled() }.settlement(), Ok(None));
    }

    #[test]
    fn a_preimage_is_not_printed() {
        let question = AddInvoice { preimage: b"sesame".to_vec(), ..AddInvoice::default() };
        assert_eq!(format!("{question:?}"), "AddInvoice(..)");
    }
}
