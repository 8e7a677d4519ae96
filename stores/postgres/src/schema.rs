//! The tables: made, recognised, brought up to the present version, never back.

use crate::{
    address::{Address, Schema},
    failure::{Failure, open_error},
    session::Session,
};
use l402_paywall::{Place, StoreError};
use tokio_postgres::types::Type;

/// Each brings the schema from its index to the next version. Never changed once released, only added to.
const MIGRATIONS: [&str; 2] =
    [include_str!("../migrations/0001_ledger.sql"), include_str!("../migrations/0002_excess.sql")];

/// What stands in the database.
enum Found {
    /// No schema of that name.
    Nothing,
    /// A schema without tables.
    Empty,
    /// A ledger of this version.
    Version(u32),
    /// Tables, and they are not a ledger's.
    Foreign,
}

/// Makes the tables, or brings them up to date: one transaction, and one gateway at a time.
pub(crate) async fn migrate(session: &Session, address: &Address) -> Result<(), StoreError> {
    let failed = |error: tokio_postgres::Error| Failure::from(error).of_opening();
    // Bounded by the limit of opening as a whole: large tables take their time.
    let begin = format!(
        "BEGIN; SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock({})",
        address.schema.lock_key("schema")
    );
    session.client.batch_execute(&begin).await.map_err(failed)?;
    let version = match recognise(session, address).await? {
        Found::Version(version) => version,
        Found::Nothing => {
            let make = format!("CREATE SCHEMA {}", address.schema.as_str());
            session.client.batch_execute(&make).await.map_err(failed)?;
            0
        }
        Found::Empty | Found::Foreign => 0,
    };
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(done) {
        if step == 0 {
            session.client.batch_execute(VERSIONS).await.map_err(failed)?;
        }
        session.client.batch_execute(sql).await.map_err(failed)?;
        let version = i32::try_from(step + 1).map_err(|_| open_error("too many migrations"))?;
        let write_down = "INSERT INTO schema_version (version) VALUES ($1)";
        session.client.execute_typed(write_down, &[(&version, Type::INT4)]).await.map_err(failed)?;
    }
    session.client.batch_execute("COMMIT").await.map_err(failed)
}

/// The version of the ledger that is there, if there is one.
pub(crate) async fn look(session: &Session, address: &Address) -> Result<Option<u32>, StoreError> {
    Ok(match recognise(session, address).await? {
        Found::Version(version) => Some(version),
        Found::Nothing | Found::Empty | Found::Foreign => None,
    })
}

/// What stands there, unless it is not ours or of a version to come.
async fn recognise(session: &Session, address: &Address) -> Result<Found, StoreError> {
    match find(session, &address.schema).await.map_err(Failure::of_opening)? {
        Found::Foreign => Err(StoreError::Foreign(place(&address.schema))),
        Found::Version(found) if found > known() => {
            Err(StoreError::Newer { place: place(&address.schema), found, known: known() })
        }
        found => Ok(found),
    }
}

fn place(schema: &Schema) -> Place {
    Place::Schema(schema.as_str().to_owned())
}

/// Which versions this schema has gone through. Its table tells a ledger from anything else.
const VERSIONS: &str = "CREATE TABLE schema_version (
    version    integer     NOT NULL PRIMARY KEY CHECK (version > 0),
    applied_at timestamptz NOT NULL DEFAULT now()
)";

async fn find(session: &Session, schema: &Schema) -> Result<Found, Failure> {
    let look = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1), \
                       EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = $1), \
                       EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'schema_version')";
    let row = session.client.query_typed_one(look, &[(&schema.as_str(), Type::TEXT)]).await?;
    Ok(match (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?) {
        (false, _, _) => Found::Nothing,
        (true, false, _) => Found::Empty,
        (true, true, false) => Found::Foreign,
        (true, true, true) => {
            let newest = "SELECT coalesce(max(version), 0) FROM schema_version";
            let version: i32 = session.client.query_typed_one(newest, &[]).await?.try_get(0)?;
            Found::Version(u32::try_from(version).unwrap_or(0))
        }
    })
}

/// The newest version that is known here.
fn known() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}
