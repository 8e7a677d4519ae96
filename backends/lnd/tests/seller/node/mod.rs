//! An imitation of lnd 0.21: the part of its gRPC interface that a seller uses, in lnd's words.

mod desk;
mod fault;
mod ledger;
mod messages;
mod wire;

pub(crate) use fault::Faults;
pub(crate) use ledger::{Ledger, Telling};

use l402_lightning::loopback::LoopbackNode;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};
use testkit::{SeededEntropy, VirtualClock};
use wire::Wire;

/// When the imitation's time begins, in Unix seconds.
const BEGINNING: u64 = 1_760_000_000;

/// An lnd, listening on a port of its own until it is dropped.
pub(crate) struct Node {
    pub(crate) world: Arc<World>,
    wire: Wire,
}

/// The node behind its interface.
pub(crate) struct World {
    pub(crate) clock: VirtualClock,
    pub(crate) faults: Faults,
    pub(crate) entropy: SeededEntropy,
    ledger: Mutex<Ledger>,
    /// Writes and signs the invoices.
    writer: LoopbackNode,
    /// What each macaroon may do, by its bytes: `invoices:read`, or `uri:` and a method.
    macaroons: Mutex<HashMap<Vec<u8>, Vec<&'static str>>>,
    /// The service that this lnd was built without, as its methods' paths begin.
    missing: Mutex<Option<&'static str>>,
    http1_only: AtomicBool,
    /// Every method that was called, in order.
    calls: Mutex<Vec<String>>,
}

impl Node {
    pub(crate) fn start() -> Self {
        let clock = VirtualClock::standing_at(BEGINNING);
        let entropy = SeededEntropy::new(11);
        let world = Arc::new(World {
            writer: LoopbackNode::new(entropy.bytes32(), clock.as_fn()),
            clock,
            faults: Faults::default(),
            entropy,
            ledger: Mutex::default(),
            macaroons: Mutex::default(),
            missing: Mutex::default(),
            http1_only: AtomicBool::default(),
            calls: Mutex::default(),
        });
        let wire = Wire::open(Arc::clone(&world));
        Self { world, wire }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.wire.address()
    }

    /// Its certificate, as lnd makes them: self-signed, and an authority. In PEM form.
    pub(crate) fn certificate(&self) -> &str {
        self.wire.certificate()
    }

    /// Breaks every connection.
    pub(crate) fn break_connections(&self) {
        self.wire.break_connections();
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.wire.connections()
    }

    /// From now on it speaks HTTP/1.1 only, as lnd's REST port does.
    pub(crate) fn speak_http1_only(&self) {
        self.world.http1_only.store(true, Ordering::Relaxed);
    }

    /// A macaroon that may do this.
    pub(crate) fn bake(&self, rights: &[&'static str]) -> Vec<u8> {
        let macaroon = foreign_macaroon(&self.world.entropy);
        self.world.macaroons.lock().unwrap().insert(macaroon.clone(), rights.to_vec());
        macaroon
    }

    /// lnd's `invoice.macaroon`.
    pub(crate) fn invoice_macaroon(&self) -> Vec<u8> {
        self.bake(&["address:read", "address:write", "invoices:read", "invoices:write", "onchain:read"])
    }
}

impl World {
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// From now on this lnd was built without a service.
    pub(crate) fn remove_service(&self, service: &'static str) {
        *self.missing.lock().unwrap() = Some(service);
    }

    /// The methods that were called since the last time this was asked.
    pub(crate) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

/// A macaroon that looks right and is not the node's.
pub(crate) fn foreign_macaroon(entropy: &SeededEntropy) -> Vec<u8> {
    [&b"\x02\x01\x03lnd\x02"[..], &entropy.bytes32(), &entropy.bytes32()].concat()
}

/// A certificate in PEM form with its key.
pub(crate) fn identity() -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap(), key)
}
