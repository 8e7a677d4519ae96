//! What the steps of one transaction have changed, written down: each row once, however many of them changed it.

use crate::{
    row::{CAP_OPENED, CREDITED, REVOKED, caps_text, ended_kind},
    trouble::{Trouble, damaged, signed},
};
use l402::TokenId;
use l402_paywall::ledger::{
    Account, AccountKey, Changes, ClaimRecord, ClaimState, Entry, EntryKind, Owner, Reservation,
    ReservationId, TokenRecord, Units,
};
use rusqlite::{Connection, params};
use std::collections::HashMap;

/// Writes everything; `ids` are the accounts that are in the file, new ones included afterwards.
pub(super) fn write(
    connection: &Connection,
    changes: &Changes,
    ids: &mut HashMap<AccountKey, i64>,
) -> Result<(), Trouble> {
    write_accounts(connection, &changes.accounts, ids)?;
    for (id, reservation) in &changes.open {
        write_reservation(connection, *id, reservation.as_ref(), ids)?;
    }
    for (token_id, token) in &changes.tokens {
        write_token(connection, *token_id, *token)?;
    }
    for (key, claim) in &changes.claims {
        write_claim(connection, *key, claim.as_ref())?;
    }
    for entry in &changes.journal {
        write_entry(connection, entry, ids)?;
    }
    Ok(())
}

fn write_accounts(
    connection: &Connection,
    accounts: &[(AccountKey, Option<Account>)],
    ids: &mut HashMap<AccountKey, i64>,
) -> Result<(), Trouble> {
    let accounts = accounts.iter().filter_map(|(key, account)| Some((*key, account.as_ref()?)));
    let (known, mut new): (Vec<_>, Vec<_>) = accounts.partition(|(key, _)| ids.contains_key(key));
    // A delegated budget names its purchase by id.
    new.sort_by_key(|(_, account)| matches!(account.owner, Owner::Cap(_)));
    for (key, account) in known {
        let mut update = connection.prepare_cached(
            "UPDATE account SET credited = ?3, debited = ?4, balance = ?5, reserved = ?6, owed = ?7, is_revoked = ?8 \
             WHERE id = ?1 AND key = ?2",
        )?;
        let Account { credited, debited, balance, reserved, owed, is_revoked, .. } = *account;
        let [credited, debited, balance, reserved, owed] =
            [credited, debited, balance, reserved, owed].map(Units::signed);
        let id = id_of(ids, key)?;
        let name = key.as_bytes();
        if update.execute(params![id, name, credited, debited, balance, reserved, owed, is_revoked])? != 1 {
            return Err(damaged(format!("{key:?} is not where it was")));
        }
    }
    for (key, account) in new {
        let id = insert_account(connection, key, account, ids)?;
        ids.insert(key, id);
    }
    Ok(())
}

fn insert_account(
    connection: &Connection,
    key: AccountKey,
    account: &Account,
    ids: &HashMap<AccountKey, i64>,
) -> Result<i64, Trouble> {
    let (token_id, service, purchase) = match &account.owner {
        Owner::Purchase { token_id, service } => (Some(token_id.as_bytes()), Some(service.as_str()), None),
        Owner::Cap(purchase) => (None, None, Some(id_of(ids, *purchase)?)),
    };
    let mut insert = connection.prepare_cached(
        "INSERT INTO account (key, token_id, service, purchase, credited, debited, balance, reserved, owed, is_revoked) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let id = insert.insert(params![
        key.as_bytes(),
        token_id,
        service,
        purchase,
        account.credited.signed(),
        account.debited.signed(),
        account.balance.signed(),
        account.reserved.signed(),
        account.owed.signed(),
        account.is_revoked,
    ])?;
    Ok(id)
}

fn write_reservation(
    connection: &Connection,
    id: ReservationId,
    reservation: Option<&Reservation>,
    ids: &HashMap<AccountKey, i64>,
) -> Result<(), Trouble> {
    let Some(Reservation { handle, units, deadline }) = reservation else {
        connection.prepare_cached("DELETE FROM reservation WHERE id = ?1")?.execute([id.as_bytes()])?;
        return Ok(());
    };
    let (account, caps) = chain_ids(&handle.accounts, ids)?;
    let mut upsert = connection.prepare_cached(
        "INSERT INTO reservation (id, account, caps, units, deadline, claim) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (id) DO UPDATE SET units = excluded.units, deadline = excluded.deadline",
    )?;
    upsert.execute(params![
        id.as_bytes(),
        account,
        caps,
        units.signed(),
        signed(*deadline)?,
        handle.claim
    ])?;
    Ok(())
}

fn write_token(
    connection: &Connection,
    token_id: TokenId,
    token: Option<TokenRecord>,
) -> Result<(), Trouble> {
    let Some(revoked_at) = token.and_then(|token| token.revoked_at) else { return Ok(()) };
    let sql = "INSERT INTO revoked (token_id, at) VALUES (?1, ?2) ON CONFLICT (token_id) DO NOTHING";
    connection.prepare_cached(sql)?.execute(params![token_id.as_bytes(), signed(revoked_at)?])?;
    Ok(())
}

fn write_claim(connection: &Connection, key: [u8; 32], claim: Option<&ClaimRecord>) -> Result<(), Trouble> {
    let Some(ClaimRecord { reservation, request, expires_at, state }) = claim else {
        connection.prepare_cached("DELETE FROM claim WHERE key = ?1")?.execute([key])?;
        return Ok(());
    };
    let (is_answered, answer) = match state {
        ClaimState::InFlight => (false, None),
        ClaimState::Answered(answer) => (true, answer.as_deref()),
    };
    let mut upsert = connection.prepare_cached(
        "INSERT INTO claim (key, reservation, request, expires_at, is_answered, answer) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key) DO UPDATE SET reservation = excluded.reservation, \
         request = excluded.request, expires_at = excluded.expires_at, is_answered = excluded.is_answered, \
         answer = excluded.answer",
    )?;
    let expires_at = signed(*expires_at)?;
    upsert.execute(params![key, reservation.as_bytes(), request, expires_at, is_answered, answer])?;
    Ok(())
}

fn write_entry(
    connection: &Connection,
    entry: &Entry,
    ids: &HashMap<AccountKey, i64>,
) -> Result<(), Trouble> {
    let own = id_of(ids, entry.account)?;
    let (kind, caps, opened, ended) = match &entry.kind {
        EntryKind::Credited => (CREDITED, None, Some(entry.account), None),
        EntryKind::CapOpened(cap) => (CAP_OPENED, caps_text(&[id_of(ids, *cap)?]), Some(*cap), None),
        EntryKind::Ended { handle, by } => {
            (ended_kind(*by), chain_ids(&handle.accounts, ids)?.1, None, Some(handle))
        }
        EntryKind::Revoked => (REVOKED, None, None, None),
    };
    let mut insert = connection.prepare_cached(
        "INSERT INTO journal \
         (at, kind, account, caps, opened, reservation, claim, credited, reserved, charged, overrun, owed) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    insert.execute(params![
        signed(entry.at)?,
        kind,
        own,
        caps,
        opened.as_ref().map(AccountKey::as_bytes),
        ended.map(|handle| handle.id.as_bytes()),
        ended.and_then(|handle| handle.claim),
        entry.credited.signed(),
        entry.reserved.signed(),
        entry.charged.signed(),
        entry.overrun.signed(),
        entry.owed.signed(),
    ])?;
    Ok(())
}

/// The id of the purchase, and the `caps` column.
fn chain_ids(
    accounts: &[AccountKey],
    ids: &HashMap<AccountKey, i64>,
) -> Result<(i64, Option<String>), Trouble> {
    let Some((own, caps)) = accounts.split_first() else {
        return Err(damaged("a reservation has no account"));
    };
    let caps: Result<Vec<i64>, Trouble> = caps.iter().map(|key| id_of(ids, *key)).collect();
    Ok((id_of(ids, *own)?, caps_text(&caps?)))
}

fn id_of(ids: &HashMap<AccountKey, i64>, key: AccountKey) -> Result<i64, Trouble> {
    ids.get(&key).copied().ok_or_else(|| damaged(format!("{key:?} is not there")))
}
