//! A request that somebody makes, and what the upstream will make of it.

use crate::{
    dice::Dice,
    tariff::{Route, Tariff},
};
use http::{Method, Request, request::Parts};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) number: u64,
    pub(crate) head: Parts,
    pub(crate) route: Route,
    /// Where it has an `Idempotency-Key`.
    pub(crate) key: Option<u8>,
    pub(crate) script: Script,
}

/// What the upstream makes of it.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Otherwise it is not reached, or not in time.
    pub(crate) is_answered: bool,
    pub(crate) status: u16,
    /// What it says that the request costs; `None`: nothing that can be read.
    pub(crate) cost: Option<u64>,
    pub(crate) pieces: Vec<Piece>,
    /// The piece before which it breaks off.
    pub(crate) breaks_off_at: Option<usize>,
}

/// A piece of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: u64,
    /// How long it is waited for, in seconds.
    pub(crate) after_secs: u64,
}

impl Script {
    pub(crate) fn draw(dice: &Dice, tariff: &Tariff) -> Self {
        let cost = match dice.below(10) {
            0 => None,
            1 => Some(tariff.max + dice.between(1, 20)),
            _ => Some(dice.between(0, tariff.max)),
        };
        let piece = |_| Piece { bytes: dice.between(0, 8), after_secs: dice.below(4) };
        let pieces: Vec<_> = (0..dice.below(5)).map(piece).collect();
        let breaks_off = dice.chance(15) && !pieces.is_empty();
        Self {
            is_answered: dice.chance(88),
            status: dice.one_of(&[200, 200, 200, 200, 200, 206, 404, 503]),
            cost,
            breaks_off_at: breaks_off.then(|| dice.index(pieces.len())),
            pieces,
        }
    }

    /// The plainest answer.
    pub(crate) fn plain() -> Self {
        let pieces = vec![Piece { bytes: 1, after_secs: 0 }];
        Self { is_answered: true, status: 200, cost: None, pieces, breaks_off_at: None }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.bytes).sum()
    }
}

/// The head of a request with these fields.
pub(crate) fn head(route: Route, fields: &[(&str, &str)]) -> Parts {
    let request = Request::builder().method(Method::GET).uri(route.path()).header("host", "api.example.com");
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}
