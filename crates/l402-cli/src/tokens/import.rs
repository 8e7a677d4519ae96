//! `l402 tokens import`: tokens of lnget (`<host>/l402.token` under one folder) and aperture's client (one file).

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use l402_client::{ImportError, Origin, Vault, read_token_file};
use serde_json::json;

use crate::failure::{Exit, Failure};
use crate::sheet::print_line;

/// Largest token file that is read.
const FILE_BYTES_MAX: u64 = 16 * 1024;
/// Most folders that are looked into.
const FOLDERS_MAX: usize = 10_000;
/// The names a token file can have; the older client wrote the older ones.
const FILE_NAMES: [&str; 4] = ["l402.token", "lsat.token", "l402.token.pending", "lsat.token.pending"];
/// In this file lnget keeps the host that its folder's name can only hint at.
const DOMAIN_FILE: &str = ".domain";

/// One file to import.
struct Candidate {
    path: PathBuf,
    origin: Origin,
}

/// Imports a file, or every token file in the folders of a folder. What cannot be imported is reported, and the rest is.
pub(super) fn run(vault: &Vault, path: &Path, origin: Option<&str>, as_json: bool) -> Result<(), Failure> {
    let origin = origin.map(parse_origin).transpose()?;
    let candidates =
        if path.is_dir() { in_folder(path, origin.as_ref())? } else { vec![single(path, origin)?] };
    if candidates.is_empty() {
        return Err(Failure::new(Exit::Other, "import", format!("{} holds no token file", path.display())));
    }
    let mut failed = 0;
    for candidate in &candidates {
        let outcome = import(vault, candidate)?;
        failed += usize::from(outcome.is_err());
        let error = outcome.err().map(|error| error.to_string());
        let place = candidate.path.display();
        print_line(&match (as_json, error) {
            (true, error) => json!({
                "file": place.to_string(), "origin": candidate.origin.to_string(), "error": error
            })
            .to_string(),
            (false, None) => format!("imported  {}  from {place}", candidate.origin),
            (false, Some(error)) => format!("skipped   {}  from {place}: {error}", candidate.origin),
        })?;
    }
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Other,
        "import",
        format!("{failed} of {} files were not imported", candidates.len()),
    ))
}

fn import(vault: &Vault, candidate: &Candidate) -> Result<Result<(), ImportError>, Failure> {
    let token = match read_token_file(&read(&candidate.path)?) {
        Ok(token) => token,
        Err(error) => return Ok(Err(error)),
    };
    let record = token.into_record(candidate.origin.clone());
    let known = vault.purchases(&candidate.origin)?;
    // What is known already keeps its history.
    if !known.iter().any(|known| known.payment_hash == record.payment_hash && known.paid().is_some()) {
        vault.write(&record)?;
    }
    Ok(Ok(()))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    Ok(bytes)
}

fn single(path: &Path, origin: Option<Origin>) -> Result<Candidate, Failure> {
    let origin = match origin {
        Some(origin) => origin,
        None => domain_beside(path).ok_or_else(|| {
            Failure::usage("a single token file does not say where it belongs")
                .hint("name the origin: --origin https://example.com")
        })?,
    };
    Ok(Candidate { path: path.to_owned(), origin })
}

/// The token files in the folders below `path`, and in `path` itself.
fn in_folder(path: &Path, origin: Option<&Origin>) -> Result<Vec<Candidate>, Failure> {
    let entries = std::fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
    let mut folders = vec![path.to_owned()];
    for entry in entries.take(FOLDERS_MAX) {
        let entry = entry.map_err(|error| unreadable(path, &error))?.path();
        if entry.is_dir() {
            folders.push(entry);
        }
    }
    folders.sort();
    let mut candidates = Vec::new();
    for folder in folders {
        for path in FILE_NAMES.iter().map(|name| folder.join(name)).filter(|path| path.is_file()) {
            let origin =
                origin.cloned().or_else(|| domain_beside(&path)).or_else(|| from_folder_name(&folder));
            if let Some(origin) = origin {
                candidates.push(Candidate { path, origin });
            }
        }
    }
    Ok(candidates)
}

/// lnget's own word on the host. It says nothing of the scheme: a token is taken to be bought over https.
fn domain_beside(path: &Path) -> Option<Origin> {
    let domain = std::fs::read_to_string(path.with_file_name(DOMAIN_FILE)).ok()?;
    format!("https://{}", domain.trim()).parse().ok()
}

/// `host` or `host_port`.
fn from_folder_name(folder: &Path) -> Option<Origin> {
    let name = folder.file_name().and_then(OsStr::to_str)?;
    let host = match name.rsplit_once('_') {
        Some((host, port)) if port.parse::<u16>().is_ok() => format!("{host}:{port}"),
        _ => name.to_owned(),
    };
    format!("https://{host}").parse().ok()
}

fn parse_origin(text: &str) -> Result<Origin, Failure> {
    text.parse().map_err(|error| {
        Failure::usage(format!("--origin {}: {error}", text.escape_debug()))
            .hint("write it like https://example.com")
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Other, "import", format!("{}: {error}", path.display()))
}
