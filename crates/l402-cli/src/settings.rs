//! What comes from the environment and the configuration file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use l402_client::WalletCredentials;
use l402_lightning::Secret;
use serde::Deserialize;

use crate::failure::{Exit, Failure};

/// Largest configuration file that is read.
const CONFIG_BYTES_MAX: u64 = 64 * 1024;

/// The environment, as far as it matters here.
pub(crate) struct Environment {
    home: Option<PathBuf>,
    data_home: Option<PathBuf>,
    config_home: Option<PathBuf>,
    pub(crate) wallet: Option<String>,
    /// What the wallet has to be told beside its URL: `L402_WALLET_MACAROON`, `L402_WALLET_CERT`...
    pub(crate) wallet_credentials: WalletCredentials,
}

/// The configuration file, `$XDG_CONFIG_HOME/l402/config.toml`. Its values are read like those of the flags.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigFile {
    /// Like `--wallet`.
    pub(crate) wallet: Option<String>,
    /// Like `--max-cost`.
    pub(crate) max_cost: Option<String>,
    /// Like `--payment-timeout`.
    pub(crate) payment_timeout: Option<String>,
}

impl Environment {
    pub(crate) fn read() -> Self {
        let text = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        // The base directory specification ignores relative paths.
        let folder = |name| absolute(std::env::var_os(name));
        Self {
            home: folder("HOME"),
            data_home: folder("XDG_DATA_HOME"),
            config_home: folder("XDG_CONFIG_HOME"),
            wallet: text("L402_WALLET"),
            wallet_credentials: wallet_credentials(),
        }
    }

    /// Where tokens and intents lie.
    pub(crate) fn data_dir(&self) -> Result<PathBuf, Failure> {
        let base = self.data_home.clone().or_else(|| Some(self.home.as_ref()?.join(".local/share")));
        let no_home = || {
            Failure::new(Exit::Other, "store", "there is no place to keep tokens in")
                .hint("set HOME or XDG_DATA_HOME to an absolute path")
        };
        Ok(base.ok_or_else(no_home)?.join("l402"))
    }

    /// The configuration file's content; nothing if there is none.
    pub(crate) fn config_file(&self) -> Result<ConfigFile, Failure> {
        let base = self.config_home.clone().or_else(|| Some(self.home.as_ref()?.join(".config")));
        match base {
            Some(base) => ConfigFile::read(&base.join("l402/config.toml")),
            None => Ok(ConfigFile::default()),
        }
    }
}

impl ConfigFile {
    fn read(path: &Path) -> Result<Self, Failure> {
        let unreadable = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unreadable(error)),
            Ok(metadata) if metadata.len() > CONFIG_BYTES_MAX => {
                return Err(Failure::usage(format!("{} is too large", path.display())));
            }
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        toml::from_str(&text).map_err(|error| {
            let place = error.span().map(|span| position(&text, span.start)).unwrap_or_default();
            Failure::usage(format!("{}{place}: {}", path.display(), error.message()))
                .hint("known keys: wallet, max_cost, payment_timeout")
        })
    }
}

/// `:line:column` of a byte in a text.
fn position(text: &str, byte: usize) -> String {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!(":{line}:{column}")
}

/// Every variable `L402_WALLET_<SETTING>`.
fn wallet_credentials() -> WalletCredentials {
    let named = std::env::vars_os().filter_map(|(name, value)| {
        let setting = name.to_str()?.strip_prefix("L402_WALLET_")?.to_ascii_lowercase();
        let value = value.into_string().ok().filter(|value| !value.is_empty())?;
        Some((setting, Secret::from_text(value)))
    });
    named.fold(WalletCredentials::default(), |all, (setting, value)| all.with(setting, value))
}

fn absolute(path: Option<OsString>) -> Option<PathBuf> {
    path.map(PathBuf::from).filter(|path| path.is_absolute())
}
