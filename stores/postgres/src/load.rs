//! The first half of a transaction: locks the accounts of a group of operations, and reads what the operations need.
//!
//! Who holds the lock of a purchase's account is alone with everything that belongs to it: its budgets, reservations,
//! claims, and whether its token is revoked. Rows that are not there cannot be locked. Whoever then inserts a key that
//! another gateway has just inserted fails, and begins anew with what the other one wrote.

use crate::{failure::Failure, lane::Step, rows, session::Session};
use l402::TokenId;
use l402_paywall::ledger::{AccountKey, Book, Operation, ReservationId, TokenRecord};
use std::collections::{BTreeSet, HashMap, HashSet};
use tokio_postgres::{Client, Row, Statement, types::ToSql};

/// The statements, prepared.
pub(crate) struct Loading {
    accounts: Statement,
    late_accounts: Statement,
    tokens: Statement,
    reservations: Statement,
    endings: Statement,
    claims: Statement,
    /// Begins, and says to readers of the journal that lines are on their way.
    begin: String,
}

/// What was read, and what of it was there.
pub(crate) struct Loaded {
    pub(crate) book: Book,
    pub(crate) accounts: HashSet<AccountKey>,
    pub(crate) tokens: HashSet<TokenId>,
    pub(crate) reservations: HashSet<ReservationId>,
}

/// Keys in order: everybody locks and inserts in the same one.
#[derive(Default)]
struct Wanted {
    accounts: BTreeSet<AccountKey>,
    tokens: BTreeSet<[u8; 32]>,
    /// Those of the tokens whose account is found by the token.
    revoked: BTreeSet<[u8; 32]>,
    reservations: BTreeSet<ReservationId>,
    claims: BTreeSet<[u8; 32]>,
}

impl Loading {
    pub(crate) async fn prepare(client: &Client, journal_lock: i64) -> Result<Self, tokio_postgres::Error> {
        let accounts = format!(
            "SELECT {} FROM accounts WHERE key = ANY ($1::bytea[] || ARRAY( \
                 SELECT account FROM tokens WHERE token_id = ANY ($2::bytea[]) AND account IS NOT NULL)) \
             ORDER BY key FOR UPDATE",
            rows::ACCOUNT
        );
        let late_accounts = "SELECT 1 FROM accounts WHERE key = ANY ($1::bytea[]) LIMIT 1";
        let tokens = "SELECT token_id, account, revoked_at FROM tokens WHERE token_id = ANY ($1::bytea[])";
        let reservations =
            format!("SELECT {} FROM reservations WHERE id = ANY ($1::bytea[])", rows::RESERVATION);
        let endings = "SELECT reservation, kind, reserved, charged, overrun FROM journal \
                       WHERE reservation = ANY ($1::bytea[])";
        let claims = "SELECT key, reservation, request, expires_at, is_answered, answer FROM claims \
                      WHERE key = ANY ($1::bytea[])";
        Ok(Self {
            accounts: client.prepare(&accounts).await?,
            late_accounts: client.prepare(late_accounts).await?,
            tokens: client.prepare(tokens).await?,
            reservations: client.prepare(&reservations).await?,
            endings: client.prepare(endings).await?,
            claims: client.prepare(claims).await?,
            begin: format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock_shared({journal_lock})"
            ),
        })
    }

    /// Begins a transaction and reads. Everything is sent at once; each statement sees what was committed before the locks
    /// were had.
    pub(crate) async fn run(&self, session: &Session, steps: &[Step]) -> Result<Loaded, Failure> {
        let wanted = Wanted::by(steps);
        let client = &session.client;
        let account_keys: Vec<&[u8]> = wanted.accounts.iter().map(|key| &key.as_bytes()[..]).collect();
        let token_keys: Vec<&[u8]> = wanted.tokens.iter().map(|id| &id[..]).collect();
        let revoked: Vec<&[u8]> = wanted.revoked.iter().map(|id| &id[..]).collect();
        let reservation_keys: Vec<&[u8]> = wanted.reservations.iter().map(|id| &id.as_bytes()[..]).collect();
        let claim_keys: Vec<&[u8]> = wanted.claims.iter().map(|key| &key[..]).collect();
        let account_parameters: [&(dyn ToSql + Sync); 2] = [&account_keys, &revoked];
        let (begun, accounts, tokens, reservations, endings, claims) = tokio::join!(
            biased;
            client.batch_execute(&self.begin),
            client.query(&self.accounts, &account_parameters),
            query_any(client, &self.tokens, &token_keys),
            query_any(client, &self.reservations, &reservation_keys),
            query_any(client, &self.endings, &reservation_keys),
            query_any(client, &self.claims, &claim_keys),
        );
        begun?;
        let mut loaded = Loaded {
            book: Book::default(),
            accounts: HashSet::new(),
            tokens: HashSet::new(),
            reservations: HashSet::new(),
        };
        loaded.take_accounts(&accounts?, &wanted)?;
        loaded.take_tokens(&tokens?, &wanted)?;
        loaded.take_reservations(&reservations?, &endings?, &wanted)?;
        loaded.take_claims(&claims?, &wanted)?;
        self.look_again(client, &wanted, &loaded).await?;
        Ok(loaded)
    }

    /// An account that appeared while the locks were waited for was not seen, but what came with it was.
    async fn look_again(&self, client: &Client, wanted: &Wanted, loaded: &Loaded) -> Result<(), Failure> {
        let is_absent = |key: &&AccountKey| !loaded.accounts.contains(key);
        let absent: Vec<&[u8]> =
            wanted.accounts.iter().filter(is_absent).map(|key| &key.as_bytes()[..]).collect();
        let late = query_any(client, &self.late_accounts, &absent).await?;
        if late.is_empty() { Ok(()) } else { Err(Failure::Conflict("another gateway came first".to_owned())) }
    }
}

/// Nothing is asked where nothing is wanted.
async fn query_any(
    client: &Client,
    statement: &Statement,
    keys: &[&[u8]],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    if keys.is_empty() { Ok(Vec::new()) } else { client.query(statement, &[&keys]).await }
}

impl Wanted {
    fn by(steps: &[Step]) -> Self {
        let mut wanted = Self::default();
        for step in steps {
            let needs = step.operation.needs();
            wanted.accounts.extend(needs.accounts);
            wanted.tokens.extend(needs.token.map(|id| *id.as_bytes()));
            wanted.reservations.extend(needs.reservation);
            wanted.claims.extend(needs.claim);
            if let Operation::Revoke(token_id) = &step.operation {
                wanted.revoked.insert(*token_id.as_bytes());
            }
        }
        wanted
    }
}

impl Loaded {
    fn take_accounts(&mut self, rows: &[Row], wanted: &Wanted) -> Result<(), Failure> {
        for row in rows {
            let (key, account) = rows::account(row)?;
            self.accounts.insert(key);
            self.book.load_account(key, Some(account));
        }
        for key in &wanted.accounts {
            self.book.load_account(*key, None); // says nothing about one that is known
        }
        Ok(())
    }

    fn take_tokens(&mut self, rows: &[Row], wanted: &Wanted) -> Result<(), Failure> {
        for row in rows {
            let (token_id, record) = rows::token(row)?;
            self.tokens.insert(token_id);
            self.book.load_token(token_id, record);
        }
        for token_id in &wanted.tokens {
            self.book.load_token(TokenId::from_bytes(*token_id), TokenRecord::default());
        }
        Ok(())
    }

    fn take_reservations(&mut self, open: &[Row], ended: &[Row], wanted: &Wanted) -> Result<(), Failure> {
        let mut open: HashMap<_, _> = open
            .iter()
            .map(|row| rows::reservation(row).map(|reservation| (reservation.handle.id, reservation)))
            .collect::<Result<_, _>>()?;
        let mut ended: HashMap<_, _> = ended.iter().map(rows::ending).collect::<Result<_, _>>()?;
        self.reservations.extend(open.keys());
        for id in &wanted.reservations {
            self.book.load_reservation(*id, open.remove(id), ended.remove(id));
        }
        Ok(())
    }

    fn take_claims(&mut self, rows: &[Row], wanted: &Wanted) -> Result<(), Failure> {
        for row in rows {
            let (key, record) = rows::claim(row)?;
            self.book.load_claim(key, Some(record));
        }
        for key in &wanted.claims {
            self.book.load_claim(*key, None);
        }
        Ok(())
    }
}
