//! `--dry-run`: the real request, and what its answer would cost.

use l402_client::{Approved, Buyer, Quote, Refusal, Request, SpendingCap};
use l402_lightning::Invoice;

use crate::decode;
use crate::failure::{Failure, of_refusal};
use crate::sheet::Sheet;

/// Asks, and prints the answer to standard output. An offer that would be refused is a failure.
pub(crate) async fn run(
    buyer: &Buyer,
    request: &Request,
    cap: SpendingCap,
    json: bool,
    now: fn() -> u64,
) -> Result<(), Failure> {
    let mut sheet = Sheet::new("price");
    sheet.text("url", request.url.as_str());
    let refusal = match buyer.quote(request, cap).await? {
        Quote::Free(fetched) => {
            sheet.number("status", fetched.answer.status().as_u16().into());
            sheet.flag("payment_required", false);
            sheet.flag("with_token", fetched.with_token);
            None
        }
        Quote::Priced(approved) => {
            priced(&mut sheet, &approved, now());
            None
        }
        Quote::Refused { offer, refusal } => {
            sheet.flag("payment_required", true);
            sheet.flag("acceptable", false);
            if let Ok(invoice) = Invoice::parse(&offer.invoice) {
                sheet.sheet("invoice", decode::invoice_sheet(&invoice, now()));
            }
            Some(refusal)
        }
        _ => None,
    };
    sheet.print(json, false)?;
    refusal.map_or(Ok(()), |refusal: Refusal| Err(of_refusal(&refusal, refusal.to_string())))
}

fn priced(sheet: &mut Sheet, approved: &Approved, now: u64) {
    sheet.flag("payment_required", true);
    sheet.flag("acceptable", true);
    sheet.amount("amount", approved.amount());
    sheet.amount("fee_limit", approved.fee().most());
    sheet.sheet("invoice", decode::invoice_sheet(approved.invoice(), now));
}
