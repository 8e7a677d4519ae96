//! Runes: who may do what.

/// What a seller is told to make.
pub(crate) const SELLER: &str = "tU-RLjMiDpY2U0o3W1oFowar36RFGpWloPbW9-RuZdo9MA==";
/// The seller's, without the right to issue.
pub(crate) const SELLER_WITHOUT_INVOICE: &str = "q3NhxL1bV0gWr4bDNn1Y0u5cFXhSgVJmB8cY0t4pQbo9MQ==";
/// The seller's, without the right to withdraw and to ask after the node's health.
pub(crate) const SELLER_FRUGAL: &str = "Bq0Kx1y7m9sYw2mC4o7rX5nVJtT3uGzPqLhD8eFkWas9Mg==";
/// What a buyer is told to make.
pub(crate) const BUYER: &str = "zm0x_eLgHexaTvZn3Cz7gb_YlvrlYGDo_w4BYlR9SS09Mw==";
/// The buyer's, without the right to pay.
pub(crate) const BUYER_WITHOUT_XPAY: &str = "hPJ7c2o4nD6pLk9sVb3xWq8tYr5zMf1gUeAi0NjKdQs9NA==";
/// One that may be used no more for now.
pub(crate) const TIRED: &str = "Wd5f8aYk2Lr9Vn3Xo7Pc1Qz6Ts4Bu0Mj_GhEiRwKlNe9NQ==";
/// Another node's.
pub(crate) const FOREIGN: &str = "R9pXz1KcVb4nMq7sWe2tYu8oLa5dGh3jFi6kZr0xQvc9MA==";

/// Whether a rune allows a method: the error code and message of `checkrune` if it does not.
pub(crate) fn check(rune: &str, method: &str) -> Result<(), (i64, String)> {
    let methods: &[&str] = match rune {
        SELLER => &["invoice", "listinvoices", "waitanyinvoice", "delinvoice", "getinfo"],
        SELLER_WITHOUT_INVOICE => &["listinvoices", "waitanyinvoice", "delinvoice", "getinfo"],
        SELLER_FRUGAL => &["invoice", "listinvoices", "waitanyinvoice"],
        BUYER => &["xpay", "listpays", "getinfo"],
        BUYER_WITHOUT_XPAY => &["listpays", "getinfo"],
        TIRED => return Err((1502, "Not permitted: Rate of 60 per minute exceeded".to_owned())),
        _ => return Err((1501, "Not authorized: Not derived from master".to_owned())),
    };
    if methods.contains(&method) {
        return Ok(());
    }
    Err((
        1502,
        format!("Not permitted: method is not equal to {}", methods.join(" AND method is not equal to ")),
    ))
}
