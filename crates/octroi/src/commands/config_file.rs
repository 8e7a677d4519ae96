//! The config file that a command works with.

use crate::config::{Config, ConfigError};
use std::path::{Path, PathBuf};

/// Which config file to read.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConfigFile {
    /// Config file [default: octroi.yaml here, then /etc/octroi/octroi.yaml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// A file chosen by the program itself.
    pub fn named(path: PathBuf) -> Self {
        Self { config: Some(path) }
    }

    /// The file that was named.
    pub fn explicit(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The file to use: the one named, or the first that exists where configs are looked for.
    pub fn find(&self) -> Result<PathBuf, ConfigError> {
        Config::find(self.explicit())
    }

    /// Reads and checks the file.
    pub fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&self.find()?)
    }
}
