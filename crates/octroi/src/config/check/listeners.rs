//! Addresses: none twice, and none that others reach while invoices settle without money.

use super::{Checker, key};
use crate::config::{
    file::{self, ConfigFile},
    place::{At, Field, Place, Step},
    problem::{Combination, Fault},
    section::Item,
    settings::{Listener, TlsFiles},
    value::{Address, Backend},
};
use std::net::SocketAddr;

/// An address with the key that sets it.
struct Claim {
    address: SocketAddr,
    at: Place,
    steps: Vec<Step>,
    /// Whether buyers or wallets connect there.
    public: bool,
}

impl Checker<'_, '_> {
    pub(super) fn listeners(&mut self, file: &ConfigFile) -> Option<Vec<Listener>> {
        let list = &file.listen.given()?.0;
        let several = list.items.len() > 1 || !list.complete;
        let mut claims = Vec::new();
        let listeners: Vec<Option<Listener>> =
            list.items.iter().map(|item| self.listener(item, several, &mut claims)).collect();
        if let Field::Given(ops) = &file.ops {
            claims.push(Claim { address: ops.value.0, at: ops.at, steps: vec![key("ops")], public: false });
        }
        let lightning = file.lightning.given();
        let wallet =
            lightning.and_then(|lightning| lightning.own.loopback.given()).map(|loopback| &loopback.wallet);
        let loopback =
            matches!(lightning.and_then(|lightning| lightning.own.backend.given()), Some(Backend::Loopback));
        if let Some(Field::Given(wallet)) = wallet.filter(|_| loopback) {
            let steps = vec![key("lightning"), key("loopback"), key("wallet")];
            claims.push(Claim { address: wallet.value.0, at: wallet.at, steps, public: true });
        }
        self.claims(&claims, loopback);
        listeners.into_iter().collect()
    }

    fn listener(
        &mut self,
        item: &Item<file::Listener>,
        several: bool,
        claims: &mut Vec<Claim>,
    ) -> Option<Listener> {
        let mut steps = vec![key("listen")];
        steps.extend(several.then_some(Step::Index(item.index)));
        match &item.value {
            file::Listener::Address(address) => {
                let key = claim(address, steps, claims);
                Some(Listener { address: address.value.0, tls: None, trusted_proxies: Vec::new(), key })
            }
            file::Listener::Section(section) => {
                let tls = match &section.tls {
                    Field::Absent => Some(None),
                    Field::Faulty(_) => None,
                    Field::Given(tls) => self.tls(&tls.value, &steps).map(Some),
                };
                let trusted = section.trusted_proxies.given().into_iter().flat_map(|list| &list.items);
                let trusted_proxies = trusted.map(|network| network.value.0).collect();
                let Field::Given(address) = &section.address else { return None };
                steps.push(key("address"));
                let key = claim(address, steps, claims);
                Some(Listener { address: address.value.0, tls: tls?, trusted_proxies, key })
            }
        }
    }

    fn tls(&mut self, section: &file::TlsSection, steps: &[Step]) -> Option<TlsFiles> {
        let below = |name: &str| [steps, &[key("tls"), key(name)]].concat();
        let certificate = match &section.certificate {
            Field::Given(path) => {
                let file = self.path(&path.value.0);
                self.file(&file, path.at, &below("certificate"));
                Some(file)
            }
            _ => None,
        };
        let private = match &section.key {
            Field::Given(path) => {
                let file = self.path(&path.value.0);
                self.private_file(&file, path.at, &below("key"));
                Some(file)
            }
            _ => None,
        };
        Some(TlsFiles { certificate: certificate?, key: private? })
    }

    fn claims(&mut self, claims: &[Claim], loopback: bool) {
        for (index, claim) in claims.iter().enumerate() {
            let address = claim.address;
            if loopback && claim.public && !address.ip().to_canonical().is_loopback() {
                let fault = Combination::PublicWithLoopback { address };
                self.report(claim.at, &claim.steps, Fault::Combination(fault));
            }
            if let Some(first) = claims[..index].iter().find(|other| collide(other.address, address)) {
                let other = crate::config::place::spell(&first.steps);
                self.report(
                    claim.at,
                    &claim.steps,
                    Fault::Combination(Combination::AddressTwice { address, other }),
                );
            }
        }
    }
}

fn claim(address: &At<Address>, steps: Vec<Step>, claims: &mut Vec<Claim>) -> String {
    let key = crate::config::place::spell(&steps);
    claims.push(Claim { address: address.value.0, at: address.at, steps, public: true });
    key
}

/// Whether two sockets could not both be bound.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let everywhere = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && (everywhere || a.ip().to_canonical() == b.ip().to_canonical())
}
