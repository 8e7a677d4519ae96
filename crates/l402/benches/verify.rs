//! What one paid request costs in this crate, against the least it could cost.
//!
//! `paid` is header text to [`l402::Permit`]: reading the credential, deriving the root key (HKDF with the extracted
//! key kept), preimage, chain, four caveats. `limit` is the SHA-256 compression function alone, called as often as the
//! token's HMAC chain needs it, with every reusable state kept. Rounds alternate, and medians are compared, so that a
//! busy machine slows both.

#![expect(clippy::expect_used, reason = "a bench may fail")]

use hkdf::Hkdf;
use l402::{
    Access, Credential, Identifier, Name, OfferScheme, Permit, Preimage, RootKey, RootKeys, Satisfiers,
    TokenId, TokenSpec, authorization_value, clear, mint, verify,
};
use sha2::{Sha256, block_api::compress256};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

const ROUNDS: usize = 2_001;
const CALLS_PER_ROUND: u32 = 100;
const NOW: u64 = 1_700_000_000;

/// One master key, as a key ring keeps it: extracted.
struct Keys(Hkdf<Sha256>);

impl RootKeys for Keys {
    fn root_key(&self, id: &Identifier) -> Option<RootKey> {
        let mut secret = [0; 32];
        self.0.expand(&id.to_bytes(), &mut secret).ok()?;
        Some(RootKey::from_bytes(secret))
    }
}

/// A seller's gateway and a buyer's header line.
struct Scene {
    keys: Keys,
    satisfiers: Satisfiers,
    header: String,
}

impl Scene {
    fn new() -> Self {
        let keys = Keys(Hkdf::new(Some(b"l402/root-key/v1"), &[1; 32]));
        let preimage = Preimage::from_bytes([2; 32]);
        let identifier =
            Identifier { payment_hash: preimage.payment_hash(), token_id: TokenId::from_bytes([3; 32]) };
        let spec = TokenSpec {
            service: name("weather"),
            tier: 0,
            capabilities: Vec::new(),
            constraints: vec![(name("region"), "eu".to_owned())],
            units: None,
            valid_until: Some(NOW + 3600),
        };
        let key = keys.root_key(&identifier).expect("one block of output");
        let token = mint(&key, "lsat", &identifier, &spec).expect("a token");
        assert_eq!(token.view().caveat_count(), 4);
        let satisfiers = Satisfiers::builder(name("weather"))
            .constraint(name("region"), "eu")
            .namespaces(vec![name("weather"), name("maps")])
            .build();
        Self { keys, satisfiers, header: authorization_value(OfferScheme::L402, &token, &preimage) }
    }

    fn paid(&self) -> Permit {
        let lines = [self.header.as_bytes()];
        let access = Access {
            service: "weather",
            tier: 0,
            capability: None,
            method: "GET",
            path: "/weather/today",
            client: None,
            now: NOW,
        };
        let credential =
            Credential::read(lines.into_iter(), std::iter::empty()).expect("readable").expect("one");
        let token = verify(credential, &self.keys).expect("ours");
        clear(&token, &self.satisfiers, &access).expect("allowed")
    }
}

/// The blocks of a chain over a 66-byte identifier and four caveats of at most 55 bytes.
fn limit(block: &[u8; 64]) -> [u32; 8] {
    let mut state = [0x6a09_e667; 8];
    // Root key: the constant's two padded blocks are kept, which leaves one block inside and one outside.
    compress256(&mut state, &[*block]);
    compress256(&mut state, &[*block]);
    // Identifier: padded key and two blocks inside; padded key and digest outside.
    compress256(&mut state, &[*block, *block, *block]);
    compress256(&mut state, &[*block, *block]);
    for _caveat in 0..4 {
        compress256(&mut state, &[*block, *block]);
        compress256(&mut state, &[*block, *block]);
    }
    state
}

fn main() {
    let scene = Scene::new();
    let block = [0x5c; 64];
    let (mut paid, mut least) = (Vec::new(), Vec::new());
    for _round in 0..ROUNDS {
        paid.push(time(|| scene.paid()));
        least.push(time(|| limit(black_box(&block))));
    }
    let (paid, least) = (median(paid), median(least));
    let ratio = paid.as_secs_f64() / least.as_secs_f64();
    println!("paid   {:>7.0} ns  header text to permit, 4 caveats", per_call(paid));
    println!("limit  {:>7.0} ns  23 SHA-256 compressions", per_call(least));
    println!("ratio  {ratio:>7.2}     paid / limit, median of {ROUNDS} rounds");
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn time<T>(call: impl Fn() -> T) -> Duration {
    let start = Instant::now();
    for _call in 0..CALLS_PER_ROUND {
        black_box(call());
    }
    start.elapsed()
}

fn median(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

fn per_call(round: Duration) -> f64 {
    round.as_secs_f64() * 1e9 / f64::from(CALLS_PER_ROUND)
}

fn name(text: &str) -> Name {
    text.try_into().expect("a name")
}
