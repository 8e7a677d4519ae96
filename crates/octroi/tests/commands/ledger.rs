//! The commands about the ledger: the program itself, beside a gateway's store that is open.

use crate::World;
use l402::{PaymentHash, TokenId};
use l402_lightning::{MilliSat, Settlement};
use l402_paywall::{
    SettlementStore as _,
    ledger::{AccountKey, Cap, Effect, Ledger as _, Operation, Purse, ReservationId, Reserve, Units},
};
use l402_store_sqlite::SqliteStore;
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    process::{Command, Stdio},
};

const NOW: u64 = 1_763_700_000;

/// What a command said and how it ended.
struct Told {
    code: i32,
    out: String,
    err: String,
}

impl World {
    /// A world with a gateway's store in it, open.
    fn with_store() -> (Self, SqliteStore) {
        let world = Self::new();
        let text = "data_dir: data\nkeys: { file: keys }\nlightning: { backend: loopback }\n\
                    services: [{ name: a, path: /, upstream: \"http://a\", price: 1 sat, meter: { unit: request, pack: 100, cost: 1 } }]\n";
        fs::write(world.path("octroi.yaml"), text).expect("written");
        fs::DirBuilder::new().mode(0o700).create(world.path("data")).expect("a folder");
        let store = SqliteStore::open(&world.path("data/ledger.sqlite")).expect("a store");
        (world, store)
    }

    /// Runs the program itself.
    fn tell(&self, words: &[&str]) -> Told {
        let mut command = Command::new(env!("CARGO_BIN_EXE_octroi"));
        command.args(words).arg("--config").arg(self.path("octroi.yaml")).stdin(Stdio::null());
        let output = command.output().expect("a process");
        Told {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

fn token(number: u8) -> TokenId {
    TokenId::from_bytes([number; 32])
}

fn reserve(token_number: u8, number: u8, units: u32, cap: Option<u32>) -> Reserve {
    let cap = cap.map(|units| Cap { key: AccountKey::from_bytes([0xca; 32]), units: Units::from(units) });
    let purse = Purse {
        payment_hash: PaymentHash::from_bytes([token_number; 32]),
        token_id: token(token_number),
        service: "a".parse().expect("a name"),
        pack: Units::from(100),
        caps: cap.into_iter().collect(),
    };
    let id = ReservationId::from_bytes([number; 16]);
    Reserve { id, purse, units: Units::from(units), deadline: NOW + 3600, claim: None }
}

async fn step(store: &SqliteStore, operation: Operation) -> Effect {
    store.apply(operation, NOW).await.expect("a step")
}

/// 100 units bought: 7 charged of 12 set aside through a budget of 20, and 10 still set aside.
async fn spend(store: &SqliteStore, token_number: u8) {
    let first = reserve(token_number, token_number, 12, Some(20));
    let handle = first.handle();
    step(store, Operation::Reserve(first)).await;
    step(store, Operation::Settle { handle, cost: Units::from(7), answer: None }).await;
    step(store, Operation::Reserve(reserve(token_number, token_number + 100, 10, None))).await;
}

#[tokio::test]
async fn a_ledger_is_proven_to_hold_beside_a_running_gateway() {
    let (world, store) = World::with_store();
    spend(&store, 5).await;
    let told = world.tell(&["ledger", "check"]);
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{}", told.out);
    assert!(told.out.contains("✓ every unit is where it belongs"), "{}", told.out);
    assert!(!told.out.contains("overpaid"), "{}", told.out);
    let told = world.tell(&["ledger", "check", "--json"]);
    let report: Value = serde_json::from_str(&told.out).expect("JSON");
    for (name, count) in [
        ("purchases", 1),
        ("budgets", 1),
        ("unfinished", 1),
        ("credited", 100),
        ("debited", 7),
        ("balance", 83),
        ("reserved", 10),
        ("owed", 0),
        ("overpaid_msat", 0),
        ("overpaid_invoices", 0),
    ] {
        assert_eq!(report[name], count, "{name}: {report}");
    }
    assert_eq!((told.code, &report["holds"]), (0, &Value::Bool(true)));
}

#[tokio::test]
async fn what_was_received_beyond_the_prices_is_told_beside_the_units() {
    let (world, store) = World::with_store();
    let settlement = Settlement {
        index: 1,
        payment_hash: PaymentHash::from_bytes([5; 32]),
        amount: MilliSat::from_msat(1_250),
        invoiced: Some(MilliSat::from_msat(1_000)),
        settled_at: NOW,
    };
    store.record(&[settlement], None).await.expect("written");
    let told = world.tell(&["ledger", "check"]);
    assert!(told.out.contains("\noverpaid      250 msat in 1 invoice\n"), "{}", told.out);
    let report: Value = serde_json::from_str(&world.tell(&["ledger", "check", "--json"]).out).expect("JSON");
    assert_eq!((&report["overpaid_msat"], &report["overpaid_invoices"]), (&250.into(), &1.into()));
}

#[tokio::test]
async fn a_balance_is_told_by_id_and_for_people_and_programs() {
    let (world, store) = World::with_store();
    spend(&store, 5).await;
    let id = token(5).to_string();
    let told = world.tell(&["ledger", "balance", &id]);
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(told.out.contains("balance       83\n") && told.out.contains("budgets"), "{}", told.out);
    let told = world.tell(&["ledger", "balance", &id, "--json"]);
    let report: Value = serde_json::from_str(&told.out).expect("JSON");
    assert_eq!((&report["balance"], &report["revoked"]), (&83.into(), &Value::Bool(false)));
    assert_eq!(report["unfinished"][0]["units"], 10);
    assert_eq!(report["budgets"][0]["balance"], 13);
    for (word, error) in
        [(token(6).to_string(), "nothing was ever booked"), ("rubbish!".to_owned(), "not a token")]
    {
        let told = world.tell(&["ledger", "balance", &word]);
        assert_eq!((told.code, told.out.as_str()), (1, ""));
        assert!(told.err.starts_with("error: ") && told.err.contains(error), "{}", told.err);
        assert!(told.err.contains("\n  hint: "), "{}", told.err);
    }
}

#[tokio::test]
async fn an_export_has_a_line_for_each_entry_with_the_sums_up_to_it() {
    let (world, store) = World::with_store();
    spend(&store, 5).await;
    spend(&store, 6).await;
    let told = world.tell(&["ledger", "export"]);
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    let lines: Vec<Value> = told.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let kinds: Vec<&str> = lines.iter().filter_map(|line| line["kind"].as_str()).collect();
    // The budget has one name in both, so that it is opened once.
    assert_eq!(kinds, ["credited", "budget_opened", "settled", "credited", "settled"]);
    let last = lines.last().expect("a line");
    assert_eq!((&last["credited_sum"], &last["debited_sum"]), (&200.into(), &14.into()));
    let from = last["line"].as_u64().expect("a number").to_string();
    let tail = world.tell(&["ledger", "export", "--from", &from]);
    assert_eq!(tail.out.lines().collect::<Vec<_>>(), [told.out.lines().last().expect("a line")]);
}

#[tokio::test]
async fn a_revoked_token_is_known_to_the_gateway_and_what_it_had_is_owed() {
    let (world, store) = World::with_store();
    spend(&store, 5).await;
    let told = world.tell(&["token", "revoke", &token(5).to_string()]);
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    assert!(told.out.contains("owed to its buyer: 83 of 100 units"), "{}", told.out);
    assert_eq!(store.revoked_since(0).await.expect("known").tokens, [token(5)]);
    assert!(matches!(step(&store, Operation::Reserve(reserve(5, 9, 1, None))).await, Effect::Revoked));
    let again = world.tell(&["token", "revoke", &token(5).to_string()]);
    assert!(again.code == 0 && again.out.contains("was revoked before"), "{}", again.out);
    let unused = world.tell(&["token", "revoke", &token(7).to_string()]);
    assert!(unused.code == 0 && unused.out.contains("nothing is owed"), "{}", unused.out);
    assert_eq!(world.tell(&["ledger", "check"]).code, 0);
}

#[tokio::test]
async fn nothing_is_made_where_there_is_no_ledger() {
    let (world, store) = World::with_store();
    drop(store);
    for entry in fs::read_dir(world.path("data")).expect("a folder") {
        fs::remove_file(entry.expect("an entry").path()).expect("removed");
    }
    let id = token(5).to_string();
    for words in [
        &["ledger", "check"][..],
        &["ledger", "balance", &id],
        &["ledger", "export"],
        &["token", "revoke", &id],
    ] {
        let told = world.tell(words);
        assert_eq!((told.code, told.out.as_str()), (1, ""), "{words:?}");
        assert!(told.err.contains("there is no ledger at") && told.err.contains("hint: "), "{}", told.err);
    }
    assert_eq!(fs::read_dir(world.path("data")).expect("a folder").count(), 0);
}

#[tokio::test]
async fn a_ledger_that_cannot_be_trusted_is_refused_with_a_hint() {
    let (world, store) = World::with_store();
    drop(store);
    let file = world.path("data/ledger.sqlite");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("chmod");
    let told = world.tell(&["ledger", "check"]);
    assert!(told.code == 1 && told.err.contains("hint: chmod 600"), "{}", told.err);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("chmod");
    fs::write(&file, "not a database at all, and long enough to be looked at by somebody").expect("written");
    let told = world.tell(&["ledger", "check"]);
    assert!(told.code == 1 && told.err.starts_with("error: "), "{}", told.err);
    fs::write(world.path("octroi.yaml"), "listne: 127.0.0.1:1\n").expect("written");
    assert_eq!(world.tell(&["ledger", "check"]).code, 2);
}
