//! lnd as the wallet that pays, over both of its doors, against an imitation that checks what is asked of it.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a step that fails ends the test"
)]

mod desk;
mod door;
mod grpc;
mod opening;
mod outcomes;
mod rest;
mod rig;
mod wallet;

/// The contract over gRPC.
mod over_grpc {
    use crate::rig::{Rig, Transport};

    async fn rig() -> Rig {
        Rig::new(Transport::Grpc)
    }

    testkit::buyer_contract!(rig);
}

/// The contract over REST.
mod over_rest {
    use crate::rig::{Rig, Transport};

    async fn rig() -> Rig {
        Rig::new(Transport::Rest)
    }

    testkit::buyer_contract!(rig);
}
