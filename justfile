# `just` lists the recipes. Each runs a script of the repository, so none of them needs `just` itself.

default:
    @just --list

# What every change has to pass.
ci:
    .ci/run

# The README's two commands.
demo *ARGS:
    cargo run --release -p octroi -- demo {{ARGS}}
test:
    cargo test --workspace

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

# Licences, bans and sources of dependencies (installs cargo-deny when missing).
deny:
    cargo deny --version >/dev/null 2>&1 || cargo install cargo-deny --locked
    cargo deny check licenses bans sources

# Regenerates the conformance vectors.
vectors:
    cargo run -q -p l402 --example vectors -- vectors

# Regenerates the JSON Schema and the reference of the configuration.
config-docs:
    OCTROI_WRITE_DOCS=1 cargo test -q -p octroi --lib committed

# Our tokens against pymacaroons, go-macaroon and js-macaroon.
oracle-macaroon:
    e2e/oracle-macaroon/run

# Published L402 clients pay a running gateway.
e2e-clients:
    e2e/clients/run

# The same clients, with nginx and its files behind the gateway.
e2e-clients-nginx:
    e2e/clients/run --upstream nginx

# What a reader of the README would do by hand.
e2e-curl:
    e2e/curl/run

# A gRPC service and nginx behind the gateway.
e2e-grpc:
    e2e/grpc/run

# Real nodes: builds lnd and btcd once, then pays over real channels; Aperture as the seller.
e2e-lnd:
    e2e/lnd/run

# Both sides of LNbits from PyPI; its older version is refused.
e2e-lnbits:
    e2e/lnbits/run
    e2e/lnbits/run --old

# The Postgres store against Debian's PostgreSQL, which it starts by itself (installs it when missing).
e2e-postgres:
    stores/postgres/run

# SIGKILL at random instants under metered load; an outside observer keeps the books. `--postgres`: on Debian's server.
e2e-crash *ARGS:
    e2e/crash/run {{ARGS}}

# Disks that fail or are full, torn copies of the ledger, clocks that jump (installs fiu-utils and faketime when missing).
e2e-faults *ARGS:
    e2e/faults/run {{ARGS}}

# A thousand parallel requests on a hundred units, again and again; `--postgres`: three gateways on one ledger.
e2e-overspend *ARGS:
    e2e/overspend/run {{ARGS}}

# The OpenAI client library streams through a metered route.
e2e-openai:
    e2e/openai/run

# Seeded worlds of gateways on one ledger; SIM_SEED replays one, SIM_SEEDS sets how many.
sim:
    cargo test -p testkit --test simulation -- --nocapture

# Fuzzes every target for so many seconds each (nightly toolchain; installs cargo-fuzz when missing).
fuzz SECONDS="30":
    cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked
    fuzz/seed
    for target in $(cargo +nightly fuzz list); do cargo +nightly fuzz run "$target" -- -max_total_time={{SECONDS}} -rss_limit_mb=1024 || exit 1; done

# Verification of one credential over the HMAC-SHA256 limit.
bench-verify:
    cargo bench -p l402 --bench verify

# Paid requests over plain nginx, paid over free, idle memory.
bench-proxy:
    benches/proxy/run

# Challenges per second; bytes and memory kept per unpaid challenge.
bench-mint:
    benches/mint/run

# The same request among 10 and 10,000 routes.
bench-routes:
    benches/routes/run

# Start-up with a million settled invoices.
bench-settled:
    benches/settled/run

# Metered requests over flat-rate ones; what they add; flat-rate with the ledger held.
bench-metered:
    benches/metered/run

# Challenges with a real lnd over lnd's own rate; requests with the node down over up.
bench-lnd:
    benches/lnd/run

# The two engine shapes that were measured (docs/performance.md).
bench-shapes:
    benches/shapes/run
