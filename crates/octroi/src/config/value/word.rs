//! Values that are one word of a few.

use crate::config::{
    problem::{Fault, resembling},
    section::{Form, FromScalar},
};
use http::Method;
use l402::UnknownCaveats;
use l402_lightning::{Network, Proof};
use l402_paywall::{
    AccessMode, PathOddities,
    ledger::Abandoned,
    meter::{Charge, Direction},
};

/// Which host name a request carries to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The one the client sent.
    Keep,
    /// The upstream's own.
    Upstream,
}

/// How an upstream is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; without TLS, with prior knowledge.
    H2,
}

/// Which node is paid.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum Backend {
    /// The built-in one.
    Loopback,
    /// One that runs elsewhere.
    Remote(&'static l402_lightning::Backend),
}

/// The network of a node's invoices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct BitcoinNetwork(pub(in crate::config) Network);

/// Where the ledger is, if a word says it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum LedgerKind {
    Sqlite,
}

/// One ambiguous form that a service accepts in paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct PathOddity(pub(in crate::config) PathOddities);

/// A type whose values are words.
trait Word: Sized + Clone {
    fn words() -> Vec<(&'static str, Self)>;
}

/// The words of a type, in order.
fn words_of<T: Word>() -> Vec<&'static str> {
    T::words().into_iter().map(|(word, _)| word).collect()
}

fn parse<T: Word>(text: &str) -> Result<T, Fault> {
    let words = T::words();
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(value.clone());
    }
    let names: Vec<&'static str> = words.iter().map(|(word, _)| *word).collect();
    let suggestion = resembling(text, names.iter().copied());
    Err(Fault::UnknownWord { word: text.to_owned(), suggestion, words: names })
}

macro_rules! word {
    ($type:ty { $($word:literal => $value:expr),+ $(,)? }) => {
        impl Word for $type {
            fn words() -> Vec<(&'static str, Self)> {
                vec![$(($word, $value)),+]
            }
        }

        impl FromScalar for $type {
            const FORM: Form = Form::Words(words_of::<$type>);

            fn parse(text: &str) -> Result<Self, Fault> {
                parse(text)
            }
        }
    };
}

word!(AccessMode { "paid" => Self::Paid, "free" => Self::Free, "shadow" => Self::Shadow });
word!(UnknownCaveats { "skip" => Self::Skip, "refuse" => Self::Refuse });
word!(HostHeader { "keep" => Self::Keep, "upstream" => Self::Upstream });
word!(UpstreamProtocol { "http1" => Self::Http1, "h2" => Self::H2 });
word!(Proof { "preimage" => Self::Preimage, "settled" => Self::Settled });
word!(Charge { "release" => Self::Release, "keep" => Self::Keep });
word!(Abandoned { "release" => Self::Release, "charge" => Self::Charge });
word!(Direction { "response" => Self::Response, "request" => Self::Request, "both" => Self::Both });
word!(LedgerKind { "sqlite" => Self::Sqlite });
word!(BitcoinNetwork {
    "mainnet" => Self(Network::Mainnet),
    "testnet" => Self(Network::Testnet),
    "signet" => Self(Network::Signet),
    "regtest" => Self(Network::Regtest),
});
// TRACE, CONNECT and methods that nobody knows are never forwarded (wire contract, section 7.5).
word!(Method {
    "GET" => Self::GET,
    "HEAD" => Self::HEAD,
    "POST" => Self::POST,
    "PUT" => Self::PUT,
    "PATCH" => Self::PATCH,
    "DELETE" => Self::DELETE,
    "OPTIONS" => Self::OPTIONS,
});
word!(PathOddity {
    "double_slash" => Self(PathOddities::DOUBLE_SLASH),
    "encoded_slash" => Self(PathOddities::ENCODED_SLASH),
    "backslash" => Self(PathOddities::BACKSLASH),
    "semicolon" => Self(PathOddities::SEMICOLON),
});

impl Word for Backend {
    fn words() -> Vec<(&'static str, Self)> {
        let remote = l402_backends::ALL.iter().filter(|backend| backend.invoicer.is_some());
        let remote = remote.map(|backend| (backend.name, Self::Remote(backend)));
        [("loopback", Self::Loopback)].into_iter().chain(remote).collect()
    }
}

impl FromScalar for Backend {
    const FORM: Form = Form::Words(words_of::<Backend>);

    fn parse(text: &str) -> Result<Self, Fault> {
        parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every single slip in every word of a type: one letter lost, doubled, changed or swapped with the next.
    fn misspellings(word: &str) -> Vec<String> {
        let letters: Vec<char> = word.chars().collect();
        let mut all = Vec::new();
        for at in 0..letters.len() {
            let mut lost = letters.clone();
            lost.remove(at);
            let mut doubled = letters.clone();
            doubled.insert(at, letters[at]);
            let mut changed = letters.clone();
            changed[at] = '%';
            let mut swapped = letters.clone();
            swapped.swap(at, (at + 1).min(letters.len() - 1));
            all.extend([lost, doubled, changed, swapped].map(String::from_iter));
        }
        all.extend([word.to_uppercase(), word.to_lowercase(), format!(" {word}"), format!("{word} ")]);
        all
    }

    fn no_misspelling_is_read<T: Word + FromScalar>() {
        let words = words_of::<T>();
        for word in &words {
            assert!(T::parse(word).is_ok(), "{word}");
            for wrong in misspellings(word) {
                let read = T::parse(&wrong);
                match read {
                    Ok(_) => assert!(words.contains(&wrong.as_str()), "{wrong} was read"),
                    Err(Fault::UnknownWord { words: named, .. }) => assert_eq!(named, words),
                    Err(other) => panic!("{wrong}: {other}"),
                }
            }
        }
    }

    #[test]
    fn a_misspelt_word_is_never_taken_for_any_value() {
        no_misspelling_is_read::<AccessMode>();
        no_misspelling_is_read::<UnknownCaveats>();
        no_misspelling_is_read::<HostHeader>();
        no_misspelling_is_read::<UpstreamProtocol>();
        no_misspelling_is_read::<Backend>();
        no_misspelling_is_read::<Proof>();
        no_misspelling_is_read::<BitcoinNetwork>();
        no_misspelling_is_read::<LedgerKind>();
        no_misspelling_is_read::<Charge>();
        no_misspelling_is_read::<Abandoned>();
        no_misspelling_is_read::<Direction>();
        no_misspelling_is_read::<Method>();
        no_misspelling_is_read::<PathOddity>();
    }

    #[test]
    fn every_ambiguous_form_of_the_engine_has_its_word() {
        let words = words_of::<PathOddity>();
        assert_eq!(words, PathOddities::names().collect::<Vec<_>>());
        for (word, oddity) in PathOddity::words() {
            assert_eq!(PathOddities::from_name(word), Some(oddity.0));
        }
    }
}
