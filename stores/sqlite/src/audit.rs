//! Looks whether every unit is where it belongs: accounts, open reservations and journal are read side by side in the
//! order of accounts, in one transaction. SQLite sorts them, on the disk where they are many; here only sums are kept.

use crate::{
    row::{account_key, first},
    trouble::{Trouble, damaged},
};
use l402_paywall::ledger::{AccountKey, Audit, Breach, ReservationId, Totals};
use rusqlite::{Connection, Row, Rows};

const ACCOUNTS: &str = "SELECT id, key, purchase IS NULL, credited, debited, balance, reserved, owed \
     FROM account ORDER BY id";

/// What each account has set aside: account, reservation, units.
const OPEN: &str = "SELECT account, id, units, 0, 0 FROM reservation \
     UNION ALL SELECT cap.value, r.id, r.units, 0, 0 FROM reservation AS r, json_each(r.caps) AS cap ORDER BY 1";

/// What the journal says of each account: account, its name where the line opens it, credited, charged, owed. What is
/// owed is owed to the purchase.
const JOURNAL: &str = "SELECT account, line, opened, iif(kind = 1, credited, 0), charged, owed FROM journal \
     WHERE kind <> 2 \
     UNION ALL SELECT cap.value, j.line, j.opened, iif(j.kind = 2, j.credited, 0), j.charged, 0 \
     FROM journal AS j, json_each(j.caps) AS cap ORDER BY 1, 2";

/// One state of everything is read, however long it takes.
pub(super) fn audit(connection: &Connection) -> Result<Audit, Trouble> {
    let transaction = connection.unchecked_transaction()?;
    let count = first(&transaction, "SELECT count(*) FROM reservation", [], |row| Ok(row.get::<_, i64>(0)?))?;
    let mut audit = Audit { open: count.unwrap_or(0).unsigned_abs(), ..Audit::default() };
    let (mut open, mut journal) = (transaction.prepare(OPEN)?, transaction.prepare(JOURNAL)?);
    let mut open = Sums::start(open.query([])?, |row| Ok((ReservationId::from_bytes(row.get(1)?), 2)))?;
    let mut journal = Sums::start(journal.query([])?, |row| Ok((row.get(2)?, 3)))?;
    let mut accounts = transaction.prepare(ACCOUNTS)?;
    let mut accounts = accounts.query([])?;
    while let Some(row) = accounts.next()? {
        let account = Held::read(row)?;
        tell_strays(&mut open, &mut journal, Some(account.id), &mut audit.breaches)?;
        let [reserved, ..] = open.of(account.id)?;
        let told = journal.of(account.id)?;
        account.count(&mut audit);
        account.compare(reserved, told, &mut audit.breaches);
        audit.breaches.truncate(Audit::BREACHES_MAX);
    }
    tell_strays(&mut open, &mut journal, None, &mut audit.breaches)?;
    audit.breaches.truncate(Audit::BREACHES_MAX);
    Ok(audit)
}

/// Whether the file can be read whole, its indexes too, as <https://sqlite.org/pragma.html#pragma_integrity_check> says:
/// an index that misses an account would let it be opened, and credited, anew.
pub(super) fn check_pages(connection: &Connection) -> Result<(), Trouble> {
    let said = first(connection, "PRAGMA integrity_check(1)", [], |row| Ok(row.get::<_, String>(0)?))?;
    match said {
        Some(said) if said == "ok" => Ok(()),
        said => Err(damaged(said.unwrap_or_default())),
    }
}

/// Everything that can be found wrong with a file.
pub(super) fn look_through(connection: &Connection) -> Result<(), Trouble> {
    check_pages(connection)?;
    match audit(connection)?.breaches.first() {
        None => Ok(()),
        Some(breach) => Err(damaged(format!("{breach}; `octroi ledger check` tells all that is wrong"))),
    }
}

/// Lines about accounts that are not there: those before this one, or all that are left.
fn tell_strays(
    open: &mut Sums<'_, ReservationId>,
    journal: &mut Sums<'_, Option<[u8; 32]>>,
    before: Option<i64>,
    breaches: &mut Vec<Breach>,
) -> Result<(), Trouble> {
    // Once for each reservation, however many such accounts it has.
    let mut tell = |breach| {
        if breaches.len() < Audit::BREACHES_MAX && !breaches.contains(&breach) {
            breaches.push(breach);
        }
    };
    while let Some(line) = open.stray(before)? {
        tell(Breach::Orphan(line.name));
    }
    while let Some(line) = journal.stray(before)? {
        match line.name {
            Some(key) => tell(Breach::Credited(AccountKey::from_bytes(key))),
            // The line that opened the account was the first about it.
            None if line.is_known => {}
            None => return Err(damaged("the journal tells of an account that it never opened")),
        }
    }
    Ok(())
}

/// An account as it stands in the file, which may be anything.
struct Held {
    id: i64,
    key: AccountKey,
    is_purchase: bool,
    credited: i64,
    debited: i64,
    balance: i64,
    reserved: i64,
    owed: i64,
}

impl Held {
    fn read(row: &Row<'_>) -> Result<Self, Trouble> {
        Ok(Self {
            id: row.get(0)?,
            key: account_key(row, 1)?,
            is_purchase: row.get(2)?,
            credited: row.get(3)?,
            debited: row.get(4)?,
            balance: row.get(5)?,
            reserved: row.get(6)?,
            owed: row.get(7)?,
        })
    }

    fn count(&self, audit: &mut Audit) {
        if !self.is_purchase {
            audit.caps += 1;
            return;
        }
        audit.purchases += 1;
        let Totals { credited, debited, balance, reserved, owed } = &mut audit.totals;
        // What is below zero is told as a breach, and adds nothing.
        let add = |sum: &mut u128, units: i64| *sum += u128::try_from(units).unwrap_or(0);
        add(credited, self.credited);
        add(debited, self.debited);
        add(balance, self.balance);
        add(reserved, self.reserved);
        add(owed, self.owed);
    }

    fn compare(&self, reserved: i128, [credited, charged, owed]: [i128; 3], breaches: &mut Vec<Breach>) {
        let parts = [self.debited, self.balance, self.reserved, self.owed];
        let sum: i128 = parts.iter().map(|part| i128::from(*part)).sum();
        let is_balanced = i128::from(self.credited) == sum && parts.iter().all(|part| *part >= 0);
        let holds = [
            (is_balanced, Breach::Unbalanced(self.key)),
            (i128::from(self.reserved) == reserved, Breach::Reserved(self.key)),
            (i128::from(self.credited) == credited, Breach::Credited(self.key)),
            (i128::from(self.debited) == charged, Breach::Debited(self.key)),
            (i128::from(self.owed) == owed, Breach::Owed(self.key)),
        ];
        breaches.extend(holds.into_iter().filter(|(holds, _)| !holds).map(|(_, breach)| breach));
    }
}

/// Lines in the order of the accounts they are about.
struct Sums<'s, N> {
    rows: Rows<'s>,
    /// Reads the line's name, and tells where its amounts begin.
    name: fn(&Row<'_>) -> Result<(N, usize), Trouble>,
    /// The line that comes next.
    head: Option<Line<N>>,
}

struct Line<N> {
    account: i64,
    name: N,
    amounts: [i64; 3],
    /// Whether the line before was about the same account.
    is_known: bool,
}

impl<'s, N> Sums<'s, N> {
    fn start(rows: Rows<'s>, name: fn(&Row<'_>) -> Result<(N, usize), Trouble>) -> Result<Self, Trouble> {
        let mut sums = Self { rows, name, head: None };
        sums.advance(None)?;
        Ok(sums)
    }

    fn advance(&mut self, before: Option<i64>) -> Result<(), Trouble> {
        self.head = match self.rows.next()? {
            Some(row) => {
                let ((name, at), account) = ((self.name)(row)?, row.get(0)?);
                let amounts = [row.get(at)?, row.get(at + 1)?, row.get(at + 2)?];
                Some(Line { account, name, amounts, is_known: before == Some(account) })
            }
            None => None,
        };
        Ok(())
    }

    /// The next line, if it is about an account before that one.
    fn stray(&mut self, before: Option<i64>) -> Result<Option<Line<N>>, Trouble> {
        let line = self.head.take_if(|line| before.is_none_or(|id| line.account < id));
        if let Some(line) = &line {
            self.advance(Some(line.account))?;
        }
        Ok(line)
    }

    /// The sums of the lines about that account, which come next.
    fn of(&mut self, id: i64) -> Result<[i128; 3], Trouble> {
        let mut sums = [0_i128; 3];
        while let Some(line) = self.head.take_if(|line| line.account == id) {
            for (sum, amount) in sums.iter_mut().zip(line.amounts) {
                *sum += i128::from(amount);
            }
            self.advance(Some(id))?;
        }
        Ok(sums)
    }
}
