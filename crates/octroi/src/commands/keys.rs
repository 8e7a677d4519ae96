//! `octroi keys`: the epochs of the master keys. The keys themselves are never shown.

use super::{ConfigFile, EXIT_CONFIG, EXIT_FAILED, say};
use crate::{
    config::{Config, KeySource},
    date::{Date, Span},
    edge::{OsEntropy, unix_secs},
    start::KeysError,
};
use l402::EpochId;
use l402_paywall::{Entropy, KeyFile, KeyFileError};
use std::{fmt::Write as _, path::Path, process::ExitCode};

/// Shows, rotates or retires the master keys.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Shows the epochs and their ages
    Show {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Adds an epoch that mints from now on; tokens of the others stay good
    Rotate {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Takes an epoch out: every token it minted is refused from then on
    Retire {
        /// Its id, as `octroi keys show` prints it
        epoch: EpochId,
        #[command(flatten)]
        config: ConfigFile,
    },
}

/// Why a command about keys failed.
#[derive(Debug, thiserror::Error)]
enum KeysFault {
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// Keys handed in as a secret cannot be changed from here.
    #[error("the keys come from `keys.secret`, which this command cannot change")]
    NotOurs,
}

impl KeysFault {
    fn hint(self) -> String {
        let hint = match self {
            Self::File(KeyFileError::Missing(_)) => {
                "`octroi run` makes the file on its very first start; if there was one, restore it from a backup"
            }
            Self::File(KeyFileError::UnknownEpoch(_)) => "`octroi keys show` lists the epochs",
            Self::File(KeyFileError::RetireCurrent(_)) => "`octroi keys rotate` adds an epoch that mints",
            Self::File(KeyFileError::Full) => "`octroi keys retire EPOCH` takes one out",
            Self::File(error) => return KeysError::File(error).hint(),
            Self::NotOurs => "change the secret where it is kept; a key file has the same text",
        };
        hint.to_owned()
    }
}

/// Runs the command. Exit 1 if the keys cannot be used, 2 if the config cannot.
pub fn run(args: &Args) -> ExitCode {
    let (Command::Show { config } | Command::Rotate { config } | Command::Retire { config, .. }) =
        &args.command;
    let config = match config.load() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let done = match &args.command {
        Command::Show { .. } => show(&config, unix_secs()),
        Command::Rotate { .. } => rotate(&config, unix_secs()),
        Command::Retire { epoch, .. } => retire(&config, *epoch),
    };
    match done {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            eprintln!("  hint: {}", error.hint());
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn show(config: &Config, now: u64) -> Result<String, KeysFault> {
    match &config.keys {
        KeySource::File(path) => Ok(table(&KeyFile::load(path)?, now)),
        KeySource::Secret(keys) => Ok(table(keys, now)),
    }
}

fn rotate(config: &Config, now: u64) -> Result<String, KeysFault> {
    let path = owned(config)?;
    let mut keys = KeyFile::load(path)?;
    let old = keys.current();
    let new = keys.rotate(now, &mut |bytes: &mut [u8]| OsEntropy.fill(bytes))?;
    keys.save(path)?;
    Ok(format!(
        "epoch {new} mints from the next start or reload on; tokens of {old} stay good\n\
         next: reload the gateway (SIGHUP), keep a copy of {} in a safe place,\n\
         and when no token of {old} is needed any more: octroi keys retire {old}\n",
        path.display()
    ))
}

fn retire(config: &Config, epoch: EpochId) -> Result<String, KeysFault> {
    let path = owned(config)?;
    let mut keys = KeyFile::load(path)?;
    keys.retire(epoch)?;
    keys.save(path)?;
    Ok(format!("tokens of epoch {epoch} are refused from the next start or reload (SIGHUP) on\n"))
}

/// The key file, where it is ours to change.
fn owned(config: &Config) -> Result<&Path, KeysFault> {
    match &config.keys {
        KeySource::File(path) => Ok(path),
        KeySource::Secret(_) => Err(KeysFault::NotOurs),
    }
}

fn table(keys: &KeyFile, now: u64) -> String {
    let mut text = "epoch     created               age\n".to_owned();
    for epoch in keys.epochs() {
        let age = Span(now.saturating_sub(epoch.created())).to_string();
        let role = if epoch.id() == keys.current() { "mints and verifies" } else { "verifies" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}  {}  {age:<12}  {role}", epoch.id(), Date(epoch.created()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::PathBuf};

    const NOW: u64 = 1_763_700_000;

    struct World {
        folder: tempfile::TempDir,
        config: Config,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("octroi.yaml");
            let text = "keys: { file: keys }\nlightning: { backend: loopback }\n\
                        services: [{ name: a, path: /, upstream: \"http://a\", price: 1 sat }]\n";
            fs::write(&path, text).expect("written");
            let config = Config::load(&path).unwrap_or_else(|error| panic!("{error}"));
            Self { folder, config }
        }

        fn keys(&self) -> PathBuf {
            self.folder.path().join("keys")
        }

        fn with_keys() -> (Self, EpochId) {
            let world = Self::new();
            let keys = KeyFile::generate(NOW, &mut |bytes: &mut [u8]| bytes.fill(7));
            keys.create(&world.keys()).expect("created");
            (world, keys.current())
        }
    }

    #[test]
    fn rotation_and_retirement_change_the_file_and_tell_what_comes_next() {
        let (world, first) = World::with_keys();
        assert!(
            rotate(&world.config, NOW + 3600).expect("rotated").contains(&format!("keys retire {first}"))
        );
        let keys = KeyFile::load(&world.keys()).expect("readable");
        assert_eq!((keys.epochs().len(), keys.epochs()[0].id()), (2, first));
        assert_ne!(keys.current(), first);
        let shown = show(&world.config, NOW + 7200).expect("shown");
        assert!(
            shown.contains("2 hours") && shown.contains("1 hour") && shown.lines().count() == 3,
            "{shown}"
        );
        retire(&world.config, first).expect("retired");
        assert_eq!(KeyFile::load(&world.keys()).expect("readable").epochs().len(), 1);
    }

    #[test]
    fn the_minting_epoch_and_an_unknown_one_are_not_retired() {
        let (world, first) = World::with_keys();
        let before = fs::read(world.keys()).expect("readable");
        for epoch in [first, EpochId([0xde, 0xad, 0xbe, 0xef])] {
            let error = retire(&world.config, epoch).expect_err("refused");
            assert!(error.hint().contains("octroi keys"));
        }
        assert_eq!(fs::read(world.keys()).expect("readable"), before);
    }

    #[test]
    fn a_missing_key_file_is_never_made_here() {
        let world = World::new();
        for done in
            [show(&world.config, NOW), rotate(&world.config, NOW), retire(&world.config, EpochId([0; 4]))]
        {
            let error = done.expect_err("there are no keys");
            assert!(matches!(error, KeysFault::File(KeyFileError::Missing(_))), "{error}");
        }
        assert!(!world.keys().exists());
    }

    #[test]
    fn keys_from_a_secret_are_shown_and_not_changed() {
        let (mut world, first) = World::with_keys();
        world.config.keys = KeySource::Secret(KeyFile::load(&world.keys()).expect("readable"));
        let shown = show(&world.config, NOW).expect("shown");
        assert!(shown.contains(&first.to_string()) && !shown.contains(&"07".repeat(8)), "{shown}");
        assert!(matches!(rotate(&world.config, NOW), Err(KeysFault::NotOurs)));
        assert!(matches!(retire(&world.config, first), Err(KeysFault::NotOurs)));
    }
}
