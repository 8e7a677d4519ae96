//! What lnd answers to a call, before it is put into gRPC or JSON.

use crate::wallet::{Limits, Payment, Refused, Stage, Wallet};
use l402::{PaymentHash, Preimage};
use std::sync::Arc;
use testkit::contract::PayFault;
use tokio::sync::mpsc;

/// A macaroon that may do everything.
pub(crate) const ADMIN: &[u8] = b"\x02\x01\x03lnd-admin-of-this-node";
/// One that may look, and not pay.
pub(crate) const READ_ONLY: &[u8] = b"\x02\x01\x03lnd-readonly-of-this-node";
/// One that may pay and track, and nothing else.
pub(crate) const BAKED: &[u8] = b"\x02\x01\x03lnd-baked-of-this-node";
/// Another node's.
pub(crate) const FOREIGN: &[u8] = b"\x02\x01\x03lnd-admin-of-another-node";

/// A call.
pub(crate) enum Call {
    Send { invoice: String, limits: Limits },
    Track(PaymentHash),
    Info,
}

/// One thing in an answer.
pub(crate) enum Item {
    Update(Payment),
    Network(&'static str),
    Refused(Refused),
    Garbled,
    Truncated,
    Oversized,
    Cut,
}

/// An answer: the items, first to last. Refused at once if the first is a refusal.
pub(crate) type Items = mpsc::Receiver<Item>;

/// Answers a call.
pub(crate) fn answer(wallet: &Arc<Wallet>, macaroon: Option<&str>, call: Call) -> Items {
    let (items, answer) = mpsc::channel(4);
    let wallet = Arc::clone(wallet);
    let allowed = permit(&wallet, macaroon, &call);
    tokio::spawn(async move {
        // Nobody may be left to read it.
        let _ = tell(&wallet, allowed, call, &items).await;
    });
    answer
}

/// The order of lnd's checks: its own state first, then the macaroon.
fn permit(wallet: &Wallet, macaroon: Option<&str>, call: &Call) -> Result<(), Refused> {
    let words = |message: &str| Err(Refused::new(2, message));
    if wallet.suffers(PayFault::Locked) {
        return words("wallet locked, unlock it to enable full RPC access");
    }
    let Some(macaroon) = macaroon else { return words("expected 1 macaroon, got 0") };
    let Ok(macaroon) = hex::decode(macaroon) else {
        return words("encoding/hex: invalid byte: U+0078 'x'");
    };
    match (&*macaroon, call) {
        (ADMIN, _)
        | (READ_ONLY, Call::Track(_) | Call::Info)
        | (BAKED, Call::Send { .. } | Call::Track(_)) => Ok(()),
        (READ_ONLY | BAKED, _) => words("permission denied"),
        _ => words("verification failed: signature mismatch after caveat verification"),
    }
}

async fn tell(
    wallet: &Wallet,
    allowed: Result<(), Refused>,
    call: Call,
    items: &mpsc::Sender<Item>,
) -> Result<(), mpsc::error::SendError<Item>> {
    if wallet.suffers(PayFault::Hang) {
        items.closed().await;
        return Ok(());
    }
    if let Err(refused) = allowed {
        return items.send(Item::Refused(refused)).await;
    }
    match call {
        Call::Send { invoice, limits } => send(wallet, &invoice, limits, items).await,
        Call::Track(hash) => track(wallet, hash, items).await,
        Call::Info => items.send(spoilt(wallet, Item::Network(wallet.network()))).await,
    }
}

async fn send(
    wallet: &Wallet,
    invoice: &str,
    limits: Limits,
    items: &mpsc::Sender<Item>,
) -> Result<(), mpsc::error::SendError<Item>> {
    let breakdown = wallet.breakdown();
    if let Some(breakdown) = breakdown.as_ref().filter(|breakdown| !breakdown.begun) {
        return items.send(Item::Refused(breakdown.refused.clone())).await;
    }
    let hash = match wallet.begin(invoice, limits) {
        Ok(hash) => hash,
        Err(refused) => return items.send(Item::Refused(refused)).await,
    };
    if wallet.suffers(PayFault::LoseAnswer) {
        return items.send(Item::Cut).await;
    }
    let in_flight =
        wallet.payment(hash).map(|payment| Payment { stage: Stage::InFlight, preimage: None, ..payment });
    if let Some(payment) = in_flight.filter(|_| breakdown.as_ref().is_none_or(|breakdown| breakdown.told)) {
        items.send(spoilt(wallet, Item::Update(payment))).await?;
    }
    if let Some(breakdown) = breakdown {
        return items.send(Item::Refused(breakdown.refused)).await;
    }
    let mut end = wallet.end_of(hash).await;
    if end.stage == Stage::Succeeded && wallet.suffers(PayFault::NoPreimage) {
        end.preimage = None;
    }
    if end.stage == Stage::Succeeded && wallet.suffers(PayFault::WrongPreimage) {
        end.preimage = Some(Preimage::from_bytes([0xee; 32]));
    }
    items.send(spoilt(wallet, Item::Update(end))).await
}

async fn track(
    wallet: &Wallet,
    hash: PaymentHash,
    items: &mpsc::Sender<Item>,
) -> Result<(), mpsc::error::SendError<Item>> {
    let Some(payment) = wallet.payment(hash) else {
        let unknown = Item::Refused(Refused::new(5, "payment isn't initiated"));
        return items.send(spoilt(wallet, unknown)).await;
    };
    let is_open = payment.stage == Stage::InFlight;
    items.send(spoilt(wallet, Item::Update(payment))).await?;
    if is_open {
        let end = wallet.end_of(hash).await;
        items.send(spoilt(wallet, Item::Update(end))).await?;
    }
    Ok(())
}

/// What comes of an item on its way.
fn spoilt(wallet: &Wallet, item: Item) -> Item {
    if wallet.suffers(PayFault::Garble) {
        Item::Garbled
    } else if wallet.suffers(PayFault::Truncate) {
        Item::Truncated
    } else if wallet.suffers(PayFault::Oversize) {
        Item::Oversized
    } else {
        item
    }
}
