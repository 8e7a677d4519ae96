//! The Lightning node: the section of the chosen backend, with its files and secrets.

use super::{Checker, key};
use crate::config::{
    node::{LightningSection, NodeSection, NodeValue, example_of},
    place::Step,
    problem::{Combination, Fault},
    settings::{Lightning, Node, RemoteNode},
    value::{Backend, SecretSource, ServiceUrl},
};
use l402_lightning::{Network, Proof, Secret, SettingValue, Settings};

impl Checker<'_, '_> {
    pub(super) fn lightning(&mut self, section: &LightningSection) -> Option<Lightning> {
        let own = &section.own;
        let named = own.network.given().map(|network| network.0);
        let (node, network, proof) = match own.backend.given()? {
            Backend::Loopback => {
                if let Some(other) = named.filter(|network| *network != Network::Regtest) {
                    let at = own.network.place().unwrap_or(section.at());
                    let fault = Fault::Combination(Combination::LoopbackNetwork { other });
                    self.report(at, &[key("lightning"), key("network")], fault);
                }
                let wallet = own.loopback.given()?.wallet.given()?.0;
                (Node::Loopback { wallet }, Network::Regtest, Proof::Preimage)
            }
            Backend::Remote(backend) => {
                let network = named.unwrap_or(Network::Mainnet);
                let Some(settings) = section.of(backend) else {
                    let fault = Fault::MissingKey { key: backend.name, example: example_of(backend).leak() };
                    self.report(section.at(), &[key("lightning")], fault);
                    return None;
                };
                let settings = self.settings(settings, network)?;
                (Node::Remote(RemoteNode { backend, settings }), network, backend.proof)
            }
        };
        Some(Lightning {
            node,
            network,
            timeout: own.timeout.given()?.0,
            invoice_expiry_secs: own.invoice_expiry.given()?.0,
            proof: own.settlement.given().copied().unwrap_or(proof),
        })
    }

    /// Every problem of the section is reported, then there is none.
    fn settings(&mut self, section: &NodeSection, network: Network) -> Option<Settings> {
        let mut settings = Settings::new(Some(network));
        let mut complete = section.complete;
        for (setting, value) in &section.values {
            let steps = [key("lightning"), key(section.backend.name), key(setting.name)];
            match self.setting(&value.value, value.at, &steps) {
                Some(value) => settings.set(setting.name, value),
                None => complete = false,
            }
        }
        complete.then_some(settings)
    }

    fn setting(
        &mut self,
        value: &NodeValue,
        at: crate::config::Place,
        steps: &[Step],
    ) -> Option<SettingValue> {
        let variable = |checker: &mut Self, name: &str| {
            let value = checker.variable(name);
            value.map_err(|fault| checker.report(at, steps, Fault::File(fault))).ok()
        };
        Some(match value {
            NodeValue::Flag(flag) => SettingValue::Flag(*flag),
            NodeValue::Text(text) => SettingValue::Text(text.0.clone()),
            NodeValue::Url(ServiceUrl::Url(url)) => SettingValue::Text(url.clone()),
            NodeValue::Url(ServiceUrl::Variable(name)) => {
                SettingValue::Text(variable(self, name)?.trim().to_owned())
            }
            NodeValue::File(path) => {
                let path = self.path(&path.0);
                self.file(&path, at, steps);
                SettingValue::File(path)
            }
            NodeValue::Secret(place) => match &place.0 {
                SecretSource::Variable(name) => {
                    SettingValue::Secret(Secret::from_text(variable(self, name)?.as_str()))
                }
                SecretSource::File(path) => {
                    let path = self.path(path);
                    // Nodes write the files of lesser credentials readable for all; that is theirs to decide.
                    self.file(&path, at, steps);
                    SettingValue::File(path)
                }
            },
        })
    }
}
