//! Names, patterns, paths of files, and where secrets come from.

use crate::config::{
    place::{Place, Step},
    problem::Fault,
    section::{Form, FromNode, FromScalar, Reader, Shape},
    tree::{Node, Value},
};
use l402::Name;
use l402_paywall::{CanonicalPath, HostPattern, PathOddities, PathPattern, PathProblem, PatternError};
use std::path::PathBuf;

impl FromScalar for Name {
    const FORM: Form = Form::Text {
        what: "a name: 1 to 64 of `a-z`, `0-9`, `_` and `-`, the first a letter or digit",
        pattern: "^[a-z0-9][a-z0-9_-]{0,63}$",
        units: &[],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        Self::try_from(text).map_err(|_| Self::malformed(text))
    }
}

impl FromScalar for HostPattern {
    const FORM: Form = Form::Text {
        what: "a host, e.g. `api.example.com` or `*.example.com`",
        pattern: r"^(\*\.)?[0-9A-Za-z._-]+$|^\[[0-9a-fA-F:.]+\]$",
        units: &[],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        Self::parse(text).map_err(|error| Fault::Pattern { text: text.to_owned(), error })
    }
}

impl FromScalar for PathPattern {
    const FORM: Form = Form::Text {
        what: "a path: `/dir/` for everything below, `/file` for one path, `~^/regex` for an expression",
        pattern: "^[/~]",
        units: &[],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        Self::parse(text).map_err(|error| Fault::Pattern { text: text.to_owned(), error })
    }
}

/// What stands in place of a service's prefix when a request goes upstream, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct RewritePrefix(pub(in crate::config) String);

impl FromScalar for RewritePrefix {
    const FORM: Form = Form::Text {
        what: "the beginning of a path, from `/` to `/`, e.g. `/v2/`",
        pattern: "^/([^?#]*/)?$",
        units: &[],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        if text.contains(['?', '#']) || !text.starts_with('/') || !text.ends_with('/') {
            return Err(Self::malformed(text));
        }
        let pattern =
            |problem| Fault::Pattern { text: text.to_owned(), error: PatternError::Ambiguous(problem) };
        let path = CanonicalPath::parse(text).map_err(pattern)?;
        if path.oddities() != PathOddities::NONE {
            return Err(pattern(PathProblem::Oddity(path.oddities())));
        }
        Ok(Self(path.forward().to_owned()))
    }
}

/// A file or folder; relative to the folder of the config file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct FilePath(pub(in crate::config) PathBuf);

impl FromScalar for FilePath {
    const FORM: Form = Form::Text { what: "the path of a file or folder", pattern: "^.+$", units: &[] };

    fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || text.contains('\0') {
            return Err(Self::malformed(text));
        }
        Ok(Self(PathBuf::from(text)))
    }
}

/// Where a secret is kept. The config itself never holds one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum SecretSource {
    /// An environment variable.
    Variable(String),
    /// A file, as secret stores mount them.
    File(PathBuf),
}

impl FromScalar for SecretSource {
    const FORM: Form = Form::Text {
        what: "where the secret is kept: `${NAME}` for an environment variable, `file:PATH` for a file",
        pattern: r"^(\$\{[A-Za-z_][A-Za-z0-9_]*\}|file:.+)$",
        units: &[],
    };
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, Fault> {
        let refused = || Fault::SecretWritten { expected: Self::FORM.expected() };
        if let Some(path) = text.strip_prefix("file:") {
            return FilePath::parse(path).map(|path| Self::File(path.0)).map_err(|_| refused());
        }
        variable(text).map(Self::Variable).ok_or_else(refused)
    }
}

/// The name in `${NAME}`.
fn variable(text: &str) -> Option<String> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    let named =
        name.bytes().next().is_some_and(letter) && name.bytes().all(|b| letter(b) || b.is_ascii_digit());
    named.then(|| name.to_owned())
}

/// Where a node's credential is kept. Nodes write theirs into files, so that the path of one will do by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct SecretPlace(pub(in crate::config) SecretSource);

impl FromScalar for SecretPlace {
    const FORM: Form = Form::Text {
        what: "the path of the file that holds the secret, or `${NAME}` for an environment variable",
        pattern: r"^(\$\{[A-Za-z_][A-Za-z0-9_]*\}|[^$]*[./].*)$",
        units: &[],
    };
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, Fault> {
        let refused = || Fault::SecretWritten { expected: Self::FORM.expected() };
        if let Some(name) = variable(text) {
            return Ok(Self(SecretSource::Variable(name)));
        }
        // Passwords, runes and hexadecimal have neither a dot nor a slash, connection strings a scheme.
        let path = text.strip_prefix("file:").unwrap_or(text);
        let looks_like_a_path = path.contains(['.', '/']) && !path.contains("://") && !path.contains('$');
        if !looks_like_a_path {
            return Err(refused());
        }
        FilePath::parse(path).map(|path| Self(SecretSource::File(path.0))).map_err(|_| refused())
    }
}

/// The address of a service, or the variable that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum ServiceUrl {
    Url(String),
    Variable(String),
}

impl FromScalar for ServiceUrl {
    const FORM: Form = Form::Text {
        what: "a URL, e.g. `https://127.0.0.1:10009`, or `${NAME}` for an environment variable",
        pattern: r"^(\$\{[A-Za-z_][A-Za-z0-9_]*\}|[a-z+]+://.+)$",
        units: &[],
    };
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, Fault> {
        if let Some(name) = variable(text) {
            return Ok(Self::Variable(name));
        }
        match text.split_once("://") {
            Some((scheme, rest)) if !scheme.is_empty() && !rest.is_empty() => Ok(Self::Url(text.to_owned())),
            _ => Err(Self::malformed(text)),
        }
    }
}

/// Text without a form of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct SettingText(pub(in crate::config) String);

impl FromScalar for SettingText {
    const FORM: Form = Form::Text { what: "text", pattern: "^.+$", units: &[] };

    fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() { Err(Self::malformed(text)) } else { Ok(Self(text.to_owned())) }
    }
}

/// The location text of macaroons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Location(pub(in crate::config) String);

impl FromScalar for Location {
    const FORM: Form =
        Form::Text { what: "1 to 64 printable ASCII characters", pattern: "^[ -~]{1,64}$", units: &[] };

    fn parse(text: &str) -> Result<Self, Fault> {
        let printable = text.bytes().all(|b| matches!(b, b' '..=b'~'));
        if text.is_empty() || text.len() > 64 || !printable {
            return Err(Self::malformed(text));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The name of a schema in a database, as it needs no quotes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct SchemaName(pub(in crate::config) String);

impl FromScalar for SchemaName {
    // https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS: at most 63 bytes.
    const FORM: Form = Form::Text {
        what: "1 to 63 of `a-z`, `0-9` and `_`, the first no digit; `pg_` is PostgreSQL's own",
        pattern: "^[a-z_][a-z0-9_]{0,62}$",
        units: &[],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        let is_letter = |b: u8| b.is_ascii_lowercase() || b == b'_';
        let begins = text.bytes().next().is_some_and(is_letter) && !text.starts_with("pg_");
        let is_name = begins && text.len() <= 63 && text.bytes().all(|b| is_letter(b) || b.is_ascii_digit());
        if is_name { Ok(Self(text.to_owned())) } else { Err(Self::malformed(text)) }
    }
}

/// Names of the seller's own with text values, in file order.
#[derive(Clone, Debug)]
pub(in crate::config) struct Pairs {
    pub(in crate::config) pairs: Vec<Pair>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(in crate::config) struct Pair {
    pub(in crate::config) name: Name,
    pub(in crate::config) value: String,
    pub(in crate::config) at: Place,
}

/// The value of a constraint. What it may contain is checked where the token is known.
struct PairText(String);

impl FromScalar for PairText {
    const FORM: Form = Form::Text { what: "text", pattern: "", units: &[] };

    fn parse(text: &str) -> Result<Self, Fault> {
        Ok(Self(text.to_owned()))
    }
}

impl FromNode for Pairs {
    fn shape() -> Shape {
        Shape::Pairs
    }

    fn from_node(node: &Node, reader: &mut Reader) -> Option<Self> {
        let Value::Mapping(entries) = &node.value else {
            reader.mismatch(node, Self::shape().expected());
            return None;
        };
        let mut pairs = Vec::with_capacity(entries.len());
        for entry in entries {
            let name =
                <Name as FromScalar>::parse(&entry.key).map_err(|fault| reader.report(entry.key_at, fault));
            let step = Step::Key(entry.key.clone());
            let text = reader.within(step, |reader| PairText::from_node(&entry.value, reader));
            if let (Ok(name), Some(PairText(value))) = (name, text) {
                pairs.push(Pair { name, value, at: entry.key_at });
            }
        }
        Some(Self { pairs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_named_and_never_written_down() {
        assert_eq!(
            SecretSource::parse("${OCTROI_KEYS}").expect("a variable"),
            SecretSource::Variable("OCTROI_KEYS".to_owned())
        );
        assert_eq!(
            SecretSource::parse("file:/run/secrets/keys").expect("a file"),
            SecretSource::File(PathBuf::from("/run/secrets/keys"))
        );
        for text in ["hunter2", "${}", "${A", "$A", "${1A}", "${A-B}", "file:", "${A} "] {
            let shown = SecretSource::parse(text).expect_err(text).to_string();
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn a_rewrite_runs_from_slash_to_slash() {
        for text in ["/", "/v2/", "/a/b/", "/caf%C3%A9/"] {
            assert!(RewritePrefix::parse(text).is_ok(), "{text}");
        }
        for text in ["", "v2/", "/v2", "/a/../b/", "//", "/a?b/", "/%2e/", "/a;b/"] {
            assert!(RewritePrefix::parse(text).is_err(), "{text}");
        }
    }
}
