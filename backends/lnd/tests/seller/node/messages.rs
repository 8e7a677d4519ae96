//! The messages as lnd 0.21 declares them (`lightning.proto`, `invoices.proto`, `stateservice.proto`): all fields that
//! the imitation reads or a caller may expect.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Empty {}

/// `lnrpc.Invoice`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Invoice {
    #[prost(string, tag = "1")]
    pub(crate) memo: String,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) r_preimage: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) r_hash: Vec<u8>,
    #[prost(int64, tag = "5")]
    pub(crate) value: i64,
    #[prost(bool, tag = "6")]
    pub(crate) settled: bool,
    #[prost(int64, tag = "7")]
    pub(crate) creation_date: i64,
    #[prost(int64, tag = "8")]
    pub(crate) settle_date: i64,
    #[prost(string, tag = "9")]
    pub(crate) payment_request: String,
    #[prost(bytes = "vec", tag = "10")]
    pub(crate) description_hash: Vec<u8>,
    #[prost(int64, tag = "11")]
    pub(crate) expiry: i64,
    #[prost(uint64, tag = "13")]
    pub(crate) cltv_expiry: u64,
    #[prost(bool, tag = "15")]
    pub(crate) private: bool,
    #[prost(uint64, tag = "16")]
    pub(crate) add_index: u64,
    #[prost(uint64, tag = "17")]
    pub(crate) settle_index: u64,
    #[prost(int64, tag = "19")]
    pub(crate) amt_paid_sat: i64,
    #[prost(int64, tag = "20")]
    pub(crate) amt_paid_msat: i64,
    #[prost(int32, tag = "21")]
    pub(crate) state: i32,
    #[prost(int64, tag = "23")]
    pub(crate) value_msat: i64,
    #[prost(bytes = "vec", tag = "26")]
    pub(crate) payment_addr: Vec<u8>,
}

/// `lnrpc.AddInvoiceResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AddInvoiceResponse {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) r_hash: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(super) payment_request: String,
    #[prost(uint64, tag = "16")]
    pub(super) add_index: u64,
    #[prost(bytes = "vec", tag = "17")]
    pub(super) payment_addr: Vec<u8>,
}

/// `lnrpc.PaymentHash`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PaymentHash {
    #[prost(string, tag = "1")]
    pub(super) r_hash_str: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) r_hash: Vec<u8>,
}

/// `lnrpc.ListInvoiceRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListInvoiceRequest {
    #[prost(bool, tag = "1")]
    pub(super) pending_only: bool,
    #[prost(uint64, tag = "4")]
    pub(super) index_offset: u64,
    #[prost(uint64, tag = "5")]
    pub(super) num_max_invoices: u64,
    #[prost(bool, tag = "6")]
    pub(super) reversed: bool,
}

/// `lnrpc.ListInvoiceResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListInvoiceResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) invoices: Vec<Invoice>,
    #[prost(uint64, tag = "2")]
    pub(super) last_index_offset: u64,
    #[prost(uint64, tag = "3")]
    pub(super) first_index_offset: u64,
}

/// `lnrpc.InvoiceSubscription`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct InvoiceSubscription {
    #[prost(uint64, tag = "1")]
    pub(super) add_index: u64,
    #[prost(uint64, tag = "2")]
    pub(super) settle_index: u64,
}

/// `invoicesrpc.CancelInvoiceMsg`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CancelInvoiceMsg {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) payment_hash: Vec<u8>,
}

/// `lnrpc.GetInfoResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetInfoResponse {
    #[prost(string, tag = "1")]
    pub(super) identity_pubkey: String,
    #[prost(bool, tag = "9")]
    pub(super) synced_to_chain: bool,
    #[prost(int64, tag = "13")]
    pub(super) best_header_timestamp: i64,
    #[prost(string, tag = "14")]
    pub(super) version: String,
    #[prost(message, repeated, tag = "16")]
    pub(super) chains: Vec<Chain>,
}

/// `lnrpc.Chain`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Chain {
    #[prost(string, tag = "1")]
    pub(super) chain: String,
    #[prost(string, tag = "2")]
    pub(super) network: String,
}

/// `lnrpc.GetStateResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetStateResponse {
    #[prost(int32, tag = "1")]
    pub(super) state: i32,
}
