//! From the file to the [`Config`]: everything that needs more than one value, or a look outside the file.

mod files;
mod ledger;
mod lightning;
mod listeners;
mod meter;
mod services;

use super::{
    Surroundings,
    file::{ConfigFile, LimitsSection, TimeoutsSection},
    place::{Field, Place, Step},
    problem::{Combination, Fault, Problem},
    settings::{Config, KeySource, Limits, Timeouts},
};
use l402_paywall::{KeyFile, MintLimits};
use std::path::PathBuf;

/// Checks the file as a whole. `None` only where a problem has been reported; but a result may come with problems too.
pub(super) fn check(
    file: &ConfigFile,
    surroundings: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Config> {
    let mut checker = Checker { surroundings, problems };
    let lightning = file.lightning.given().and_then(|section| checker.lightning(section));
    let listeners = checker.listeners(file);
    let data_dir = file.data_dir.given().map(|path| checker.path(&path.0));
    if let Some(path) = &data_dir {
        checker.data_dir(path, file.data_dir.place().unwrap_or(file.at));
    }
    let keys = checker.keys(file, data_dir.as_ref());
    let ledger = checker.ledger(file);
    let services = checker.services(file);
    let (routes, upstreams) = services?;
    Some(Config {
        listeners: listeners?,
        ops: file.ops.given().map(|address| address.0),
        data_dir: data_dir?,
        keys: keys?,
        ledger: ledger?,
        lightning: lightning?,
        limits: limits(file.limits.given()?)?,
        timeouts: timeouts(file.timeouts.given()?)?,
        location: file.location.given()?.0.clone(),
        routes,
        upstreams,
    })
}

/// What a check needs at hand.
struct Checker<'a, 's> {
    surroundings: &'a Surroundings<'s>,
    problems: &'a mut Vec<Problem>,
}

impl Checker<'_, '_> {
    fn report(&mut self, at: Place, steps: &[Step], fault: Fault) {
        self.problems.push(Problem::new(at, steps, fault));
    }

    fn keys(&mut self, file: &ConfigFile, data_dir: Option<&PathBuf>) -> Option<KeySource> {
        let section = match &file.keys {
            Field::Absent => return data_dir.map(|folder| KeySource::File(folder.join("keys"))),
            Field::Faulty(_) => return None,
            Field::Given(section) => &section.value,
        };
        let steps = [key("keys")];
        let (path, source) = match (&section.file, &section.secret) {
            (Field::Given(path), Field::Absent) => return Some(KeySource::File(self.path(&path.value.0))),
            (Field::Absent, Field::Given(secret)) => (key("secret"), secret),
            (Field::Faulty(_), _) | (_, Field::Faulty(_)) => return None,
            (Field::Given(_), Field::Given(_)) | (Field::Absent, Field::Absent) => {
                self.report(section.at, &steps, Fault::Combination(Combination::OneKeySource));
                return None;
            }
        };
        let steps = [key("keys"), path];
        let text = self.secret(&source.value);
        let text = text.map_err(|fault| self.report(source.at, &steps, Fault::File(fault))).ok()?;
        let keys = KeyFile::parse(&text).map_err(|fault| self.report(source.at, &steps, Fault::Keys(fault)));
        keys.ok().map(KeySource::Secret)
    }
}

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

fn limits(section: &LimitsSection) -> Option<Limits> {
    let mint = section.mint.given()?;
    Some(Limits {
        mint: MintLimits {
            per_network: *mint.per_network.given()?,
            per_service: *mint.per_service.given()?,
            total: *mint.total.given()?,
        },
        header_bytes: section.header.given()?.0,
        connections: section.connections.given()?.0,
    })
}

fn timeouts(section: &TimeoutsSection) -> Option<Timeouts> {
    Some(Timeouts {
        header: section.header.given()?.0,
        idle: section.idle.given()?.0,
        connect: section.connect.given()?.0,
        response: section.response.given()?.0,
        whole: section.whole.given()?.0,
    })
}
