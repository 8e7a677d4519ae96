//! What a group of operations changed, as one array per column, so that one statement writes all rows of a kind.
//!
//! Rows are in the order of their keys: everybody inserts in the same order, so that two who insert the same keys wait for
//! each other and not in a circle.

use crate::{
    load::Loaded,
    rows::{self, Answers, kind},
};
use l402::TokenId;
use l402_paywall::ledger::{
    Account, AccountKey, Changes, ClaimRecord, ClaimState, EndedBy, Entry, EntryKind, Owner, Reservation,
    ReservationId,
};
use std::collections::BTreeMap;
use tokio_postgres::types::ToSql;

/// A parameter of a statement.
type Parameter<'a> = &'a (dyn ToSql + Sync);

/// Everything that has to be written, by statement.
#[derive(Default)]
pub(crate) struct Columns<'a> {
    pub(crate) new_accounts: AccountColumns<'a>,
    pub(crate) accounts: AccountColumns<'a>,
    pub(crate) new_reservations: ReservationColumns<'a>,
    pub(crate) reservations: ReservationColumns<'a>,
    pub(crate) gone_reservations: Vec<&'a [u8]>,
    pub(crate) new_tokens: TokenColumns<'a>,
    pub(crate) tokens: TokenColumns<'a>,
    pub(crate) claims: ClaimColumns<'a>,
    pub(crate) gone_claims: Vec<&'a [u8]>,
    pub(crate) journal: JournalColumns<'a>,
}

#[derive(Default)]
pub(crate) struct AccountColumns<'a> {
    key: Vec<&'a [u8]>,
    token_id: Vec<Option<&'a [u8]>>,
    service: Vec<Option<&'a str>>,
    parent: Vec<Option<&'a [u8]>>,
    credited: Vec<i64>,
    debited: Vec<i64>,
    balance: Vec<i64>,
    reserved: Vec<i64>,
    owed: Vec<i64>,
    is_revoked: Vec<bool>,
}

#[derive(Default)]
pub(crate) struct ReservationColumns<'a> {
    id: Vec<&'a [u8]>,
    accounts: Vec<Vec<u8>>,
    claim: Vec<Option<&'a [u8]>>,
    units: Vec<i64>,
    deadline: Vec<i64>,
}

#[derive(Default)]
pub(crate) struct TokenColumns<'a> {
    id: Vec<&'a [u8]>,
    account: Vec<Option<&'a [u8]>>,
    revoked_at: Vec<Option<i64>>,
}

#[derive(Default)]
pub(crate) struct ClaimColumns<'a> {
    key: Vec<&'a [u8]>,
    reservation: Vec<&'a [u8]>,
    request: Vec<&'a [u8]>,
    expires_at: Vec<i64>,
    is_answered: Vec<bool>,
    answer: Answers<'a>,
}

#[derive(Default)]
pub(crate) struct JournalColumns<'a> {
    at: Vec<i64>,
    kind: Vec<i16>,
    accounts: Vec<Vec<u8>>,
    credited: Vec<i64>,
    reserved: Vec<i64>,
    charged: Vec<i64>,
    overrun: Vec<i64>,
    owed: Vec<i64>,
    reservation: Vec<Option<&'a [u8]>>,
    claim: Vec<Option<&'a [u8]>>,
    cap: Vec<Option<&'a [u8]>>,
}

/// What a row of `tokens` is to say beyond what it says.
#[derive(Default)]
struct TokenNews<'a> {
    account: Option<&'a AccountKey>,
    revoked_at: Option<u64>,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(changes: &'a Changes, loaded: &Loaded) -> Self {
        let mut columns = Self::default();
        let mut tokens = BTreeMap::<&[u8; 32], TokenNews<'a>>::new();
        for (key, account) in sorted(&changes.accounts) {
            let Some(account) = account else { continue }; // accounts stay
            if loaded.accounts.contains(key) {
                columns.accounts.push(key, account);
                continue;
            }
            columns.new_accounts.push(key, account);
            if let Owner::Purchase { token_id, .. } = &account.owner {
                tokens.entry(token_id.as_bytes()).or_default().account = Some(key);
            }
        }
        for (id, reservation) in sorted(&changes.open) {
            match (reservation, loaded.reservations.contains(id)) {
                (Some(reservation), false) => columns.new_reservations.push(id, reservation),
                (Some(reservation), true) => columns.reservations.push(id, reservation),
                (None, true) => columns.gone_reservations.push(id.as_bytes()),
                (None, false) => {} // came and went within the group
            }
        }
        for (id, record) in &changes.tokens {
            tokens.entry(id.as_bytes()).or_default().revoked_at = record.and_then(|record| record.revoked_at);
        }
        for (id, news) in tokens {
            let is_known = loaded.tokens.contains(&TokenId::from_bytes(*id));
            if is_known { &mut columns.tokens } else { &mut columns.new_tokens }.push(id, &news);
        }
        for (key, claim) in sorted(&changes.claims) {
            match claim {
                Some(claim) => columns.claims.push(key, claim),
                None => columns.gone_claims.push(key),
            }
        }
        changes.journal.iter().for_each(|entry| columns.journal.push(entry));
        columns
    }

    /// Whether a token is revoked among all this.
    pub(crate) fn has_revocations(&self) -> bool {
        [&self.new_tokens, &self.tokens].iter().any(|tokens| tokens.revoked_at.iter().any(Option::is_some))
    }
}

impl<'a> AccountColumns<'a> {
    pub(crate) fn len(&self) -> usize {
        self.key.len()
    }

    /// For rows that are new.
    pub(crate) fn whole(&self) -> [Parameter<'_>; 10] {
        [
            &self.key,
            &self.token_id,
            &self.service,
            &self.parent,
            &self.credited,
            &self.debited,
            &self.balance,
            &self.reserved,
            &self.owed,
            &self.is_revoked,
        ]
    }

    /// For rows whose sums change.
    pub(crate) fn sums(&self) -> [Parameter<'_>; 6] {
        [&self.key, &self.debited, &self.balance, &self.reserved, &self.owed, &self.is_revoked]
    }

    fn push(&mut self, key: &'a AccountKey, account: &'a Account) {
        let (token_id, service, parent) = match &account.owner {
            Owner::Purchase { token_id, service } => {
                (Some(&token_id.as_bytes()[..]), Some(service.as_str()), None)
            }
            Owner::Cap(parent) => (None, None, Some(&parent.as_bytes()[..])),
        };
        self.key.push(key.as_bytes());
        self.token_id.push(token_id);
        self.service.push(service);
        self.parent.push(parent);
        self.credited.push(account.credited.signed());
        self.debited.push(account.debited.signed());
        self.balance.push(account.balance.signed());
        self.reserved.push(account.reserved.signed());
        self.owed.push(account.owed.signed());
        self.is_revoked.push(account.is_revoked);
    }
}

impl<'a> ReservationColumns<'a> {
    pub(crate) fn len(&self) -> usize {
        self.id.len()
    }

    /// For rows that are new.
    pub(crate) fn whole(&self) -> [Parameter<'_>; 5] {
        [&self.id, &self.accounts, &self.claim, &self.units, &self.deadline]
    }

    /// For rows that hold more now.
    pub(crate) fn terms(&self) -> [Parameter<'_>; 3] {
        [&self.id, &self.units, &self.deadline]
    }

    fn push(&mut self, id: &'a ReservationId, reservation: &'a Reservation) {
        self.id.push(id.as_bytes());
        self.accounts.push(rows::chain_bytes(&reservation.handle.accounts));
        self.claim.push(reservation.handle.claim.as_ref().map(|key| &key[..]));
        self.units.push(reservation.units.signed());
        self.deadline.push(rows::seconds(reservation.deadline));
    }
}

impl<'a> TokenColumns<'a> {
    pub(crate) fn len(&self) -> usize {
        self.id.len()
    }

    pub(crate) fn whole(&self) -> [Parameter<'_>; 3] {
        [&self.id, &self.account, &self.revoked_at]
    }

    fn push(&mut self, id: &'a [u8; 32], news: &TokenNews<'a>) {
        self.id.push(id);
        self.account.push(news.account.map(|key| &key.as_bytes()[..]));
        self.revoked_at.push(news.revoked_at.map(rows::seconds));
    }
}

impl<'a> ClaimColumns<'a> {
    pub(crate) fn len(&self) -> usize {
        self.key.len()
    }

    pub(crate) fn whole(&self) -> [Parameter<'_>; 6] {
        [&self.key, &self.reservation, &self.request, &self.expires_at, &self.is_answered, &self.answer]
    }

    fn push(&mut self, key: &'a [u8; 32], claim: &'a ClaimRecord) {
        let (is_answered, answer) = match &claim.state {
            ClaimState::InFlight => (false, None),
            ClaimState::Answered(answer) => (true, answer.as_deref()),
        };
        self.key.push(key);
        self.reservation.push(claim.reservation.as_bytes());
        self.request.push(&claim.request);
        self.expires_at.push(rows::seconds(claim.expires_at));
        self.is_answered.push(is_answered);
        self.answer.0.push(answer);
    }
}

impl<'a> JournalColumns<'a> {
    pub(crate) fn len(&self) -> usize {
        self.at.len()
    }

    pub(crate) fn whole(&self) -> [Parameter<'_>; 11] {
        [
            &self.at,
            &self.kind,
            &self.accounts,
            &self.credited,
            &self.reserved,
            &self.charged,
            &self.overrun,
            &self.owed,
            &self.reservation,
            &self.claim,
            &self.cap,
        ]
    }

    fn push(&mut self, entry: &'a Entry) {
        let own = || entry.account.as_bytes().to_vec();
        let (kind, accounts, cap, ended) = match &entry.kind {
            EntryKind::Credited => (kind::CREDITED, own(), None, None),
            EntryKind::CapOpened(cap) => (kind::CAP_OPENED, own(), Some(&cap.as_bytes()[..]), None),
            EntryKind::Revoked => (kind::REVOKED, own(), None, None),
            EntryKind::Ended { handle, by } => {
                let kind = match by {
                    EndedBy::Settle => kind::SETTLED,
                    EndedBy::Release => kind::RELEASED,
                    EndedBy::Expire => kind::EXPIRED,
                };
                (kind, rows::chain_bytes(&handle.accounts), None, Some(handle))
            }
        };
        self.at.push(rows::seconds(entry.at));
        self.kind.push(kind);
        self.accounts.push(accounts);
        self.credited.push(entry.credited.signed());
        self.reserved.push(entry.reserved.signed());
        self.charged.push(entry.charged.signed());
        self.overrun.push(entry.overrun.signed());
        self.owed.push(entry.owed.signed());
        self.reservation.push(ended.map(|handle| &handle.id.as_bytes()[..]));
        self.claim.push(ended.and_then(|handle| handle.claim.as_ref()).map(|key| &key[..]));
        self.cap.push(cap);
    }
}

fn sorted<K: Ord, V>(rows: &[(K, V)]) -> impl Iterator<Item = &(K, V)> {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    rows.into_iter()
}
