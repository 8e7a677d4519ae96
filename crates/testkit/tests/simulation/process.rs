//! A gateway's process: a gate with everything that is in memory, which a crash takes away, and what looks after the
//! ledger meanwhile.

use crate::{
    dice::Dice,
    node::Node,
    pause,
    settlements::Settlements,
    slip::Slip,
    store::{Store, Wire},
    story::Story,
    tariff::{Sold, Tariff},
};
use l402::TokenId;
use l402_lightning::Network;
use l402_paywall::{
    Gate, GateParts, KeyRing, Mint, Now, Rate, RouteTable, SettlementCheck, StoreError,
    ledger::{Effect, Ledger, Operation},
    metering::Metering,
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// How many reservations one sweep ends at a time.
const SWEPT_MAX: usize = 4;
/// Seconds that units are held for a request.
const HOLD_SECS: u64 = 60;
/// Challenges for one client network; all clients of a world are in one.
const CHALLENGES: Rate = Rate { count: 8, period_secs: 60 };
/// How often an operator asks for a revocation whose outcome is unknown.
const TRIES_MAX: u32 = 4;

/// What every process of a world is made from.
#[derive(Clone)]
pub(crate) struct Premises {
    pub(crate) dice: Arc<Dice>,
    pub(crate) story: Story,
    pub(crate) store: Arc<Store>,
    pub(crate) node: Arc<Node>,
    pub(crate) keys: Arc<KeyRing>,
    /// Where the seller wants settled payments: which of them are.
    pub(crate) settlements: Option<Arc<Settlements>>,
    pub(crate) tariff: Arc<Tariff>,
    /// The true time, in Unix seconds.
    pub(crate) time: Arc<AtomicU64>,
    /// Whether one gateway has the ledger for itself.
    pub(crate) is_alone: bool,
    pub(crate) slip: Option<Slip>,
}

/// A gateway from its start to its crash.
pub(crate) struct Process {
    pub(crate) number: u64,
    pub(crate) premises: Premises,
    /// A new one with every configuration.
    gate: Mutex<Arc<Gate>>,
    metering: Arc<Metering>,
    settlement: Option<Arc<SettlementCheck>>,
    wire: Arc<Wire>,
    /// What its clock shows, in Unix seconds.
    clock: Arc<AtomicU64>,
    is_ready: AtomicBool,
    /// Tokens whose revocation it has read.
    followed: Mutex<BTreeSet<[u8; 32]>>,
}

impl Process {
    /// A new process, with nothing in memory.
    pub(crate) fn start(premises: &Premises, number: u64, clock: Arc<AtomicU64>, packs: [Sold; 2]) -> Self {
        let wire = Arc::new(Wire::new(Arc::clone(&premises.store), number));
        let ledger: Arc<dyn Ledger> = Arc::<Wire>::clone(&wire);
        let metering = Arc::new(Metering::new(Some(ledger), &*premises.dice));
        let check = |settlements: &Arc<Settlements>| {
            let (store, node) = (Arc::<Settlements>::clone(settlements), Arc::<Node>::clone(&premises.node));
            Arc::new(SettlementCheck::new(store, node))
        };
        let settlement = premises.settlements.as_ref().map(check);
        Self {
            number,
            premises: premises.clone(),
            gate: Mutex::new(Arc::new(gate(premises, &metering, settlement.as_ref(), packs, None))),
            metering,
            settlement,
            wire,
            clock,
            is_ready: AtomicBool::new(false),
            followed: Mutex::default(),
        }
    }

    /// The gate of its present configuration. A request keeps the one that it began with.
    pub(crate) fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate.lock().unwrap())
    }

    /// It reads its configuration anew, and goes on with what it has in memory.
    pub(crate) fn reload(&self, packs: [Sold; 2]) {
        let previous = self.gate();
        let new = gate(&self.premises, &self.metering, self.settlement.as_ref(), packs, Some(&previous));
        *self.gate.lock().unwrap() = Arc::new(new);
    }

    /// Its clock, and the time that never jumps.
    pub(crate) fn now(&self) -> Now {
        Now { unix: self.clock.load(Ordering::Relaxed), monotonic_ns: self.true_time() * 1_000_000_000 }
    }

    /// The time that never jumps, in seconds.
    pub(crate) fn true_time(&self) -> u64 {
        self.premises.time.load(Ordering::Relaxed)
    }

    pub(crate) fn slips(&self, slip: Slip) -> bool {
        self.premises.slip == Some(slip)
    }

    /// Whether it takes requests.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    /// Whether it has read that this token is revoked.
    pub(crate) fn has_followed(&self, token_id: TokenId) -> bool {
        self.followed.lock().unwrap().contains(token_id.as_bytes())
    }

    /// It dies.
    pub(crate) fn die(&self) {
        self.wire.cut(!self.premises.is_alone);
    }

    /// Before anything is served: reads which tokens are revoked, and ends what an earlier process left open.
    pub(crate) async fn begin(self: Arc<Self>) {
        let until = if self.premises.is_alone { u64::MAX } else { self.now().unix };
        while self.follow().await.is_err() || self.sweep(until).await.is_err() {
            pause().await;
        }
        self.is_ready.store(true, Ordering::Relaxed);
        self.premises.story.tell(|| format!("process {} takes requests", self.number));
    }

    /// Looks after the ledger once.
    pub(crate) async fn keep(self: Arc<Self>) {
        let kept = async {
            self.follow().await?;
            self.wire.forget_claims(self.now().unix).await?;
            self.sweep(self.now().unix).await
        };
        // Whatever failed is tried again the next time.
        if kept.await.is_err() {
            self.premises.story.count("upkeep failed");
        }
    }

    /// An operator revokes a token here; says whether it was acknowledged.
    pub(crate) async fn revoke(&self, token_id: TokenId) -> bool {
        for _ in 0..TRIES_MAX {
            if self.wire.apply(Operation::Revoke(token_id), self.now().unix).await.is_ok() {
                return true;
            }
            pause().await;
        }
        false
    }

    async fn follow(&self) -> Result<(), StoreError> {
        let revoked: Vec<_> = self.premises.store.rows().revoked.iter().map(|id| *id.as_bytes()).collect();
        self.metering.revoked().catch_up(&*self.wire).await?;
        self.followed.lock().unwrap().extend(revoked);
        Ok(())
    }

    async fn sweep(&self, until: u64) -> Result<(), StoreError> {
        loop {
            let overdue = self.wire.overdue(until, SWEPT_MAX).await?;
            let (count, rule) = (overdue.len(), self.premises.tariff.on_crash);
            let expire = |handle| self.wire.apply(Operation::Expire { handle, rule }, self.now().unix);
            let expiries: Vec<_> = overdue.into_iter().map(expire).collect();
            let mut ended = 0;
            for expiry in expiries {
                ended += usize::from(matches!(expiry.await?, Effect::Ended { is_new: true, .. }));
            }
            if count < SWEPT_MAX || ended == 0 {
                return Ok(());
            }
        }
    }
}

fn gate(
    premises: &Premises,
    metering: &Arc<Metering>,
    settlement: Option<&Arc<SettlementCheck>>,
    packs: [Sold; 2],
    previous: Option<&Gate>,
) -> Gate {
    let (node, dice) = (Arc::<Node>::clone(&premises.node), Arc::<Dice>::clone(&premises.dice));
    let mut mint = Mint::new(node, Network::Regtest, dice);
    mint.limits.per_network = CHALLENGES;
    if let Some(previous) = previous {
        mint = mint.continuing(previous.mint());
    }
    let table = RouteTable::build(vec![premises.tariff.service(packs)], &mint.location).unwrap();
    let (keys, metering) = (Arc::clone(&premises.keys), Arc::clone(metering));
    Gate::new(GateParts {
        table,
        keys,
        mint,
        settlement: settlement.cloned(),
        metering,
        hold_secs: HOLD_SECS,
    })
}
