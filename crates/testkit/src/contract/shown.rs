//! What errors show, and must not.

use std::{error::Error, fmt::Write as _};

/// Fewest characters that make a secret: shorter ones are in any text by chance.
const SECRET_CHARS_MIN: usize = 6;

/// Looks at errors as people and logs see them.
pub(super) struct Shown {
    secrets: Vec<String>,
}

impl Shown {
    /// Whatever is added must not have these texts in it.
    pub(super) fn hiding(secrets: Vec<String>) -> Self {
        let mut shown = Self { secrets: Vec::new() };
        shown.hide(secrets);
        shown
    }

    /// Adds secrets.
    pub(super) fn hide(&mut self, secrets: impl IntoIterator<Item = String>) {
        for secret in secrets {
            assert!(
                secret.len() >= SECRET_CHARS_MIN,
                "a secret has to be long enough to be told from chance"
            );
            self.secrets.push(secret);
        }
    }

    /// Looks at an error, as text, as `Debug` and down its causes.
    pub(super) fn add(&self, error: &dyn Error) {
        let mut text = format!("{error:?}");
        let mut cause = Some(error);
        while let Some(error) = cause {
            write!(text, "\n{error}").expect("memory");
            cause = error.source();
        }
        let is_shown = self.secrets.iter().any(|secret| text.contains(secret.as_str()));
        assert!(!is_shown, "an error must not show a secret: {text}");
    }

    /// Looks at an answer if it is an error.
    pub(super) fn add_error<T>(&self, answer: Result<T, impl Error + 'static>) {
        if let Err(error) = answer {
            self.add(&error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_without_secrets_may_be_shown() {
        let shown = Shown::hiding(vec!["sesame".to_owned()]);
        shown.add(&std::io::Error::other("closed"));
        shown.add_error(Ok::<_, std::io::Error>(()));
    }

    #[test]
    #[should_panic(expected = "an error must not show a secret")]
    fn a_secret_in_an_error_is_found() {
        Shown::hiding(vec!["sesame".to_owned()]).add(&std::io::Error::other("open sesame"));
    }
}
