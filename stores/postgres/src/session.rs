//! One connection to the primary, set up so that what it commits is on the disk and nothing it does lasts for ever.

use crate::{
    address::{Address, CONNECT_LIMIT},
    failure::Failure,
};
use std::time::Duration;
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, SimpleQueryMessage};

/// The oldest server that knows every setting that is made here, as `server_version_num` says it.
const VERSION_MIN: u32 = 120_000;

/// One statement may run, or wait for locks, this long.
pub(crate) const STATEMENT_LIMIT: Duration = Duration::from_secs(4);
/// A gateway that was stopped in the middle of a transaction holds its locks this long.
const IDLE_LIMIT: Duration = Duration::from_secs(5);

/// A connection. Dropped, it is cut at once, whatever was under way.
pub(crate) struct Session {
    pub(crate) client: Client,
    driver: JoinHandle<()>,
}

impl Session {
    /// Connects, within a bound.
    pub(crate) async fn open(address: &Address) -> Result<Self, Failure> {
        // Connecting tries one address after the other, each within the limit; several share twice that.
        match timeout(CONNECT_LIMIT * 2, Self::connect(address)).await {
            Ok(opened) => opened,
            Err(_) => Err(Failure::Lost("it takes too long to connect".to_owned())),
        }
    }

    async fn connect(address: &Address) -> Result<Self, Failure> {
        let (client, connection) = address.config.connect(address.encryption.clone()).await?;
        let driver = tokio::spawn(async move {
            // What ends a connection is told to everybody who waits for an answer.
            let _ = connection.await;
        });
        let session = Self { client, driver };
        session.set_up(address).await?;
        Ok(session)
    }

    async fn set_up(&self, address: &Address) -> Result<(), Failure> {
        // `enable_*` and `plan_cache_mode`: every statement here is a few point reads by key. A plan made for an empty
        // table, or for statistics of yesterday, must not read a whole table tomorrow.
        let settings = format!(
            "SET client_min_messages = error; SET search_path TO {schema}; \
             SET statement_timeout = {statement}; SET idle_in_transaction_session_timeout = {idle}; \
             SET plan_cache_mode = force_generic_plan; SET jit = off; \
             SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
             SELECT set_config('synchronous_commit', 'on', false) \
                 WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply'); \
             SELECT pg_is_in_recovery()::text, current_setting('server_version_num')",
            schema = address.schema.as_str(),
            statement = STATEMENT_LIMIT.as_millis(),
            idle = IDLE_LIMIT.as_millis(),
        );
        let answer = self.client.simple_query(&settings).await?;
        let row = answer.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let said = |column| row.and_then(|row| row.try_get(column).ok().flatten()).unwrap_or_default();
        if said(0) != "false" {
            let standby = "the server is a standby; money is read and written on the primary only";
            return Err(Failure::Refused(standby.to_owned()));
        }
        if said(1).parse::<u32>().is_ok_and(|version| version < VERSION_MIN) {
            return Err(Failure::Refused("PostgreSQL 12 or newer is needed".to_owned()));
        }
        Ok(())
    }

    /// Until the connection is gone.
    pub(crate) async fn ended(&mut self) {
        let _ = (&mut self.driver).await; // however it ended
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
