//! The second half of a transaction: writes what a group of operations changed, and commits. Everything is sent at once.

use crate::{columns::Columns, failure::Failure, load::Loaded, session::Session};
use l402_paywall::ledger::Changes;
use tokio_postgres::{Client, Error, Statement, types::ToSql};

/// The statements, prepared.
pub(crate) struct Saving {
    new_accounts: Statement,
    accounts: Statement,
    new_reservations: Statement,
    reservations: Statement,
    gone_reservations: Statement,
    new_tokens: Statement,
    tokens: Statement,
    claims: Statement,
    gone_claims: Statement,
    journal: Statement,
    /// Only one transaction at a time revokes, so that marks grow in the order of commits.
    one_revokes: String,
}

const NEW_ACCOUNTS: &str = "INSERT INTO accounts \
        (key, token_id, service, parent, credited, debited, balance, reserved, owed, is_revoked) \
    SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::bytea[], $5::bigint[], $6::bigint[], $7::bigint[], \
        $8::bigint[], $9::bigint[], $10::boolean[])";
const ACCOUNTS: &str = "UPDATE accounts a SET debited = v.debited, balance = v.balance, reserved = v.reserved, \
        owed = v.owed, is_revoked = v.is_revoked \
    FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[]) \
        AS v (key, debited, balance, reserved, owed, is_revoked) \
    WHERE a.key = v.key";
const NEW_RESERVATIONS: &str = "INSERT INTO reservations (id, accounts, claim, units, deadline) \
    SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[])";
const RESERVATIONS: &str = "UPDATE reservations r SET units = v.units, deadline = v.deadline \
    FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS v (id, units, deadline) WHERE r.id = v.id";
const GONE_RESERVATIONS: &str = "DELETE FROM reservations WHERE id = ANY ($1::bytea[])";
const NEW_TOKENS: &str = "INSERT INTO tokens (token_id, account, revoked_at, mark) \
    SELECT t, a, r, CASE WHEN r IS NOT NULL THEN nextval('revocation_marks') END \
    FROM unnest($1::bytea[], $2::bytea[], $3::bigint[]) AS v (t, a, r)";
const TOKENS: &str = "UPDATE tokens t SET account = coalesce(v.account, t.account), \
        revoked_at = coalesce(v.revoked_at, t.revoked_at), \
        mark = CASE WHEN v.revoked_at IS NOT NULL THEN nextval('revocation_marks') ELSE t.mark END \
    FROM unnest($1::bytea[], $2::bytea[], $3::bigint[]) AS v (token_id, account, revoked_at) \
    WHERE t.token_id = v.token_id";
const CLAIMS: &str = "INSERT INTO claims (key, reservation, request, expires_at, is_answered, answer) \
    SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $5::boolean[], $6::bytea[]) \
    ON CONFLICT (key) DO UPDATE SET reservation = excluded.reservation, request = excluded.request, \
        expires_at = excluded.expires_at, is_answered = excluded.is_answered, answer = excluded.answer";
const GONE_CLAIMS: &str = "DELETE FROM claims WHERE key = ANY ($1::bytea[])";
const JOURNAL: &str = "INSERT INTO journal \
        (at, kind, accounts, credited, reserved, charged, overrun, owed, reservation, claim, cap) \
    SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[], \
        $7::bigint[], $8::bigint[], $9::bytea[], $10::bytea[], $11::bytea[])";

impl Saving {
    pub(crate) async fn prepare(client: &Client, revoking_lock: i64) -> Result<Self, Error> {
        Ok(Self {
            new_accounts: client.prepare(NEW_ACCOUNTS).await?,
            accounts: client.prepare(ACCOUNTS).await?,
            new_reservations: client.prepare(NEW_RESERVATIONS).await?,
            reservations: client.prepare(RESERVATIONS).await?,
            gone_reservations: client.prepare(GONE_RESERVATIONS).await?,
            new_tokens: client.prepare(NEW_TOKENS).await?,
            tokens: client.prepare(TOKENS).await?,
            claims: client.prepare(CLAIMS).await?,
            gone_claims: client.prepare(GONE_CLAIMS).await?,
            journal: client.prepare(JOURNAL).await?,
            one_revokes: format!("SELECT pg_advisory_xact_lock({revoking_lock})"),
        })
    }

    /// Writes and commits. Where a statement fails, the commit rolls back: nothing was written.
    pub(crate) async fn run(
        &self,
        session: &Session,
        changes: &Changes,
        loaded: &Loaded,
    ) -> Result<(), Failure> {
        let client = &session.client;
        let columns = Columns::of(changes, loaded);
        let Columns { new_accounts, accounts, new_reservations, reservations, .. } = &columns;
        let Columns { new_tokens, tokens, claims, journal, gone_reservations, gone_claims, .. } = &columns;
        let outcomes = tokio::join!(
            biased; // the order in which they are sent
            put(client, &self.new_accounts, new_accounts.whole(), new_accounts.len()),
            put(client, &self.accounts, accounts.sums(), accounts.len()),
            put(client, &self.new_reservations, new_reservations.whole(), new_reservations.len()),
            put(client, &self.reservations, reservations.terms(), reservations.len()),
            put(client, &self.gone_reservations, [gone_reservations], gone_reservations.len()),
            put(client, &self.claims, claims.whole(), claims.len()),
            drop_any(client, &self.gone_claims, gone_claims),
            put(client, &self.journal, journal.whole(), journal.len()),
            self.wait_to_revoke(client, columns.has_revocations()),
            put(client, &self.new_tokens, new_tokens.whole(), new_tokens.len()),
            put(client, &self.tokens, tokens.whole(), tokens.len()),
            commit(client),
        );
        let mut is_whole = true;
        // The first that failed says why; those behind it only say that the transaction is over.
        for outcome in <[_; 12]>::from(outcomes) {
            is_whole &= outcome?;
        }
        let gone = "rows that were locked have gone";
        if is_whole { Ok(()) } else { Err(Failure::Damaged(gone.to_owned())) }
    }

    async fn wait_to_revoke(&self, client: &Client, is_needed: bool) -> Result<bool, Error> {
        if is_needed {
            client.batch_execute(&self.one_revokes).await?;
        }
        Ok(true)
    }
}

/// Writes so many rows, and says whether it was so many.
async fn put<const N: usize>(
    client: &Client,
    statement: &Statement,
    columns: [&(dyn ToSql + Sync); N],
    rows: usize,
) -> Result<bool, Error> {
    if rows == 0 {
        return Ok(true);
    }
    let written = client.execute(statement, &columns).await?;
    Ok(usize::try_from(written) == Ok(rows))
}

/// Removes what of it is there: a claim may have expired, and be forgotten.
async fn drop_any(client: &Client, statement: &Statement, keys: &[&[u8]]) -> Result<bool, Error> {
    if !keys.is_empty() {
        client.execute(statement, &[&keys]).await?;
    }
    Ok(true)
}

async fn commit(client: &Client) -> Result<bool, Error> {
    client.batch_execute("COMMIT").await.map(|()| true)
}
