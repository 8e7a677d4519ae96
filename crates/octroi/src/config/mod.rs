//! The config: a strict YAML file, checked as a whole before anything starts.
//!
//! Three forms, kept apart: the file as it is written (`file`), the [`Config`] that the gateway runs with, and the
//! paywall's own [`ServiceSpec`](l402_paywall::ServiceSpec)s. A [`Config`] only comes from a file without a single
//! problem, and every problem of a file is reported at once, each with its line, its column and what to do.

mod check;
mod file;
mod meter;
mod node;
mod place;
mod problem;
mod reference;
mod schema;
mod section;
mod settings;
mod tree;
mod value;

pub use place::Place;
pub use problem::{Combination, ConfigError, Fault, FileFault, Found, Problem, UrlFault};
pub use reference::reference;
pub use schema::schema;
pub use settings::{
    Config, KeySource, LedgerChoice, Lightning, Limits, Listener, Node, PostgresLedger, RemoteNode, Timeouts,
    TlsFiles, Upstream, UpstreamTrust,
};
pub(crate) use value::REMOVED_HEADERS;
pub use value::{HostHeader, UpstreamProtocol, UpstreamUrl};

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Where a config is looked for when none is named.
const SEARCHED: [&str; 2] = ["octroi.yaml", "/etc/octroi/octroi.yaml"];
/// Room for tens of thousands of routes; a larger file is not a config.
const CONFIG_BYTES_MAX: u64 = 16 << 20;
/// A key file with every epoch it can hold is smaller.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// What a config refers to outside its own text.
pub struct Surroundings<'a> {
    /// Folder that relative paths start from: the config file's.
    pub folder: &'a Path,
    /// Looks an environment variable up.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Whether the files it names are looked at. Without, only the text is checked.
    pub files: bool,
}

impl Config {
    /// Reads and checks a config file with everything it names.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path, CONFIG_BYTES_MAX).map_err(ConfigError::Unreadable)?;
        let surroundings = Surroundings {
            folder: path.parent().unwrap_or(Path::new("")),
            variable: &|name| std::env::var(name).ok(),
            files: true,
        };
        Self::parse(&text, &surroundings)
            .map_err(|problems| ConfigError::Invalid { name: path.display().to_string(), problems })
    }

    /// Checks the text of a config. The error is every problem of it, in the order of their places.
    pub fn parse(text: &str, surroundings: &Surroundings<'_>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let root = tree::parse(text, &mut problems);
        let mut reader = section::Reader::default();
        let file = match &root {
            Some(root) => file::decode(root, &mut reader),
            None if problems.is_empty() => {
                reader.report(Place::START, Fault::Empty);
                None
            }
            None => None,
        };
        problems.extend(reader.into_problems());
        let config = file.and_then(|file| check::check(&file, surroundings, &mut problems));
        problems.sort_by_key(|problem| problem.at);
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems),
        }
    }

    /// The config file to use: the one named, or the first that exists of `octroi.yaml` here and
    /// `/etc/octroi/octroi.yaml`.
    pub fn find(named: Option<&Path>) -> Result<PathBuf, ConfigError> {
        if let Some(named) = named {
            return Ok(named.to_owned());
        }
        let searched = SEARCHED.map(PathBuf::from);
        let found = searched.iter().find(|path| path.exists()).cloned();
        found.ok_or_else(|| ConfigError::NotFound(searched.to_vec()))
    }
}

/// Reads a whole text file that is not larger than `limit` bytes.
fn read_text(path: &Path, limit: u64) -> Result<String, FileFault> {
    let unreadable = |error: io::Error| FileFault::Unreadable { path: path.to_owned(), error };
    let file = File::open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(FileFault::NotAFile(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(FileFault::TooLarge { path: path.to_owned(), limit });
    }
    String::from_utf8(bytes).map_err(|_| FileFault::NotText(path.to_owned()))
}
