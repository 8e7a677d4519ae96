//! What an answer says about payment. Headers only: the body of a 402 is never waited for.

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use l402::{ChallengeError, Offer, OfferScheme, is_l402_authorization, read_challenges};

/// What an answer says.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is the answer.
    Served,
    /// 402 with something to buy.
    Offered(Box<Offer>),
    /// 401 from an L402 server: the credential shown, if any, is not accepted, and a new one would not be either.
    Rejected,
    /// 402 with nothing this client can buy.
    Unreadable(Vec<ChallengeError>),
}

/// Reads the status and the challenges of an answer.
pub(crate) fn judge(status: StatusCode, headers: &HeaderMap) -> Verdict {
    if !matches!(status, StatusCode::PAYMENT_REQUIRED | StatusCode::UNAUTHORIZED) {
        return Verdict::Served;
    }
    let lines = headers.get_all(WWW_AUTHENTICATE).iter().map(http::HeaderValue::as_bytes);
    let challenges = read_challenges(lines);
    if status == StatusCode::UNAUTHORIZED {
        return if challenges.is_empty() { Verdict::Served } else { Verdict::Rejected };
    }
    let (offers, faults): (Vec<_>, Vec<_>) = challenges.into_iter().partition(Result::is_ok);
    let mut offers: Vec<Offer> = offers.into_iter().flatten().collect();
    // Servers send one offer under both names; the newer name is answered where there is a choice.
    let choice = offers.iter().position(|offer| offer.scheme == OfferScheme::L402).unwrap_or(0);
    if offers.is_empty() {
        return Verdict::Unreadable(faults.into_iter().filter_map(Result::err).collect());
    }
    Verdict::Offered(Box::new(offers.swap_remove(choice)))
}

/// Whether the caller brings an L402 credential of their own.
pub(crate) fn has_own_credential(headers: &HeaderMap) -> bool {
    headers.get_all(AUTHORIZATION).iter().any(|value| is_l402_authorization(value.as_bytes()))
}
