//! What can be wrong with a config: one closed list, each entry with its place and with what to do.

mod combination;

pub use combination::Combination;

use super::place::{Place, Step, spell};
use l402_lightning::{AmountError, UntrustedText};
use l402_paywall::{KeyFileError, PatternError};
use std::{fmt, io, path::PathBuf};

/// One thing that is wrong with a config file.
#[derive(Debug)]
pub struct Problem {
    /// Where.
    pub at: Place,
    /// The key it is about, spelled `services[0].price`; empty where it is about the file.
    pub key: String,
    /// What.
    pub fault: Fault,
}

impl Problem {
    /// A problem of the file rather than of a key.
    pub(super) fn unnamed(at: Place, fault: Fault) -> Self {
        Self { at, key: String::new(), fault }
    }

    pub(super) fn new(at: Place, steps: &[Step], fault: Fault) -> Self {
        Self { at, key: spell(steps), fault }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Fault::UnknownKey { key, suggestion, known } => {
                write!(f, "unknown key {}", Quoted(key))?;
                if !self.key.is_empty() {
                    write!(f, " in {}", UntrustedText::new(self.key.as_str()))?;
                }
                match suggestion {
                    Some(suggestion) => write!(f, ", did you mean \"{suggestion}\"?"),
                    None => write!(f, "; known here: {}", known.join(", ")),
                }
            }
            fault if self.key.is_empty() => fault.fmt(f),
            fault => write!(f, "{}: {fault}", UntrustedText::new(self.key.as_str())),
        }
    }
}

/// What is wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Not YAML.
    #[error("not valid YAML: {kind}{}", if *unquoted { "; inside `{ }` a `${NAME}` needs quotes" } else { "" })]
    Syntax {
        /// What the parser says.
        kind: granit_parser::ErrorKind,
        /// The line holds a `${NAME}`, whose braces end a `{ }` section.
        unquoted: bool,
    },
    /// Nothing in the file.
    #[error("the file says nothing; `octroi init` writes one to start from")]
    Empty,
    /// `---` once more.
    #[error("a second document; a config is one document, without `---` between its parts")]
    SecondDocument,
    /// `&name` or `*name`.
    #[error("anchors and aliases (`&name`, `*name`) are not read here; write the value out")]
    Anchor,
    /// `!tag`.
    #[error("tags (`!name`) are not read here; leave it out")]
    Tag,
    /// A key that is a list or a section.
    #[error("a key is a word; this one is a list or a section")]
    KeyNotText,
    /// A key stands twice in one section.
    #[error("key {} is given twice, first in line {}", Quoted(key), first.line)]
    DuplicateKey {
        /// The key.
        key: String,
        /// Where it stood first.
        first: Place,
    },
    /// A key that nobody reads.
    #[error("unknown key {}", Quoted(key))]
    UnknownKey {
        /// The key.
        key: String,
        /// The known one it resembles.
        suggestion: Option<&'static str>,
        /// Every key of the section.
        known: Vec<&'static str>,
    },
    /// A required key is not there.
    #[error("key \"{key}\" is missing; add it, e.g. `{key}: {example}`")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// What it could say.
        example: &'static str,
    },
    /// A key without a value.
    #[error("no value; expected {expected} (or leave the key out)")]
    NoValue {
        /// What it takes.
        expected: String,
    },
    /// A list without items.
    #[error("an empty list; expected at least one item")]
    EmptyList,
    /// A value of another kind.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// What it takes.
        expected: String,
        /// What is there.
        found: Found,
    },
    /// A number or boolean that would be valid as text.
    #[error("{} is {found} to YAML; put it in quotes", Quoted(text))]
    NeedsQuotes {
        /// What stands there.
        text: String,
        /// What it is.
        found: Found,
    },
    /// A number where its unit decides what it means.
    #[error("{} has no unit; write {}", Quoted(number), Choices(number, units))]
    BareNumber {
        /// The number.
        number: String,
        /// Every unit it could have, spelled as after a number.
        units: &'static [&'static str],
    },
    /// `${NAME}` where nothing secret is expected.
    #[error("`${{...}}` is only read where a key holds a secret; write the value itself")]
    NotASecret,
    /// Something else where only the place of a secret is expected. It may be the secret, so it is not repeated.
    #[error("a secret is never written into the config; expected {expected}")]
    SecretWritten {
        /// What it takes.
        expected: String,
    },
    /// A word that is not one of the words.
    #[error("unknown value {}, {}", Quoted(word), Suggest(*suggestion, words))]
    UnknownWord {
        /// The word.
        word: String,
        /// The known one it resembles.
        suggestion: Option<&'static str>,
        /// Every word.
        words: Vec<&'static str>,
    },
    /// Text in another form.
    #[error("{} is not {expected}", Quoted(text))]
    Malformed {
        /// The text.
        text: String,
        /// What it should be, with an example.
        expected: String,
    },
    /// A number or quantity outside its range.
    #[error("{} is out of range; at least {least}, at most {most}", Quoted(text))]
    OutOfRange {
        /// The text.
        text: String,
        /// The smallest value.
        least: &'static str,
        /// The largest.
        most: &'static str,
    },
    /// Not an amount.
    #[error("{0}")]
    Amount(AmountError),
    /// Not a pattern for paths or hosts.
    #[error("{} is {}", Quoted(text), PatternFault(error))]
    Pattern {
        /// The text.
        text: String,
        /// Why.
        error: PatternError,
    },
    /// Not a URL of an upstream.
    #[error("{} cannot be an upstream: {why}", Quoted(text))]
    Url {
        /// The text.
        text: String,
        /// Why.
        why: UrlFault,
    },
    /// A header that needs no permission.
    #[error("header {} is forwarded anyway; list only headers that are otherwise removed", Quoted(name))]
    PassedAnyway {
        /// The header.
        name: String,
    },
    /// The services do not fit together.
    #[error("{0}")]
    Service(l402_paywall::ProblemKind),
    /// Values that exclude or need each other.
    #[error("{0}")]
    Combination(Combination),
    /// A file or folder that is not as it has to be.
    #[error("{0}")]
    File(FileFault),
    /// The keys in a secret cannot be used.
    #[error("{0}")]
    Keys(KeyFileError),
}

/// Why a text is not the URL of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Not a URL at all.
    #[error("write scheme, host and port, e.g. `http://127.0.0.1:9000`")]
    NotAUrl,
    /// Neither http nor https.
    #[error("the scheme is `http` or `https`")]
    Scheme,
    /// A user name or password.
    #[error("a URL with a user name or password is not used; such secrets would end up in logs")]
    UserInfo,
    /// A host that is neither a DNS name nor an address.
    #[error("its host is neither a name nor an address")]
    Host,
    /// A port that is none.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// A path or a query.
    #[error(
        "leave the path and query out; paths are forwarded as they were matched, `rewrite` changes their beginning"
    )]
    Path,
}

/// What is wrong with a file or folder that the config names.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// It cannot be read.
    #[error("{}: {}", path.display(), IoReason(error))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A folder or device where a file is needed.
    #[error("{} is not a file", .0.display())]
    NotAFile(PathBuf),
    /// A file where a folder is needed.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// Others may use it.
    #[error("{} has mode {mode:04o}; others must not read it: chmod {wanted:o} {0}", path.display())]
    LaxMode {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The bits it should have.
        wanted: u32,
    },
    /// Larger than anything it could hold.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// Not text.
    #[error("{} is not text", .0.display())]
    NotText(PathBuf),
    /// An environment variable that is not set.
    #[error("environment variable {0} is not set")]
    NoVariable(String),
}

/// What stands where something else was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A list.
    List,
    /// Keys with values.
    Section,
    /// A plain number.
    Number,
    /// `true` or `false`.
    Flag,
    /// Any other text.
    Text,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "a list",
            Self::Section => "a section (`key: value` lines)",
            Self::Number => "a number",
            Self::Flag => "a boolean",
            Self::Text => "text",
        })
    }
}

/// The known word that an unknown one resembles closely enough to be a slip of the hand.
pub(super) fn resembling<'w>(unknown: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let folded = unknown.to_lowercase().replace('-', "_");
    // One slip in a short word, two in a longer one: more would suggest words that merely look alike.
    let slips_max = match folded.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    };
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&folded, &word.to_lowercase().replace('-', "_")), word))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, word)| word)
}

/// Text of the file, safe for a terminal.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", UntrustedText::new(self.0))
    }
}

struct Choices<'a>(&'a str, &'a [&'static str]);

impl fmt::Display for Choices<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, unit) in self.1.iter().enumerate() {
            let separator = match index {
                0 => "",
                _ if index + 1 == self.1.len() => " or ",
                _ => ", ",
            };
            write!(f, "{separator}`{}{unit}`", UntrustedText::new(self.0))?;
        }
        Ok(())
    }
}

struct Suggest<'a>(Option<&'static str>, &'a [&'static str]);

impl fmt::Display for Suggest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(word) => write!(f, "did you mean \"{word}\"?"),
            None => write!(f, "expected one of: {}", self.1.join(", ")),
        }
    }
}

struct PatternFault<'a>(&'a PatternError);

impl fmt::Display for PatternFault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            PatternError::NotAPath => {
                f.write_str("not a path: it starts with `/`, or with `~` for a regular expression")
            }
            // The regex crate draws the expression over several lines; the last one says what is wrong.
            PatternError::Regex(error) => {
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default();
                write!(f, "not a regular expression: {}", reason.trim_start_matches("error: "))
            }
            other => other.fmt(f),
        }
    }
}

struct IoReason<'a>(&'a io::Error);

impl fmt::Display for IoReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            io::ErrorKind::NotFound => {
                f.write_str("there is no such file; correct the path, or make the file")
            }
            io::ErrorKind::PermissionDenied => f.write_str("permission denied; let this user read it"),
            _ => self.0.fmt(f),
        }
    }
}

/// Why there is no config.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No file was named and none was found.
    #[error("no config file: neither {} exists; name one with --config FILE, or write one with `octroi init`",
        .0.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" nor "))]
    NotFound(Vec<PathBuf>),
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(FileFault),
    /// The file has problems, all of them, in the order of their places.
    #[error("{}", lines(name, problems))]
    Invalid {
        /// The file, as its problems name it.
        name: String,
        /// The problems; at least one.
        problems: Vec<Problem>,
    },
}

fn lines(name: &str, problems: &[Problem]) -> String {
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("{name}:{}: {problem}", problem.at)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_is_recognised_and_another_word_is_not() {
        let known = ["price", "path", "upstream", "host", "host_header", "valid_for"];
        for (unknown, suggestion) in [
            ("prcie", Some("price")),
            ("prise", Some("price")),
            ("Path", Some("path")),
            ("valid-for", Some("valid_for")),
            ("upstreams", Some("upstream")),
            ("hots", Some("host")),
            ("meter", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(resembling(unknown, known), suggestion, "{unknown}");
        }
    }
}
