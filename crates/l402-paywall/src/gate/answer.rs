//! Refusals become responses; where buying helps, with a challenge.

use super::{Answer, Client, Gate, Now, head::read_credential};
use crate::{
    mint::Minted,
    refusal::{Refusal, Refused},
    render::{self, Scene},
    route::Found,
};
use http::{HeaderName, Method, request::Parts};
use l402::{Challenge, Macaroon, RootKeys as _, VerifiedToken};
use l402_lightning::Invoice;

/// Names the pack that a client wants to buy, where a service sells several.
const PACK: HeaderName = HeaderName::from_static("l402-pack");

/// Longest token that is told again: it goes out two or three times, and the header block of a 402 has to stay small
/// (wire contract, section 1). Holders can make their tokens longer than they were sold.
const TOKEN_BYTES_TOLD_AGAIN: usize = 1_000;

impl Gate {
    /// Turns a refusal into a response; mints a challenge where buying one would help.
    ///
    /// `HEAD` and `OPTIONS` never mint: they are told the price.
    pub async fn answer(&self, refused: Refused, head: &Parts, client: &Client<'_>, now: Now) -> Answer {
        let Refused { mut refusal, place, open } = refused;
        let found = place.and_then(|place| self.table.at(place));
        let (mut minted, mut offered) = (None, None);
        let asks_price = matches!(head.method, Method::HEAD | Method::OPTIONS);
        if let Some(found) = found.filter(|_| refusal.mints() && !asks_price) {
            offered = open.and_then(|invoice| self.offer_again(head, &invoice, now));
            if offered.is_none() {
                match self.offer(head, client, now, found).await {
                    Ok(made) => minted = Some(made),
                    Err(error) => refusal = error,
                }
            }
        }
        let scene = Scene { refusal: &refusal, found, minted: offered.as_ref().or(minted.as_ref()), head };
        let response = render::response(&scene);
        let service_id = place.map(|place| place.service);
        Answer { response, refusal, service_id, minted: minted.map(|minted| minted.price) }
    }

    /// A new challenge, for the pack that the client names where several are sold. None while the ledger takes nothing.
    async fn offer(
        &self,
        head: &Parts,
        client: &Client<'_>,
        now: Now,
        found: Found<'_>,
    ) -> Result<Minted, Refusal> {
        let sold = match (head.headers.get(PACK), found.rule.packs()) {
            (_, []) => None,
            (None, [first, ..]) => Some(first),
            (Some(wanted), packs) => {
                let pack = packs.iter().find(|pack| pack.name.as_str().as_bytes() == wanted.as_bytes());
                Some(pack.ok_or(Refusal::UnknownPack)?)
            }
        };
        // Nobody is to pay for what cannot be served.
        if sold.is_some()
            && let Some(fault) = self.metering.ledger.as_ref().and_then(|ledger| ledger.fault())
        {
            return Err(Refusal::Ledger(fault));
        }
        let minted = self.mint.offer(&self.keys, found, sold, client.ip, now).await;
        minted.map_err(Refusal::NotMinted)
    }

    /// The challenge that the token in `head` was bought by, told again. `None` where it is of no use any more.
    fn offer_again(&self, head: &Parts, invoice: &Invoice, now: Now) -> Option<Minted> {
        let is_payable = invoice.network() == self.mint.network && !invoice.is_expired(now.unix);
        let price = invoice.amount().filter(|_| is_payable)?;
        let credential = read_credential(head).ok()??;
        let token = l402::verify(credential, &*self.keys).ok()?;
        if token.payment_hash() != invoice.payment_hash() {
            return None;
        }
        let token = self.without_preimage(&token)?;
        if token.as_bytes().len() > TOKEN_BYTES_TOLD_AGAIN {
            return None;
        }
        let challenge = Challenge { token, invoice: invoice.text().to_owned() };
        Some(Minted { challenge, price, units: None, expires_at: invoice.expires_at() })
    }

    /// The token as it was before its holder put the preimage inside, as clients of gRPC do. That restricts nothing, so
    /// nothing is widened without it; every other caveat stays.
    fn without_preimage(&self, token: &VerifiedToken) -> Option<Macaroon> {
        let view = token.macaroon();
        let others = || view.caveats().map(|caveat| caveat.identifier).filter(|text| !is_preimage(text));
        if others().count() == view.caveat_count() {
            return Some(view.to_owned());
        }
        let key = self.keys.root_key(token.identifier())?;
        Macaroon::mint(&key, str::from_utf8(view.location()).ok()?, view.identifier(), others()).ok()
    }
}

fn is_preimage(caveat: &[u8]) -> bool {
    caveat.starts_with(b"preimage=")
}
