//! The ledger, as the gateway would find it at its next start.

use crate::{
    config::{Config, LedgerChoice, PostgresLedger},
    start::{LedgerError, ledger_file},
};
use l402_paywall::{Place, StoreError};
use l402_store_postgres::PostgresStore;
use l402_store_sqlite::SqliteStore;
use std::{fs, io, os::unix::fs::MetadataExt as _};

/// What is found, in words. The file is not opened: opening it brings it to this version's schema, after which an older
/// version that may still be running could not start again.
pub(super) fn look(config: &Config, offline: bool) -> Result<String, LedgerError> {
    match &config.ledger {
        LedgerChoice::Sqlite => look_at_file(config),
        LedgerChoice::Postgres(_) if offline => Ok("a Postgres server; not asked".to_owned()),
        LedgerChoice::Postgres(server) => look_at_server(server),
    }
}

fn look_at_server(server: &PostgresLedger) -> Result<String, LedgerError> {
    let PostgresLedger { url, schema } = server;
    Ok(match PostgresStore::look(url, schema)? {
        Some(version) => format!(
            "schema {schema} of a Postgres server, version {version}; whether it holds is told by `octroi ledger check`"
        ),
        None => format!("schema {schema} of a Postgres server is made on first start"),
    })
}

fn look_at_file(config: &Config) -> Result<String, LedgerError> {
    let path = ledger_file(&config.data_dir);
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if SqliteStore::was_open_before(&path)? {
                return Err(StoreError::Gone(path).into());
            }
            return Ok(format!("{} is made on first start", path.display()));
        }
        Err(error) => return Err(StoreError::Open { path, reason: error.to_string() }.into()),
    };
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_file() {
        Err(StoreError::Foreign(Place::File(path)).into())
    } else if mode & 0o077 != 0 {
        Err(StoreError::LaxMode { path, mode }.into())
    } else {
        Ok(format!("{}; whether it holds is told by `octroi ledger check`", path.display()))
    }
}
