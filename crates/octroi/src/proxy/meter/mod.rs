//! What a metered request costs, read from the bytes that pass: a head, a body, a stream of events, the frames of a
//! WebSocket. Nothing here does I/O or reads a clock, and nothing is held longer than it has to be read.
//!
//! The gauge only measures. Whether an outcome is charged at all is the seller's policy, and no more is charged than was
//! set aside: both are the paywall's business.

mod claim;
mod demand;
mod events;
mod gauge;
mod json;
mod websocket;

pub(super) use claim::{claim_key, idempotency_key, request_digest};
pub(super) use demand::{Demand, demand_plain, demand_usage};
pub(super) use events::exhausted_event;
pub(super) use gauge::{Ended, Gauge};
pub(super) use websocket::{Frames, close_frame};

/// The same bytes in pieces of these sizes, over and over.
#[cfg(test)]
fn in_pieces<'b>(bytes: &'b [u8], sizes: &[usize]) -> Vec<&'b [u8]> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
