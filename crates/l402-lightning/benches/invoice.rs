//! How fast invoices are issued and checked: `cargo bench -p l402-lightning --bench invoice`.
//!
//! One thread, the median of several rounds; the last line has two threads on one node. A challenge with the loopback node costs one `create` (which writes, signs
//! and reads back, with the signature check) and one `check`.

use l402_lightning::{
    Expected, Invoice, InvoiceRequest, Invoicer, MilliSat, Network, Terms, check, loopback::LoopbackNode,
};
use std::{
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

const NOW: u64 = 1_700_000_000;
const ROUNDS: usize = 9;
const CALLS: u32 = 2_000;

fn main() {
    let node = LoopbackNode::new([7; 32], Arc::new(|| NOW));
    let request = || InvoiceRequest {
        amount: MilliSat::from_msat(10_000),
        expiry_secs: 600,
        description: "weather: one hour".to_owned(),
        preimage: None,
    };
    let text = ready(node.create(request())).text().to_owned();
    report("create (write, sign, read back, verify)", || {
        black_box(ready(node.create(request())));
    });
    report("parse (checksum, fields, signature)", || {
        black_box(Invoice::parse(black_box(&text)).ok());
    });
    let create = || {
        for _ in 0..CALLS / 2 {
            black_box(ready(node.create(request())));
        }
    };
    let (invoice, asked) = (ready(node.create(request())), request());
    let expected = Expected { request: &asked, network: Network::Regtest, now: NOW, terms: Terms::Caller };
    report("check (against the request)", || {
        black_box(check(black_box(&invoice), &expected).ok());
    });
    report_calls("create, two threads on one node", || {
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(create);
            }
        });
    });
}

/// Runs one future that never has to wait.
fn ready<T, E: std::fmt::Debug>(future: impl Future<Output = Result<T, E>>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(value)) => value,
        Poll::Ready(Err(error)) => unreachable!("no fault is set: {error:?}"),
        Poll::Pending => unreachable!("no delay is set"),
    }
}

/// Prints the median cost of a call.
fn report(what: &str, mut call: impl FnMut()) {
    report_calls(what, || (0..CALLS).for_each(|_| call()));
}

/// Prints the median cost of one call when `calls` makes all of a round.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn report_calls(what: &str, mut calls: impl FnMut()) {
    let mut nanos: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            calls();
            begun.elapsed().as_nanos() / u128::from(CALLS)
        })
        .collect();
    nanos.sort_unstable();
    let median = nanos[ROUNDS / 2].max(1);
    println!("{what:<42} {median:>8} ns {:>9} /s", 1_000_000_000 / median);
}
