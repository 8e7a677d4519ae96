//! The buyer as a library: its own wallet, its own clock, many tasks at once.

#![expect(clippy::unwrap_used, reason = "what a test builds its world from works, or the test has failed")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use l402::PaymentHash;
use l402_client::{
    Buyer, Event, FetchError, Fetched, Purse, Refusal, Request, Spending, SpendingCap, Timeouts, Transport,
    Trust, Vault, Wallet,
};
use l402_lightning::loopback::{Fault, When};
use l402_lightning::{
    BoxFuture, Invoice, MilliSat, Paid, PayError, PayLimits, Payer, PayerCapabilities, PaymentState,
};
use tempfile::TempDir;
use testkit::{Seller, SellerOptions, Trick, VirtualClock, World};
use tokio::runtime::Runtime;

const NOW: u64 = 1_800_000_000;

/// A buyer in a world of its own.
struct Scene {
    world: World,
    seller: Seller,
    home: TempDir,
    runtime: Runtime,
    events: Arc<Mutex<Vec<String>>>,
}

impl Scene {
    fn new(options: SellerOptions) -> Self {
        let world = World::new(1, VirtualClock::standing_at(NOW));
        let seller = world.seller(options);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { world, seller, home: tempfile::tempdir().unwrap(), runtime, events: Arc::default() }
    }

    fn buyer(&self, payer: Arc<dyn Payer>) -> Buyer {
        let events = self.events.clone();
        Buyer {
            vault: Vault::open(&self.home.path().join("l402")).unwrap(),
            transport: Transport::new(Trust::System, Timeouts::default()),
            purse: Purse::Open(Wallet::new("test:", payer)),
            spending: Spending::UpTo(SpendingCap::new(MilliSat::from_msat(20_000))),
            payment_timeout: Duration::from_secs(1),
            clock: self.world.clock.as_fn(),
            witness: Arc::new(move |event: &Event<'_>| events.lock().unwrap().push(format!("{event:?}"))),
        }
    }

    fn fetch_with(&self, payer: Arc<dyn Payer>) -> Result<Fetched, FetchError> {
        let request = Request::get(self.seller.url("/thing").parse().unwrap());
        self.runtime.block_on(self.buyer(payer).fetch(&request))
    }

    fn fetch(&self) -> Result<Fetched, FetchError> {
        self.fetch_with(self.world.node.clone())
    }

    fn happened(&self, what: &str) -> bool {
        self.events.lock().unwrap().iter().any(|event| event.starts_with(what))
    }
}

/// A wallet that pays well and then says something else.
struct Twisted {
    node: Arc<dyn Payer>,
    capabilities: PayerCapabilities,
    fee: MilliSat,
}

impl Payer for Twisted {
    fn capabilities(&self) -> PayerCapabilities {
        self.capabilities
    }

    fn pay<'a>(&'a self, invoice: &'a Invoice, limits: PayLimits) -> BoxFuture<'a, Result<Paid, PayError>> {
        Box::pin(async move { Ok(Paid { fee: self.fee, ..self.node.pay(invoice, limits).await? }) })
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<PaymentState, PayError>> {
        self.node.lookup(payment_hash)
    }
}

#[test]
fn many_tasks_of_one_process_buy_once() {
    let scene = Scene::new(SellerOptions::default());
    scene.world.node.knobs().pay().delay(Duration::from_millis(50));
    let buyer = Arc::new(scene.buyer(scene.world.node.clone()));
    let request = Request::get(scene.seller.url("/thing").parse().unwrap());
    scene.runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let (buyer, request) = (buyer.clone(), request.clone());
            tasks.spawn(async move { buyer.fetch(&request).await.unwrap().answer.status() });
        }
        while let Some(status) = tasks.join_next().await {
            assert_eq!(status.unwrap(), 200);
        }
    });
    assert_eq!((scene.world.node.payments().len(), scene.seller.sales()), (1, 40));
}

#[test]
fn an_expired_token_is_renewed_and_a_refused_one_is_not_even_when_it_expires() {
    let scene = Scene::new(SellerOptions { valid_for_secs: Some(3600), ..SellerOptions::default() });
    assert!(scene.fetch().unwrap().receipt.is_some());
    scene.world.clock.advance(3599);
    assert!(scene.fetch().unwrap().receipt.is_none());
    scene.world.clock.advance(1);
    assert!(scene.fetch().unwrap().receipt.is_some(), "expired by its own word");
    scene.seller.change(|options| options.trick = Trick::AlwaysDemand);
    assert!(matches!(scene.fetch(), Err(FetchError::StillRefused { .. })));
    scene.world.clock.advance(7200);
    assert!(matches!(scene.fetch(), Err(FetchError::StillRefused { .. })), "a person decides");
    assert_eq!(scene.world.node.payments().len(), 2);
}

#[test]
fn a_seller_whose_clock_is_a_little_ahead_is_paid_again() {
    let scene = Scene::new(SellerOptions { valid_for_secs: Some(3600), ..SellerOptions::default() });
    assert!(scene.fetch().unwrap().receipt.is_some());
    scene.world.clock.advance(3600 - 20);
    // The seller takes the token for expired; the buyer's clock gives it twenty seconds more.
    scene.seller.change(|options| options.trick = Trick::AlwaysDemand);
    assert!(matches!(scene.fetch(), Err(FetchError::StillRefused { .. })));
    assert_eq!(
        scene.world.node.payments().len(),
        2,
        "bought again, and only the new token counts as refused"
    );
}

#[test]
fn long_expired_tokens_are_cleared_away() {
    let scene = Scene::new(SellerOptions { valid_for_secs: Some(60), ..SellerOptions::default() });
    for _ in 0..4 {
        scene.fetch().unwrap();
        scene.world.clock.advance(25 * 3600);
    }
    assert_eq!(scene.world.node.payments().len(), 4);
    assert_eq!(Vault::open(&scene.home.path().join("l402")).unwrap().all().unwrap().len(), 1);
}

#[test]
fn a_wallet_that_cannot_do_what_is_needed_is_not_told_to_pay() {
    let scene = Scene::new(SellerOptions::default());
    let able = scene.world.node.capabilities();
    for (capabilities, refusal) in [
        (PayerCapabilities { returns_preimage: false, ..able }, Refusal::NoPreimages),
        (PayerCapabilities { lookup_by_hash: false, ..able }, Refusal::NoLookup),
        (PayerCapabilities { fee_limit: false, ..able }, Refusal::NoFeeLimit),
    ] {
        let node = scene.world.node.clone();
        let wallet = Twisted { node, capabilities, fee: MilliSat::ZERO };
        let error = scene.fetch_with(Arc::new(wallet)).unwrap_err();
        assert!(matches!(&error, FetchError::Refused(found) if *found == refusal), "{error}");
    }
    assert_eq!(scene.world.node.calls().pay, 0);
}

#[test]
fn a_wallet_that_spends_more_than_told_is_named_and_the_goods_are_kept() {
    let scene = Scene::new(SellerOptions::default());
    let node = scene.world.node.clone();
    let capabilities = node.capabilities();
    let wallet = Twisted { node, capabilities, fee: MilliSat::from_msat(10_001) };
    let fetched = scene.fetch_with(Arc::new(wallet)).unwrap();
    assert_eq!(fetched.receipt.unwrap().fee, Some(MilliSat::from_msat(10_001)));
    assert!(scene.happened("LimitBroken"));
}

#[test]
fn nothing_that_is_told_holds_a_secret() {
    let scene = Scene::new(SellerOptions::default());
    scene.world.node.knobs().pay().set_times(1, Fault::Cut(When::After));
    let fetched = scene.fetch().unwrap();
    let preimage = scene.world.node.payments()[0].preimage.reveal_hex();
    let records = Vault::open(&scene.home.path().join("l402")).unwrap().all().unwrap();
    let told = format!("{:?} {:?} {records:?}", scene.events.lock().unwrap(), fetched.receipt);
    assert!(scene.happened("Paying") && scene.happened("Paid"));
    assert!(!told.contains(&preimage));
}
