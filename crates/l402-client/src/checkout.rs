//! Getting a token for a demand: from the store if somebody bought it, else by one purchase under a lock.

use std::time::Duration;

use l402_lightning::PayError;
use tokio::time::Instant;

use crate::approval::{self, Approved};
use crate::buyer::{Buyer, Demand, Purse, Spending};
use crate::error::FetchError;
use crate::event::{Event, Receipt};
use crate::origin::{Origin, Scheme};
use crate::purchase::{Purchase, Step, Terms};
use crate::vault::{LockAttempt, LockOwner, PurchaseRecord, ScopeLock, Stage};
use crate::wallet::Wallet;

/// How much longer than a whole purchase somebody else's is waited for.
const LOCK_MARGIN: Duration = Duration::from_secs(40);
/// First and longest pause between two looks at a held lock.
const LOCK_PAUSE_MIN: Duration = Duration::from_millis(5);
const LOCK_PAUSE_MAX: Duration = Duration::from_millis(100);
/// How long a sign of somebody else's purchase is looked for: one exchange with the server.
const SIGN_WAIT: Duration = Duration::from_secs(1);
/// How long an expired token is kept once a new one is there.
const EXPIRED_KEPT_SECS: u64 = 24 * 60 * 60;
/// The wallet's own deadline should end a call; this ends one that ignores it.
const PAY_MARGIN: Duration = Duration::from_secs(5);

impl Buyer {
    /// A token for the demand, with a receipt if it had to be paid for.
    pub(crate) async fn obtain(
        &self,
        origin: &Origin,
        demand: &Demand,
    ) -> Result<(PurchaseRecord, Option<Receipt>), FetchError> {
        if let Some(token) = self.in_store(origin, demand).await? {
            return Ok((token, None));
        }
        let Spending::UpTo(cap) = self.spending else {
            return Err(FetchError::NotAllowed { offer: Box::new(demand.offer.clone()) });
        };
        let _lock = self.lock(origin, demand).await?;
        // Whoever held the lock before may have bought it.
        if let Some(token) = self.in_store(origin, demand).await? {
            return Ok((token, None));
        }
        let started_at = (self.clock)();
        let older = self.unresolved(origin, demand).await?;
        let mut fresh = Approved::check(demand.offer.clone(), cap, started_at);
        if let (Err(refusal), []) = (&fresh, older.as_slice()) {
            return Err(refusal.clone().into());
        }
        if origin.scheme() == Scheme::Http && !origin.is_loopback() {
            (self.witness)(&Event::Unprotected { origin });
        }
        if let Ok(approved) = &fresh {
            (self.witness)(&Event::PriceAsked { approved });
        }
        let wallet = self.open_wallet(demand, older.first()).await?;
        fresh = fresh.and_then(|approved| {
            let capabilities = wallet.payer().capabilities();
            approval::wallet_fits(capabilities, wallet.accepts_wallet_fees(), approved.invoice())?;
            Ok(approved)
        });
        let terms = Terms {
            origin: origin.clone(),
            scope: demand.scope.clone(),
            path: demand.path.clone(),
            cap,
            timeout: self.payment_timeout,
            wallet: wallet.name().to_owned(),
            started_at,
        };
        let (token, receipt) = self.run(Purchase::new(terms, older, fresh), &wallet).await?;
        self.clear_away(&token).await;
        Ok((token, Some(receipt)))
    }

    /// Removes long expired tokens that the new one takes the place of. Refused ones stay: they are a person's decision.
    async fn clear_away(&self, new: &PurchaseRecord) {
        let (origin, scope) = (new.origin.clone(), new.scope.clone());
        let long_ago = (self.clock)().saturating_sub(EXPIRED_KEPT_SECS);
        let cleared = self.with_vault(move |vault| {
            for record in vault.purchases(&origin)? {
                if record.scope == scope && record.is_spent_by(long_ago) {
                    vault.remove(&origin, record.payment_hash)?;
                }
            }
            Ok(())
        });
        if let Err(error) = cleared.await {
            (self.witness)(&Event::NotSaved { error: &error });
        }
    }

    fn check_fee(&self, record: &PurchaseRecord, receipt: &Receipt) {
        let limit = record.cap.zip(record.amount).and_then(|(cap, amount)| cap.checked_sub(amount));
        if let (Some(fee_max), Some(fee)) = (limit, receipt.fee)
            && fee > fee_max
        {
            (self.witness)(&Event::LimitBroken { receipt, fee_max });
        }
    }

    /// A paid token that opens the demand and was not just shown in vain. A refused one stops the purchase.
    async fn in_store(&self, origin: &Origin, demand: &Demand) -> Result<Option<PurchaseRecord>, FetchError> {
        let place = origin.clone();
        let records = self.with_vault(move |vault| vault.purchases(&place)).await?;
        let shown = demand.shown.as_ref().map(|record| record.payment_hash);
        let now = (self.clock)();
        let opens = |record: &&PurchaseRecord| record.scope.covers(&demand.scope);
        let usable = records
            .iter()
            .filter(opens)
            .find(|record| record.is_usable(now) && Some(record.payment_hash) != shown);
        if let Some(token) = usable {
            return Ok(Some(token.clone()));
        }
        // The offered payment is one already made: there is nothing to buy. By scope or by path: a seller that names
        // another scope each time is not paid each time.
        let hash = demand.offer.identifier.payment_hash;
        let spoilt = |record: &&PurchaseRecord| {
            record.was_refused() && (opens(record) || record.path == demand.path)
                || record.paid().is_some() && record.payment_hash == hash
        };
        match records.iter().find(spoilt) {
            Some(record) => {
                Err(FetchError::StillRefused { hash: record.payment_hash, origin: origin.clone() })
            }
            None => Ok(None),
        }
    }

    async fn unresolved(&self, origin: &Origin, demand: &Demand) -> Result<Vec<PurchaseRecord>, FetchError> {
        let place = origin.clone();
        let mut records = self.with_vault(move |vault| vault.purchases(&place)).await?;
        records.retain(|record| matches!(record.stage, Stage::Intended) && record.scope == demand.scope);
        Ok(records)
    }

    async fn lock(&self, origin: &Origin, demand: &Demand) -> Result<ScopeLock, FetchError> {
        let patience = self.payment_timeout.saturating_add(LOCK_MARGIN);
        let deadline = Instant::now() + patience;
        let mut pause = LOCK_PAUSE_MIN;
        let mut told = false;
        loop {
            let (place, scope) = (origin.clone(), demand.scope.clone());
            let now = (self.clock)();
            let owner = LockOwner::this_process(now, now.saturating_add(patience.as_secs()));
            match self.with_vault(move |vault| vault.try_lock(&place, &scope, &owner)).await? {
                LockAttempt::Taken(lock) => return Ok(lock),
                LockAttempt::Held(owner) if Instant::now() >= deadline => {
                    return Err(FetchError::Busy { owner });
                }
                LockAttempt::Held(owner) => {
                    if !told {
                        (self.witness)(&Event::Waiting { owner: owner.as_ref() });
                        told = true;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LOCK_PAUSE_MAX);
                }
            }
        }
    }

    /// Waits for a purchase of another process at `origin` to bring a token; `false` if none is under way.
    ///
    /// For a server that has no more challenges to give just now: many buyers that start together are one purchase, and
    /// all but a few of them may never see a price.
    pub(crate) async fn somebody_bought(&self, origin: &Origin) -> Result<bool, FetchError> {
        let start = Instant::now();
        let deadline = start + self.payment_timeout.saturating_add(LOCK_MARGIN);
        loop {
            let place = origin.clone();
            let now = (self.clock)();
            let (bought, buying) = self
                .with_vault(move |vault| {
                    // In this order: a purchase that ends in between leaves its token first.
                    let buying = vault.is_buying(&place)?;
                    Ok((vault.purchases(&place)?.iter().any(|record| record.is_usable(now)), buying))
                })
                .await?;
            if bought || Instant::now() >= deadline || (!buying && start.elapsed() >= SIGN_WAIT) {
                return Ok(bought);
            }
            tokio::time::sleep(LOCK_PAUSE_MAX).await;
        }
    }

    async fn open_wallet(
        &self,
        demand: &Demand,
        unresolved: Option<&PurchaseRecord>,
    ) -> Result<Wallet, FetchError> {
        let address = match &self.purse {
            Purse::Open(wallet) => return Ok(wallet.clone()),
            Purse::At(address) => address,
            Purse::None => {
                return Err(match unresolved {
                    Some(record) => FetchError::NobodyToAsk { hash: record.payment_hash },
                    None => FetchError::NoWallet { offer: Box::new(demand.offer.clone()) },
                });
            }
        };
        Wallet::open(address).await.map_err(|source| match unresolved {
            Some(record) => FetchError::CannotAsk { hash: record.payment_hash, source },
            None => source.into(),
        })
    }

    /// Does what the purchase says until it ends.
    async fn run(
        &self,
        mut purchase: Purchase,
        wallet: &Wallet,
    ) -> Result<(PurchaseRecord, Receipt), FetchError> {
        let start = Instant::now();
        let mut earlier = true;
        let mut asked = None;
        loop {
            purchase = match purchase.step() {
                Step::LookUp(hash) => {
                    if asked.replace(hash) != Some(hash) {
                        (self.witness)(&Event::Resolving { hash });
                    }
                    let answer = wallet.payer().lookup(hash).await;
                    purchase.looked_up(answer, start.elapsed())
                }
                Step::Pause(pause) => {
                    tokio::time::sleep(pause).await;
                    purchase.paused()
                }
                Step::Write(record) => {
                    let is_token = record.paid().is_some();
                    match self.with_vault(move |vault| vault.write(&record)).await {
                        Err(error) if is_token => (self.witness)(&Event::NotSaved { error: &error }),
                        written => written?,
                    }
                    purchase.written(start.elapsed())
                }
                Step::Forget(origin, hash) => {
                    self.with_vault(move |vault| vault.remove(&origin, hash)).await?;
                    purchase.forgotten()
                }
                Step::Pay(invoice, limits) => {
                    earlier = false;
                    let (amount, fee_max) = (invoice.amount(), limits.fee_max);
                    (self.witness)(&Event::Paying { amount, fee_max, wallet: wallet.name() });
                    let call = wallet.payer().pay(&invoice, limits);
                    let answer = tokio::time::timeout(limits.timeout.saturating_add(PAY_MARGIN), call).await;
                    let unknown = PayError::OutcomeUnknown(l402_lightning::UnknownCause::Timeout);
                    purchase.paid(answer.unwrap_or(Err(unknown)), start.elapsed())
                }
                Step::Finished(outcome) => {
                    let record = *outcome?;
                    let receipt = Receipt {
                        hash: record.payment_hash,
                        amount: record.amount,
                        fee: record.paid().and_then(|paid| paid.fee),
                        took: start.elapsed(),
                        earlier,
                    };
                    (self.witness)(&Event::Paid { receipt: &receipt });
                    self.check_fee(&record, &receipt);
                    return Ok((record, receipt));
                }
            };
        }
    }
}
