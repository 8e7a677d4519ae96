//! `octroi init`: a config to start from.

use super::{ConfigFile, EXIT_FAILED, say};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

/// Writes a short commented config to start from; an existing file is left alone.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigFile,
}

/// What is written. A test keeps it sound.
const STARTER: &str = "\
# Octroi gateway: what is sold, for how much, and where it comes from.
# Every key: docs/configuration.md, or `octroi schema --markdown`. Is it sound? `octroi check`

listen: 127.0.0.1:8402              # where buyers connect
ops: 127.0.0.1:8404                 # /healthz, /readyz, /metrics: keep it private
data_dir: ./octroi-data             # keys of all tokens; made on first start, mode 0700

lightning:
  backend: loopback                 # built in, settles without money: for trying things out

services:
  - name: example                   # stands in every token; do not change it later
    path: /                         # `/dir/` everything below, `/file` one path, `~^/regex` an expression
    upstream: http://127.0.0.1:9000 # your API
    price: 10 sat                   # what one token costs
    valid_for: 1h                   # absent: tokens do not expire
    # host: api.example.com         # absent: any host
    # routes:                       # finer rules; the most specific wins
    #   - { path: /health, access: free }
    #   - { path: /export, methods: [POST], price: 500 sat, capability: export }
  # - name: counted                 # sold by the unit: a token buys a pack, each request spends of it
  #   path: /counted/
  #   upstream: http://127.0.0.1:9000
  #   price: 10 sat                 # what a pack costs
  #   meter:
  #     unit: request               # or byte, second, token, or a name of your own
  #     pack: 100                   # units in a pack
  #     cost: 1                     # units per request; or found in the answer, e.g.
  #     # cost: { sse: usage.total_tokens, max: 8000 }
";

/// Writes the file. Exit 1 if it exists or cannot be written.
pub fn run(args: &Args) -> ExitCode {
    let path = args.config.explicit().unwrap_or(Path::new("octroi.yaml"));
    let shown = path.display();
    match write_new(path, STARTER) {
        Ok(()) => {
            say(&format!(
                "wrote {shown}\nnext: octroi check --config {shown}, then octroi run --config {shown}\n"
            ));
            ExitCode::SUCCESS
        }
        Err(error) => {
            let hint = match error.kind() {
                io::ErrorKind::AlreadyExists => "it is left as it is; name another file with --config FILE",
                _ => "name a file in a folder that can be written with --config FILE",
            };
            eprintln!("error: cannot write {shown}: {error}\n  hint: {hint}");
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// Writes a file that does not exist yet, whole or not at all.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).inspect_err(|_| {
        // The error that is reported is the first one; what is left of the file would be in the way of a retry.
        let _ = fs::remove_file(path);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Surroundings};

    #[test]
    fn the_starter_is_a_sound_config_also_with_its_comments_taken_as_keys() {
        let uncomment = |line: &str| {
            let key = ["    # ", "  # "].iter().find_map(|mark| Some((mark, line.strip_prefix(*mark)?)));
            match key {
                Some((mark, key)) => format!("{}{key}\n", mark.trim_end_matches("# ")),
                None => format!("{line}\n"),
            }
        };
        let uncommented: String = STARTER.lines().map(uncomment).collect();
        assert_ne!(uncommented, STARTER);
        for text in [STARTER, uncommented.as_str()] {
            let surroundings = Surroundings { folder: Path::new(""), variable: &|_| None, files: false };
            let problems = Config::parse(text, &surroundings).err().unwrap_or_default();
            assert!(problems.is_empty(), "{problems:?}\n{text}");
        }
    }

    #[test]
    fn an_existing_file_is_left_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("octroi.yaml");
        let args = Args { config: ConfigFile::named(path.clone()) };
        assert_eq!(run(&args), ExitCode::SUCCESS);
        assert_eq!(fs::read_to_string(&path).expect("written"), STARTER);
        fs::write(&path, "mine").expect("written");
        assert_eq!(run(&args), ExitCode::from(EXIT_FAILED));
        assert_eq!(fs::read_to_string(&path).expect("still there"), "mine");
    }
}
