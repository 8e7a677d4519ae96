//! lnd as the node that is paid, against an imitation that checks what is asked of it.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a step that fails ends the test")]

mod connection;
mod feed;
mod node;
mod records;
mod rig;
mod rights;

/// The contract.
mod contract {
    use crate::rig::Rig;

    async fn rig() -> Rig {
        Rig::new()
    }

    testkit::seller_contract!(rig);
}
