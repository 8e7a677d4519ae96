//! Where the ledger is.

use super::{Checker, key};
use crate::config::{
    file::{ConfigFile, Ledger, PostgresSection},
    place::Field,
    problem::{Combination, Fault},
    settings::{LedgerChoice, PostgresLedger},
    value::LedgerKind,
};
use l402_lightning::Secret;

impl Checker<'_, '_> {
    pub(super) fn ledger(&mut self, file: &ConfigFile) -> Option<LedgerChoice> {
        match file.ledger.given()? {
            Ledger::Kind(LedgerKind::Sqlite) => Some(LedgerChoice::Sqlite),
            Ledger::Section(section) => self.postgres(section.postgres.given()?).map(LedgerChoice::Postgres),
        }
    }

    fn postgres(&mut self, section: &PostgresSection) -> Option<PostgresLedger> {
        let Field::Given(source) = &section.url else { return None };
        let steps = [key("ledger"), key("postgres"), key("url")];
        let text = self.secret(&source.value);
        let text = text.map_err(|fault| self.report(source.at, &steps, Fault::File(fault))).ok()?;
        let url = text.trim();
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            self.report(source.at, &steps, Fault::Combination(Combination::NotPostgres));
            return None;
        }
        Some(PostgresLedger { url: Secret::from_text(url), schema: section.schema.given()?.0.clone() })
    }
}
