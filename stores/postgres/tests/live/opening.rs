//! What cannot be opened says why, and tells nobody the URL.

use crate::{
    apply, fresh_number, fresh_schema, open, purse,
    server::{self, PASSWORD, Server, USER},
};
use l402_lightning::Secret;
use l402_paywall::{
    StoreError,
    ledger::{Effect, Operation},
};
use l402_store_postgres::PostgresStore;

/// The error, after a look whether it tells what nobody may know.
fn refused(url: &Secret, schema: &str) -> StoreError {
    let Err(error) = PostgresStore::open(url, schema) else { panic!("it was opened") };
    let told = format!("{error} {error:?} {}", error.hint());
    for secret in [PASSWORD, "another-sesame", "postgres://"] {
        assert!(!told.contains(secret), "{told}");
    }
    error
}

fn reason(error: &StoreError) -> String {
    assert!(matches!(error, StoreError::Database(_)), "{error:?}");
    error.to_string()
}

#[test]
fn a_wrong_password_and_a_missing_database_are_named() {
    let server = server::shared();
    let port = server.port();
    let wrong = Secret::from_text(format!("postgres://{USER}:another-sesame@127.0.0.1:{port}/postgres"));
    assert!(reason(&refused(&wrong, "octroi")).contains("28P01"));
    let missing = server::url_by(port, "nowhere");
    assert!(reason(&refused(&missing, "octroi")).contains("3D000"));
}

#[test]
fn nobody_who_listens_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let error = refused(&server::url_by(port, "postgres"), "octroi");
    assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
}

#[test]
fn a_newer_schema_and_a_foreign_one_are_refused_and_left_alone() {
    let (server, schema) = (server::shared(), fresh_schema());
    drop(open(&server.url(), &schema));
    server.sql(&format!("INSERT INTO {schema}.schema_version (version) VALUES (41)"));
    let error = refused(&server.url(), &schema);
    assert!(matches!(error, StoreError::Newer { found: 41, known: 2, .. }), "{error:?}");
    let newer = format!("schema {schema} of the database has version 41 of the ledger, ");
    assert!(error.to_string().starts_with(&newer), "{error}");
    let foreign = fresh_schema();
    server.sql(&format!("CREATE SCHEMA {foreign}; CREATE TABLE {foreign}.accounts (name text)"));
    let error = refused(&server.url(), &foreign);
    assert_eq!(
        error.to_string(),
        format!("schema {foreign} of the database is not a ledger of this gateway")
    );
    assert_eq!(server.sql(&format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{foreign}'")), "1");
}

/// Somebody else may make the schema, for a role that may make none.
#[tokio::test]
async fn a_schema_that_was_made_empty_is_enough() {
    let (server, schema) = (server::shared(), fresh_schema());
    let role = format!("clerk_{}", fresh_number());
    server.sql(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; CREATE SCHEMA {schema} AUTHORIZATION {role}"
    ));
    let port = server.port();
    let url = Secret::from_text(format!("postgres://{role}:{PASSWORD}@127.0.0.1:{port}/postgres"));
    let store = open(&url, &schema);
    let effect = apply(&store, Operation::Credit(purse(fresh_number(), 5))).await;
    assert!(matches!(effect, Ok(Effect::Credited { is_new: true, .. })), "{effect:?}");
    assert!(reason(&refused(&url, &fresh_schema())).contains("42501"));
}

#[test]
fn gateways_that_start_at_the_same_instant_make_the_tables_once() {
    let (server, schema) = (server::shared(), fresh_schema());
    std::thread::scope(|scope| {
        let stores: Vec<_> = (0..6).map(|_| scope.spawn(|| open(&server.url(), &schema))).collect();
        for store in stores {
            store.join().expect("opened");
        }
    });
    assert_eq!(server.sql(&format!("SELECT count(*) FROM {schema}.schema_version")), "2");
}

/// A weaker setting of the database does not weaken what was promised; the server's own stronger one stays.
#[tokio::test]
async fn a_database_that_commits_carelessly_is_told_not_to() {
    let server =
        Server::start(&["synchronous_commit=off", "log_min_duration_statement=0", "log_line_prefix=%a "]);
    let schema = fresh_schema();
    server.sql(&format!("CREATE SCHEMA {schema}; CREATE TABLE public.seen (setting text)"));
    let store = open(&server.url(), &schema);
    server.sql(&format!(
        "CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$; \
         CREATE TRIGGER see AFTER INSERT ON {schema}.journal EXECUTE FUNCTION public.see()"
    ));
    apply(&store, Operation::Credit(purse(fresh_number(), 5))).await.expect("taken");
    assert_eq!(server.sql("SELECT setting FROM public.seen"), "on");
}

#[test]
fn a_standby_is_refused() {
    let mut server = Server::start(&[]);
    let schema = fresh_schema();
    drop(open(&server.url(), &schema));
    server.stop_in_order();
    std::fs::write(server.data().join("standby.signal"), "").expect("a signal");
    assert!(server.run(), "it runs as a standby");
    assert!(reason(&refused(&server.url(), &schema)).contains("standby"));
    std::fs::remove_file(server.data().join("standby.signal")).expect("removed");
    server.stop_in_order();
    assert!(server.run(), "it runs as itself");
    drop(open(&server.url(), &schema));
}

#[test]
fn the_server_has_to_prove_who_it_is_where_the_url_says_so() {
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let plain = server::shared();
    let mut server = Server::start(&[]);
    let key = server.own_file("server.key", &signed.signing_key.serialize_pem());
    let certificate = server.own_file("server.crt", &signed.cert.pem());
    server.stop_in_order();
    server.set("ssl", "on");
    server.set("ssl_key_file", &key.display().to_string());
    server.set("ssl_cert_file", &certificate.display().to_string());
    assert!(server.run(), "{}", server.log());
    let named = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(named.path(), signed.cert.pem()).expect("written");
    let url = |port: u16, parameters: &str| {
        Secret::from_text(format!("postgres://{USER}:{PASSWORD}@localhost:{port}/postgres?{parameters}"))
    };
    let schema = fresh_schema();
    let named = format!("sslmode=verify-full&sslrootcert={}", named.path().display());
    for parameters in ["sslmode=disable", "sslmode=prefer", "sslmode=require", &named] {
        drop(open(&url(server.port(), parameters), &schema));
    }
    drop(open(&url(plain.port(), "sslmode=prefer"), &schema));
    let untrusted = refused(&url(server.port(), "sslmode=verify-full"), &schema);
    assert!(untrusted.to_string().contains("certificate"), "{untrusted}");
    let without = refused(&url(plain.port(), "sslmode=require"), &schema);
    assert!(without.to_string().contains("TLS"), "{without}");
}
