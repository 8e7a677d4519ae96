//! Purchases that are known to be in the ledger, and what was sold by those that this gateway put there. Who books a
//! purchase first has sold it, so that over all gateways of a ledger each is counted once.

use crate::{
    StoreError,
    ledger::{AccountKey, Effect, Ledger, Operation, Purse, Units},
};
use l402::Name;
use std::{
    collections::{BTreeMap, HashSet},
    fmt, mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// So many of the purchases seen last are remembered, and at most as many before them: 9 MB in all. One that was forgotten
/// costs one more step of the ledger.
const REMEMBERED: usize = 65_536;

#[derive(Default)]
pub(crate) struct Booked(Mutex<Known>);

#[derive(Default)]
struct Known {
    latest: HashSet<AccountKey>,
    earlier: HashSet<AccountKey>,
    sold: BTreeMap<Name, u64>,
}

impl Booked {
    /// Books a purchase that was not seen here before.
    pub(crate) async fn book(&self, ledger: &dyn Ledger, purse: &Purse, at: u64) -> Result<(), StoreError> {
        let account = AccountKey::of_payment(purse.payment_hash);
        if self.known().contains(account) {
            return Ok(());
        }
        if let Effect::Credited { is_new, .. } = ledger.apply(Operation::Credit(purse.clone()), at).await? {
            let mut known = self.known();
            known.remember(account);
            if is_new {
                let sold = known.sold.entry(purse.service.clone()).or_default();
                *sold = sold.saturating_add(purse.pack.get());
            }
        }
        Ok(())
    }

    /// Units that were sold since the last call, by service.
    pub(super) fn take_sold(&self) -> Vec<(Name, Units)> {
        let sold = mem::take(&mut self.known().sold);
        sold.into_iter().map(|(service, units)| (service, Units::new(units).unwrap_or(Units::MAX))).collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // nothing in here panics half way
    }
}

impl Known {
    fn contains(&self, account: AccountKey) -> bool {
        self.latest.contains(&account) || self.earlier.contains(&account)
    }

    fn remember(&mut self, account: AccountKey) {
        if self.latest.len() >= REMEMBERED {
            self.earlier = mem::take(&mut self.latest);
        }
        self.latest.insert(account);
    }
}

impl fmt::Debug for Booked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Booked").field("latest", &self.known().latest.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_the_latest_stays() {
        let account = |number: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            AccountKey::from_bytes(key)
        };
        let mut known = Known::default();
        for number in 0..3 * REMEMBERED {
            known.remember(account(number));
            assert!(known.contains(account(number)));
        }
        assert!(known.latest.len() + known.earlier.len() <= 2 * REMEMBERED);
        assert!(known.contains(account(2 * REMEMBERED)) && !known.contains(account(0)));
    }
}
