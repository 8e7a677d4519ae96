//! Any text is a config or a list of problems, each in one line and with a place in the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use octroi::config::{Config, Surroundings};
use std::path::Path;

fuzz_target!(|text: &str| {
    let surroundings = Surroundings { folder: Path::new(""), variable: &|_| None, files: false };
    if let Err(problems) = Config::parse(text, &surroundings) {
        assert!(!problems.is_empty(), "a config without problems was refused");
        for problem in problems {
            assert!(problem.at.line >= 1 && problem.at.column >= 1, "{problem} has no place");
            assert!(!problem.to_string().contains(['\n', '\r']), "{problem:?} takes several lines");
        }
    }
});
