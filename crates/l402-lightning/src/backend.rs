//! How a kind of Lightning service is described, so that a gateway's config and a buyer's wallet URL can both name it.

use crate::{BoxFuture, Invoicer, Network, NotSent, Payer, Secret};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use thiserror::Error;

/// One kind of Lightning service: what it is called, what it needs to be told, and how it is opened.
///
/// A backend is a crate with one such constant. What opens it looks at its settings and at files; only a payer, which
/// a person waits for, is also asked whether it can pay.
pub struct Backend {
    /// The word in a gateway's config: `lnd`.
    pub name: &'static str,
    /// What it is, in one line of the reference.
    pub about: &'static str,
    /// What it has to be told.
    pub settings: &'static [Setting],
    /// Opens the side that is paid; `None` where the service cannot be paid this way. Never connects.
    pub invoicer: Option<fn(&Settings) -> InvoicerOpening>,
    /// Opens the side that pays, and asks it whether it can; `None` where the service cannot pay.
    pub payer: Option<fn(Settings) -> PayerOpening>,
    /// How a buyer's wallet URLs of this kind begin, without the colon: `lnd+https`.
    pub wallet_schemes: &'static [&'static str],
    /// What proves a payment where the seller says nothing of it.
    pub proof: Proof,
}

/// What comes of opening an invoicer.
pub type InvoicerOpening = Result<Arc<dyn Invoicer>, OpenError>;

/// A payer being opened.
pub type PayerOpening = BoxFuture<'static, Result<Arc<dyn Payer>, OpenError>>;

/// What a seller takes for proof of payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The preimage by itself: right where only the payee's node knows it before it is paid.
    Preimage,
    /// The preimage, and the node says that the invoice is settled: right where others may learn preimages of unpaid
    /// invoices, such as a custodian or whoever else has access to the wallet.
    Settled,
}

/// One thing that a backend has to be told.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key in a config and the parameter of a wallet URL: `certificate`.
    pub name: &'static str,
    /// What its value is.
    pub kind: SettingKind,
    /// Whose it is.
    pub side: Side,
    /// What holds without it; `None` where it has to be given.
    pub absent: Option<&'static str>,
    /// What it is for, as the reference says it.
    pub doc: &'static str,
    /// An example, as it would stand in a config.
    pub example: &'static str,
}

/// What the value of a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// A URL of the service. In a wallet URL it is the place itself, not a parameter.
    Url,
    /// Text.
    Text,
    /// A file that is no secret.
    File,
    /// A secret. In a config: the file that holds it, or `${VARIABLE}`.
    Secret,
    /// `true` or `false`.
    Flag,
}

/// Which side of the counter a setting is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Both.
    Both,
    /// The one that is paid.
    Seller,
    /// The one that pays.
    Buyer,
}

/// The values of a backend's settings.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The network that invoices must be for. A seller always says it; a buyer where the wallet cannot be asked.
    pub network: Option<Network>,
    values: Vec<(&'static str, SettingValue)>,
}

/// One value.
#[derive(Clone, Debug)]
pub enum SettingValue {
    /// A URL or a text.
    Text(String),
    /// A file.
    File(PathBuf),
    /// A secret that was read already.
    Secret(Secret),
    /// A flag.
    Flag(bool),
}

/// Why a backend cannot be opened. Nothing was asked of it, and nothing was paid.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// The file that a setting names cannot be read.
    #[error("`{setting}`: {path} cannot be read: {error}")]
    Unreadable {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A setting does not have its form.
    #[error("`{setting}` is not {expected}")]
    Form {
        /// The setting.
        setting: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// Plain HTTP to another machine shows the credential to everyone on the way.
    #[error("`{0}`: plain HTTP to another machine is refused")]
    PlainHttp(&'static str),
    /// This kind of service cannot be opened for this side.
    #[error("`{0}` cannot be used for this")]
    WrongSide(&'static str),
    /// The service, asked a first question, cannot be used.
    #[error("{0}")]
    NotReady(NotSent),
    /// The service answered something that is not its interface.
    #[error("its answer cannot be understood: {0}")]
    Garbled(&'static str),
}

impl OpenError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing(setting) => format!("set `{setting}`"),
            Self::Unreadable { error, .. } if error.kind() == io::ErrorKind::NotFound => {
                "check the path; the file is made by the node".to_owned()
            }
            Self::Unreadable { .. } => "let the user that runs this read the file".to_owned(),
            Self::Form { setting, expected } => format!("give {expected} for `{setting}`"),
            Self::PlainHttp(_) => "use https, or a tunnel that ends on this machine".to_owned(),
            Self::WrongSide(_) => "choose another kind of wallet".to_owned(),
            Self::NotReady(why) => why.hint().to_owned(),
            Self::Garbled(_) => {
                "is this the address of such a service, and its version supported?".to_owned()
            }
        }
    }
}

/// Largest file with a secret, in bytes: a macaroon, a rune, a password.
const SECRET_BYTES_MAX: u64 = 16 * 1024;

impl Settings {
    /// Settings for invoices of one network; `None`: whatever the service says.
    pub fn new(network: Option<Network>) -> Self {
        Self { network, values: Vec::new() }
    }

    /// Adds a value; a later one of the same name counts.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: SettingValue) -> Self {
        self.set(name, value);
        self
    }

    /// Sets a value in place.
    pub fn set(&mut self, name: &'static str, value: SettingValue) {
        self.values.retain(|(known, _)| *known != name);
        self.values.push((name, value));
    }

    /// Whether the setting was given.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A URL or a text, if it was given.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            SettingValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A URL or a text that has to be there.
    pub fn required_text(&self, name: &'static str) -> Result<&str, OpenError> {
        self.text(name).ok_or(OpenError::Missing(name))
    }

    /// A file, if it was given.
    pub fn file(&self, name: &str) -> Option<&Path> {
        match self.get(name)? {
            SettingValue::File(path) => Some(path),
            _ => None,
        }
    }

    /// A flag; `false` if it was not given.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some(SettingValue::Flag(true)))
    }

    /// A secret, read from its file where one is named.
    pub fn secret(&self, name: &'static str) -> Result<Option<Secret>, OpenError> {
        match self.get(name) {
            Some(SettingValue::Secret(secret)) => Ok(Some(secret.clone())),
            Some(SettingValue::File(path)) => read_secret(name, path).map(Some),
            _ => Ok(None),
        }
    }

    /// A secret that has to be there.
    pub fn required_secret(&self, name: &'static str) -> Result<Secret, OpenError> {
        self.secret(name)?.ok_or(OpenError::Missing(name))
    }

    fn get(&self, name: &str) -> Option<&SettingValue> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

fn read_secret(setting: &'static str, path: &Path) -> Result<Secret, OpenError> {
    use io::Read as _;
    let unreadable = |error| OpenError::Unreadable { setting, path: path.to_owned(), error };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.is_empty() || bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(OpenError::Form { setting, expected: "a file with a credential (1 byte to 16 KiB)" });
    }
    Ok(Secret::from_bytes(bytes))
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backend").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_counts_and_kinds_are_not_mixed_up() {
        let settings = Settings::new(None)
            .with("address", SettingValue::Text("https://a".to_owned()))
            .with("address", SettingValue::Text("https://b".to_owned()))
            .with("certificate", SettingValue::File("/c".into()));
        assert_eq!(settings.text("address"), Some("https://b"));
        assert_eq!(settings.file("address"), None);
        assert!(matches!(settings.required_text("certificate"), Err(OpenError::Missing("certificate"))));
        assert!(!settings.flag("address"));
    }

    #[test]
    fn a_secret_comes_from_its_file_and_is_never_printed() {
        let folder = std::env::temp_dir().join(format!("l402-backend-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("rune");
        std::fs::write(&path, "sesame\n").unwrap();
        let settings = Settings::new(None).with("rune", SettingValue::File(path.clone()));
        let secret = settings.required_secret("rune").unwrap();
        assert_eq!(secret.text(), Some("sesame"));
        let settings = settings.with("rune", SettingValue::Secret(secret));
        assert!(!format!("{settings:?}").contains("sesame"));
        std::fs::write(&path, vec![b'a'; 20_000]).unwrap();
        let settings = Settings::new(None).with("rune", SettingValue::File(path));
        assert!(matches!(settings.secret("rune"), Err(OpenError::Form { setting: "rune", .. })));
        let settings = Settings::new(None).with("rune", SettingValue::File(folder.join("none")));
        assert!(matches!(settings.secret("rune"), Err(OpenError::Unreadable { .. })));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
