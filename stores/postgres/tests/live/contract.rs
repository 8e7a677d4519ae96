//! What every ledger has to keep, over three gateways at once.

use crate::{fresh_schema, gateways, server};
use l402_lightning::BoxFuture;
use l402_paywall::ledger::Ledger;
use l402_store_postgres::PostgresStore;
use std::sync::{Arc, Mutex};
use testkit::ledger::LedgerRig;

struct Three {
    schema: String,
    stores: Mutex<Vec<Arc<PostgresStore>>>,
}

impl LedgerRig for Three {
    fn ledger(&self, gateway: usize) -> Arc<dyn Ledger> {
        let stores = self.stores.lock().expect("stores");
        stores[gateway % stores.len()].clone()
    }

    fn reopen(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // Their connections first, so that they have no occasion to say farewell.
            let server = server::shared();
            server.sql(&format!(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = '{}'",
                self.schema
            ));
            let mut stores = self.stores.lock().expect("stores");
            stores.clear();
            *stores = gateways(&server.url_as(&self.schema), &self.schema, 3);
        })
    }
}

async fn three() -> Three {
    let schema = fresh_schema();
    let stores = gateways(&server::shared().url_as(&schema), &schema, 3);
    Three { schema, stores: Mutex::new(stores) }
}

testkit::ledger_contract!(three);
