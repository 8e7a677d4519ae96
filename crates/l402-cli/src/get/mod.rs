//! `l402 get`: one fetch, its body, and a report.

mod output;
mod progress;
mod quote;
mod range;

use std::sync::Arc;

use http::StatusCode;
use l402_client::{Answer, Buyer, Fetched, Request, Timeouts, Transport, Vault};
use serde_json::json;

use crate::failure::{Exit, Failure, open_vault};
use crate::plan::{Delivery, GetPlan, Task};
use output::Output;
use progress::Progress;
use range::Continuation;

/// Runs a `get`. `now` tells the time in unix seconds.
pub(crate) async fn run(plan: GetPlan, now: fn() -> u64) -> Result<(), Failure> {
    let vault = open_vault(&plan.data_dir)?;
    let progress = Arc::new(Progress::new(plan.json, now));
    let witness = progress.clone();
    let buyer = Buyer {
        vault: vault.clone(),
        transport: Transport::new(plan.trust, Timeouts::default()),
        purse: plan.purse,
        spending: plan.spending,
        payment_timeout: plan.payment_timeout,
        clock: Arc::new(now),
        witness: Arc::new(move |event| witness.tell(event)),
    };
    match plan.task {
        Task::Quote => quote::run(&buyer, &plan.request, plan.cap, plan.json, now).await,
        Task::Deliver(delivery) => deliver(&buyer, plan.request, &delivery, &vault, &progress).await,
    }
}

async fn deliver(
    buyer: &Buyer,
    mut request: Request,
    delivery: &Delivery,
    vault: &Vault,
    progress: &Progress,
) -> Result<(), Failure> {
    // Before the first byte goes out: an output that cannot be written must not be found out after paying.
    let mut output = Output::open(delivery.output.as_deref())?;
    let continuation = if delivery.resume { Continuation::of(&output, vault, &request.url)? } else { None };
    if let Some(continuation) = &continuation {
        continuation.ask(&mut request.headers);
    }
    let fetched = match buyer.fetch(&request).await {
        Ok(fetched) => fetched,
        Err(error) => {
            output.abandon();
            return Err(error.into());
        }
    };
    let status = fetched.answer.status();
    let begun = begin(&mut output, &fetched.answer, delivery, continuation.as_ref());
    let body = match begun {
        Ok(body) => body,
        Err(failure) => {
            output.abandon();
            return Err(failure);
        }
    };
    let received = match body {
        Body::Complete => 0,
        Body::Write => {
            // All that is lost is the chance to continue.
            if let Err(failure) = range::note(&output, vault, &request.url, &fetched.answer) {
                progress.warn(&failure.to_string());
            }
            let head = delivery.include_head.then(|| output::head(&fetched.answer));
            return finish(output, fetched, head, progress).await;
        }
        Body::Append => return finish(output, fetched, None, progress).await,
    };
    progress.report(&report(&fetched, status, received, &output));
    Ok(())
}

/// What is to be done with the body.
enum Body {
    Write,
    Append,
    /// The file was complete already.
    Complete,
}

fn begin(
    output: &mut Output,
    answer: &Answer,
    delivery: &Delivery,
    continuation: Option<&Continuation>,
) -> Result<Body, Failure> {
    let status = answer.status();
    if let Some(continuation) = continuation {
        if status == StatusCode::PARTIAL_CONTENT {
            output.seek(continuation.check(answer.headers())?)?;
            return Ok(Body::Append);
        }
        if status == StatusCode::RANGE_NOT_SATISFIABLE && continuation.is_whole(answer.headers()) {
            return Ok(Body::Complete);
        }
    }
    // Half a download is not overwritten with an error page.
    let failed = status.is_client_error() || status.is_server_error();
    if failed && (delivery.fail || delivery.resume) {
        return Err(Failure::new(Exit::Status, "http_status", format!("the server answered {status}")));
    }
    output.truncate()?;
    Ok(Body::Write)
}

async fn finish(
    mut output: Output,
    mut fetched: Fetched,
    head: Option<Vec<u8>>,
    progress: &Progress,
) -> Result<(), Failure> {
    let status = fetched.answer.status();
    output.write(&head.unwrap_or_default())?;
    let mut received = 0_u64;
    while let Some(bytes) = fetched.answer.chunk().await? {
        output.write(&bytes)?;
        received += bytes.len() as u64;
        progress.received(received);
    }
    output.flush()?;
    progress.report(&report(&fetched, status, received, &output));
    Ok(())
}

fn report(fetched: &Fetched, status: StatusCode, received: u64, output: &Output) -> serde_json::Value {
    let receipt = fetched.receipt.as_ref();
    json!({
        "url": fetched.url.as_str(),
        "status": status.as_u16(),
        "body_bytes": received,
        "output": output.path().map(|path| path.to_string_lossy()),
        "with_token": fetched.with_token,
        "paid": receipt.is_some(),
        "amount_msat": receipt.and_then(|receipt| receipt.amount).map(l402_lightning::MilliSat::as_msat),
        "fee_msat": receipt.and_then(|receipt| receipt.fee).map(l402_lightning::MilliSat::as_msat),
        "payment_hash": receipt.map(|receipt| receipt.hash.to_string()),
        "paid_by_earlier_run": receipt.is_some_and(|receipt| receipt.earlier),
    })
}
