//! What the imitation answers, in lnd's words.

use super::{
    World,
    ledger::OPEN,
    messages::{
        AddInvoiceResponse, CancelInvoiceMsg, Chain, Empty, GetInfoResponse, GetStateResponse, Invoice,
        InvoiceSubscription, ListInvoiceRequest, ListInvoiceResponse, PaymentHash,
    },
};
use l402::Preimage;
use l402_lightning::{
    InvoiceRequest, InvoicerError, MilliSat,
    loopback::{Fault, WrongInvoice},
};
use prost::Message;
use testkit::contract::NodeFault;
use tokio::sync::mpsc;

/// An answer.
pub(super) enum Answer {
    One(Vec<u8>),
    Many(mpsc::UnboundedReceiver<Invoice>),
    No(Refusal),
    /// The line breaks instead.
    Cut,
}

/// A refusal: gRPC code and words.
pub(super) type Refusal = (u16, &'static str);

/// lnd's code for nearly everything.
const UNKNOWN: u16 = 2;
const NOT_FOUND: u16 = 5;
const UNIMPLEMENTED: u16 = 12;

/// Every method with the right that it takes.
const METHODS: &[(&str, &str)] = &[
    ("/lnrpc.State/GetState", ""),
    ("/lnrpc.Lightning/AddInvoice", "invoices:write"),
    ("/lnrpc.Lightning/LookupInvoice", "invoices:read"),
    ("/lnrpc.Lightning/ListInvoices", "invoices:read"),
    ("/lnrpc.Lightning/SubscribeInvoices", "invoices:read"),
    ("/lnrpc.Lightning/GetInfo", "info:read"),
    ("/invoicesrpc.Invoices/CancelInvoice", "invoices:write"),
];

/// Answers a call. The order of checks is lnd's: the method, its own state, the macaroon.
pub(super) async fn answer(world: &World, path: &str, macaroon: Option<&str>, message: &[u8]) -> Answer {
    world.calls.lock().unwrap().push(path.to_owned());
    let answer = match permit(world, path, macaroon) {
        Ok(()) => method(world, path, message).await,
        Err(refusal) => Err(refusal),
    };
    answer.unwrap_or_else(Answer::No)
}

fn permit(world: &World, path: &str, macaroon: Option<&str>) -> Result<(), Refusal> {
    let known = METHODS.iter().find(|(known, _)| *known == path && !world.lacks_service(path));
    let Some((_, right)) = known else {
        return Err((UNIMPLEMENTED, "unknown service or method"));
    };
    if right.is_empty() {
        return Ok(());
    }
    match world.stage() {
        0 => return Err((UNKNOWN, "wallet not created, create one to enable full RPC access")),
        1 => return Err((UNKNOWN, "wallet locked, unlock it to enable full RPC access")),
        2 => {
            let words = "the RPC server is in the process of starting up, but not yet ready to accept calls";
            return Err((UNKNOWN, words));
        }
        _ => {}
    }
    let macaroon = macaroon.ok_or((UNKNOWN, "expected 1 macaroon, got 0"))?;
    let macaroon = hex::decode(macaroon).map_err(|_| (UNKNOWN, "encoding/hex: invalid byte: U+0078 'x'"))?;
    if !macaroon.starts_with(b"\x02\x01") {
        return Err((UNKNOWN, "cannot determine data format of binary-encoded macaroon"));
    }
    let macaroons = world.macaroons.lock().unwrap();
    let Some(rights) = macaroons.get(&macaroon) else {
        return Err((UNKNOWN, "verification failed: signature mismatch after caveat verification"));
    };
    let allows = |one: &&str| one == right || one.strip_prefix("uri:") == Some(path);
    if rights.iter().any(allows) { Ok(()) } else { Err((UNKNOWN, "permission denied")) }
}

async fn method(world: &World, path: &str, message: &[u8]) -> Result<Answer, Refusal> {
    world.ledger().sweep(world.clock.now());
    match path.rsplit('/').next().unwrap_or_default() {
        "GetState" => Ok(one(&GetStateResponse { state: world.stage() })),
        "AddInvoice" => add_invoice(world, read(message)?).await,
        "LookupInvoice" => {
            let asked: PaymentHash = read(message)?;
            let ledger = world.ledger();
            ledger.find(&asked.r_hash).map(one).ok_or((NOT_FOUND, "unable to locate invoice"))
        }
        "ListInvoices" => Ok(one(&list(world, &read(message)?))),
        "SubscribeInvoices" => {
            let InvoiceSubscription { add_index, settle_index } = read(message)?;
            if world.faults.strikes_once(NodeFault::FeedCut) {
                return Ok(Answer::Cut);
            }
            Ok(Answer::Many(world.ledger().listen(add_index, settle_index)))
        }
        "CancelInvoice" => {
            let CancelInvoiceMsg { payment_hash } = read(message)?;
            world.ledger().cancel(&payment_hash).map_err(|words| (UNKNOWN, words))?;
            Ok(one(&Empty {}))
        }
        "GetInfo" => Ok(one(&GetInfoResponse {
            identity_pubkey: "02".repeat(33),
            synced_to_chain: true,
            best_header_timestamp: i64::try_from(world.clock.now()).unwrap(),
            version: "0.21.2-beta commit=v0.21.2-beta".to_owned(),
            chains: vec![Chain { chain: "bitcoin".to_owned(), network: "regtest".to_owned() }],
        })),
        _ => Err((UNIMPLEMENTED, "unknown method")),
    }
}

async fn add_invoice(world: &World, asked: Invoice) -> Result<Answer, Refusal> {
    let no = |words| Err((UNKNOWN, words));
    if asked.value != 0 && asked.value_msat != 0 {
        return no("sat and msat arguments are mutually exclusive");
    }
    if asked.expiry > 31_536_000 {
        return no("expiry of 31536001 seconds greater than max expiry of 31536000 seconds");
    }
    if asked.memo.len() > 639 {
        return no("data length too big to fit within 10 bits");
    }
    let msat = u64::try_from(asked.value * 1000 + asked.value_msat).map_err(|_| (UNKNOWN, "negative"))?;
    let preimage = match asked.r_preimage.len() {
        0 => world.entropy.bytes32(),
        _ => {
            asked.r_preimage.clone().try_into().map_err(|_| (UNKNOWN, "payment preimage must be 32 bytes"))?
        }
    };
    let expiry = if asked.expiry > 0 { asked.expiry } else { 86_400 };
    let request = InvoiceRequest {
        amount: MilliSat::from_msat(msat),
        expiry_secs: u32::try_from(expiry).unwrap(),
        description: asked.memo.clone(),
        preimage: Some(Preimage::from_bytes(preimage)),
    };
    if let Some(lie) = lie(world) {
        world.writer.knobs().create().set_times(1, Fault::Wrong(lie));
    }
    let payment_request = match world.writer.create_text(&request).await {
        Err(InvoicerError::Duplicate) => return no("invoice with payment hash already exists"),
        text => text.expect("an invoice like any other"),
    };
    let written = l402_lightning::Invoice::parse(&payment_request).expect("an invoice");
    let invoice = Invoice {
        r_preimage: preimage.to_vec(),
        r_hash: written.payment_hash().as_bytes().to_vec(),
        value: i64::try_from(msat / 1000).unwrap(),
        value_msat: i64::try_from(msat).unwrap(),
        creation_date: i64::try_from(written.created_at()).unwrap(),
        expiry,
        payment_request: payment_request.clone(),
        payment_addr: written.payment_secret().to_vec(),
        state: OPEN,
        ..asked
    };
    let response = AddInvoiceResponse {
        r_hash: invoice.r_hash.clone(),
        payment_request,
        payment_addr: invoice.payment_addr.clone(),
        add_index: world.ledger().add(invoice).expect("the writer takes no preimage twice"),
    };
    if world.faults.strikes_once(NodeFault::LoseCreateAnswer) {
        return Ok(Answer::Cut);
    }
    Ok(one(&response))
}

/// The lie that is due.
fn lie(world: &World) -> Option<WrongInvoice> {
    NodeFault::ALL.into_iter().find_map(|fault| {
        let lie = fault.wrong_invoice()?;
        world.faults.strikes_once(fault).then_some(lie)
    })
}

fn list(world: &World, asked: &ListInvoiceRequest) -> ListInvoiceResponse {
    assert!(!asked.reversed && !asked.pending_only, "the imitation only goes forward through all");
    let ledger = world.ledger();
    let max = usize::try_from(asked.num_max_invoices).unwrap();
    let invoices: Vec<Invoice> = ledger.after(asked.index_offset).iter().take(max).cloned().collect();
    ListInvoiceResponse {
        last_index_offset: invoices.last().map_or(0, |last| last.add_index),
        first_index_offset: invoices.first().map_or(0, |first| first.add_index),
        invoices,
    }
}

impl World {
    /// `lnrpc.WalletState`.
    fn stage(&self) -> i32 {
        if self.faults.strikes(NodeFault::Locked) {
            1
        } else if self.faults.strikes(NodeFault::Starting) {
            2
        } else {
            4
        }
    }

    /// Whether lnd was built without the service that this is a method of.
    fn lacks_service(&self, path: &str) -> bool {
        self.missing.lock().unwrap().is_some_and(|service| path.starts_with(service))
    }
}

fn read<M: Message + Default>(message: &[u8]) -> Result<M, Refusal> {
    M::decode(message).map_err(|_| (13, "grpc: error unmarshalling request"))
}

fn one(message: &impl Message) -> Answer {
    Answer::One(message.encode_to_vec())
}
