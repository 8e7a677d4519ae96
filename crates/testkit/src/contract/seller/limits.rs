//! What a request may ask for.

use super::shop::{PRICE, Shop, fresh_preimage};
use crate::contract::{LackOf, SellerRig};
use l402_lightning::{AmountUnit, InvoiceRequest, InvoicerError, MilliSat, Unsupported};

/// Longest description that is tried, in bytes: as much as an invoice's field can hold.
const DESCRIPTION_BYTES_TRIED: usize = 639;

/// Longer than anybody's.
const EXPIRY_SECS_ABSURD: u32 = u32::MAX;

/// Text in any alphabet, with what would end a string or a line elsewhere, and text as long as it may be.
pub async fn descriptions_arrive_as_they_were_written(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    if shop.lacks_terms() {
        return;
    }
    let longest = shop.invoicer.capabilities().description_bytes_max.min(DESCRIPTION_BYTES_TRIED);
    for description in [
        "api.example.com/weather".to_owned(),
        "été, 天気, \u{1f327}".to_owned(),
        "\"quoted\" \\ & <tags> 100 % + 1 = ?#{}".to_owned(),
        "x".repeat(longest),
    ] {
        if description.len() <= longest {
            shop.sell(&InvoiceRequest { description, ..shop.request() }).await;
        }
    }
}

/// Nothing that a node cannot do is tried, and nothing is cut short.
pub async fn requests_beyond_the_node_are_unsupported(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    let mut beyond = vec![
        (InvoiceRequest { amount: MilliSat::ZERO, ..shop.request() }, Unsupported::Amount),
        (InvoiceRequest { amount: MilliSat::from_msat(u64::MAX), ..shop.request() }, Unsupported::Amount),
    ];
    if !shop.lacks_terms() {
        beyond.push((InvoiceRequest { expiry_secs: 0, ..shop.request() }, Unsupported::Expiry));
        beyond.push((
            InvoiceRequest { expiry_secs: EXPIRY_SECS_ABSURD, ..shop.request() },
            Unsupported::Expiry,
        ));
        let description = "x".repeat(shop.invoicer.capabilities().description_bytes_max.saturating_add(1));
        beyond.push((InvoiceRequest { description, ..shop.request() }, Unsupported::Description));
    }
    for (request, what) in beyond {
        let answer = shop.create(&request).await;
        assert_eq!(answer, Err(InvoicerError::Unsupported(what)), "beyond the node: {request:?}");
    }
    shop.assert_count(0, "after refusals");
}

/// Where parts of a satoshi are unknown they are refused, not rounded.
pub async fn amounts_are_exact_or_unsupported(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    let whole = shop.invoicer.capabilities().amount_unit == AmountUnit::Sat;
    let exact = !shop.lacks(LackOf::MilliSat, whole);
    for msat in [1, 999, 10_001, 10_500] {
        let request = InvoiceRequest { amount: MilliSat::from_msat(msat), ..shop.request() };
        if exact {
            shop.sell(&request).await;
        } else {
            let answer = shop.create(&request).await;
            let refused = Err(InvoicerError::Unsupported(Unsupported::Amount));
            assert_eq!(answer, refused, "{msat} msat has to be refused");
        }
    }
    for sat in [1, 21, 1_000] {
        let amount = MilliSat::from_msat(sat * 1_000);
        shop.sell(&InvoiceRequest { amount, ..shop.request() }).await;
    }
    shop.assert_count(if exact { 7 } else { 3 }, "after requests for several amounts");
}

/// A preimage that is handed in is the one that is sold; where none is taken, the request is refused.
pub async fn a_preimage_is_taken_or_unsupported(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    let preimage = fresh_preimage();
    let request = InvoiceRequest { amount: PRICE, preimage: Some(preimage.clone()), ..shop.request() };
    if shop.lacks_chosen_preimage() {
        let answer = shop.create(&request).await;
        let refused = Err(InvoicerError::Unsupported(Unsupported::ChosenPreimage));
        assert_eq!(answer, refused, "a preimage has to be refused");
        shop.assert_count(0, "after a refusal");
        return;
    }
    let invoice = shop.sell(&request).await;
    let settled = rig.settle(&invoice).await;
    assert_eq!(settled.as_bytes(), preimage.as_bytes(), "who pays has to learn the preimage handed in");
    // And a request may leave the choice to the node.
    let own = InvoiceRequest { preimage: None, ..shop.request() };
    let (one, other) = (shop.sell(&own).await, shop.sell(&own).await);
    assert_ne!(one.payment_hash(), other.payment_hash(), "the node's own preimages have to differ");
}
