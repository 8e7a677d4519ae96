//! Waiting, with a bound.

use l402_lightning::InvoicerError;
use std::time::Duration;

/// Longest that one call may take: far above every deadline of an adapter.
const CALL_SECS_MAX: u64 = 30;

/// Longest that a scenario may take.
const SCENARIO_SECS_MAX: u64 = 180;

/// How often something that goes on by itself is asked for again, and the time between.
const TRIES_MAX: u32 = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// How long something that must not happen is waited for.
const QUIET: Duration = Duration::from_millis(300);

/// Runs a scenario on a runtime of its own, in real time.
pub fn run(scenario: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let limit = Duration::from_secs(SCENARIO_SECS_MAX);
    let ended = runtime.block_on(async { tokio::time::timeout(limit, scenario).await });
    assert!(ended.is_ok(), "the scenario has to end within {SCENARIO_SECS_MAX} s");
}

/// The answer of a call, which has to have a deadline of its own.
pub(super) async fn within<T>(what: &str, call: impl Future<Output = T>) -> T {
    let Ok(answer) = tokio::time::timeout(Duration::from_secs(CALL_SECS_MAX), call).await else {
        panic!("{what}: every call has to end by its own deadline; no answer in {CALL_SECS_MAX} s")
    };
    answer
}

/// What a call gives within a moment in which it should give nothing; `None` if it goes on waiting.
pub(super) async fn at_once<T>(call: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(QUIET, call).await.ok()
}

/// The answer of a call to a node that has just come back: connections that broke with it may cost a try.
pub(super) async fn patiently<T>(
    what: &str,
    mut call: impl AsyncFnMut() -> Result<T, InvoicerError>,
) -> Result<T, InvoicerError> {
    eventually(what, async || match call().await {
        Err(InvoicerError::Unreachable | InvoicerError::Timeout) => None,
        answer => Some(answer),
    })
    .await
}

/// Asks until there is something.
pub(super) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..TRIES_MAX {
        if let Some(found) = ask().await {
            return found;
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
    panic!("{what}: has to come to pass by itself")
}
