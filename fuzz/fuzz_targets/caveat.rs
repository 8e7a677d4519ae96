//! Any caveats are cleared or refused, and a further one never opens what the others closed.

#![no_main]

use l402::{
    Access, Caveat, Credential, Identifier, Macaroon, Name, OfferScheme, Permit, Preimage, RootKey, RootKeys,
    Satisfiers, TokenId, authorization_value, clear, verify,
};
use libfuzzer_sys::fuzz_target;

const NOW: u64 = 1_700_000_000;

struct OneKey;

impl RootKeys for OneKey {
    fn root_key(&self, _id: &Identifier) -> Option<RootKey> {
        Some(RootKey::from_bytes([1; 32]))
    }
}

fuzz_target!(|data: &[u8]| {
    let added: Vec<&[u8]> = data.split(|&byte| byte == b'\n').take(20).collect();
    for text in &added {
        if let Ok(caveat) = Caveat::parse(text) {
            assert_eq!(format!("{}={}", caveat.condition, caveat.value).as_bytes(), *text);
        }
    }
    let minted: [&[u8]; 4] =
        [b"services=a:0,a:1,b:0", b"a_capabilities=x,y", b"a_region=eu", b"a_valid_until=1700000005"];
    let mut was_open = true;
    for count in 0..=added.len() {
        let caveats = [&minted[..], &added[..count]].concat();
        let Some(permit) = permit(&caveats) else {
            was_open = false;
            continue;
        };
        assert!(was_open, "a caveat opened what was closed");
        assert!(permit.expires_at().is_some_and(|until| (NOW + 1..=NOW + 5).contains(&until)));
    }
});

fn permit(caveats: &[&[u8]]) -> Option<Permit> {
    let name = |text: &str| Name::try_from(text).expect("a name");
    let preimage = Preimage::from_bytes([2; 32]);
    let identifier =
        Identifier { payment_hash: preimage.payment_hash(), token_id: TokenId::from_bytes([3; 32]) };
    let token = Macaroon::mint(&RootKey::from_bytes([1; 32]), "", &identifier.to_bytes(), caveats).ok()?;
    let line = authorization_value(OfferScheme::L402, &token, &preimage);
    let credential = Credential::read([line.as_bytes()].into_iter(), std::iter::empty()).ok()??;
    let token = verify(credential, &OneKey).expect("it was minted here");
    let satisfiers = Satisfiers::builder(name("a"))
        .constraint(name("region"), "eu")
        .namespaces(vec![name("a"), name("a_b"), name("b")])
        .build();
    let access = Access {
        service: "a",
        tier: 1,
        capability: Some("x"),
        method: "GET",
        path: "/",
        client: None,
        now: NOW,
    };
    clear(&token, &satisfiers, &access).ok()
}
