//! What goes wrong with the imitation.

use std::sync::Mutex;
use testkit::contract::NodeFault;
use tokio::sync::watch;

/// The faults that are armed.
#[derive(Default)]
pub(crate) struct Faults {
    armed: Mutex<Vec<NodeFault>>,
    /// Counts the times that faults were taken back.
    healed: watch::Sender<u64>,
}

impl Faults {
    pub(crate) fn arm(&self, fault: NodeFault) {
        self.armed.lock().unwrap().push(fault);
    }

    pub(crate) fn heal(&self) {
        self.armed.lock().unwrap().clear();
        self.healed.send_modify(|times| *times += 1);
    }

    /// Whether this one strikes, as it does until healed.
    pub(crate) fn strikes(&self, fault: NodeFault) -> bool {
        self.armed.lock().unwrap().contains(&fault)
    }

    /// Whether this one strikes, for the last time.
    pub(crate) fn strikes_once(&self, fault: NodeFault) -> bool {
        let mut armed = self.armed.lock().unwrap();
        let place = armed.iter().position(|one| *one == fault);
        place.map(|place| armed.remove(place)).is_some()
    }

    /// Waits until faults are taken back.
    pub(crate) async fn healed(&self) {
        // The sender lives as long as what is borrowed here.
        let _ = self.healed.subscribe().changed().await;
    }
}
