//! The commands of `octroi`, one file each: arguments, work, exit code.

mod beside;
pub mod check;
mod config_file;
pub mod demo;
pub mod init;
pub mod keys;
pub mod ledger;
mod presented;
pub mod run;
pub mod schema;
pub mod token;

pub use config_file::ConfigFile;

use std::io::{self, Write};

/// Exit code: something did not work, or is not as it should be.
pub const EXIT_FAILED: u8 = 1;
/// Exit code: the command could not be understood, or the config could not be read.
pub const EXIT_CONFIG: u8 = 2;

/// Writes to stdout. A reader that went away (`octroi schema | head`) is no error.
fn say(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}
