//! The ways in which servers in the field write a challenge.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

/// How a challenge is written into `WWW-Authenticate` lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// An `LSAT` line, then an `L402` line with `macaroon`, `invoice`, `token` and `version`: the gateway's own.
    Standard,
    /// An `LSAT` and an `L402` line, each with `macaroon` and `invoice`: the incumbent's.
    Pair,
    /// One `L402` line with `macaroon` and `invoice`.
    L402Only,
    /// One `LSAT` line.
    LsatOnly,
    /// `version`, `token`, `invoice`: the protocol text's.
    Specification,
    /// `version`, `macaroon`, `invoice`.
    VersionFirst,
    /// `token`, `macaroon`, `invoice`, `version`.
    TokenFirst,
    /// `invoice` before `macaroon`.
    InvoiceFirst,
    /// Values without quotes.
    Unquoted,
    /// The scheme in lower case.
    LowerCase,
    /// No space after the comma.
    NoSpace,
    /// The token in url-safe base64 without padding.
    UrlSafe,
    /// A `Basic` line first.
    BasicFirst,
    /// Both challenges in one line.
    OneLine,
    /// A `Payment` line after the `L402` line.
    PaymentLast,
    /// A `Payment` line before it.
    PaymentFirst,
}

impl Spelling {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Standard,
        Self::Pair,
        Self::L402Only,
        Self::LsatOnly,
        Self::Specification,
        Self::VersionFirst,
        Self::TokenFirst,
        Self::InvoiceFirst,
        Self::Unquoted,
        Self::LowerCase,
        Self::NoSpace,
        Self::UrlSafe,
        Self::BasicFirst,
        Self::OneLine,
        Self::PaymentLast,
        Self::PaymentFirst,
    ];

    /// The lines' values, in order.
    pub fn lines(self, token: &[u8], invoice: &str) -> Vec<String> {
        let t = STANDARD.encode(token);
        let lsat = format!(r#"LSAT macaroon="{t}", invoice="{invoice}""#);
        let l402 = format!(r#"L402 macaroon="{t}", invoice="{invoice}""#);
        let payment =
            r#"Payment id="1", realm="shop", method="other", intent="charge", request="e30""#.to_owned();
        match self {
            Self::Standard => vec![lsat, format!(r#"{l402}, token="{t}", version="0""#)],
            Self::Pair => vec![lsat, l402],
            Self::L402Only => vec![l402],
            Self::LsatOnly => vec![lsat],
            Self::Specification => vec![format!(r#"L402 version="0", token="{t}", invoice="{invoice}""#)],
            Self::VersionFirst => vec![format!(r#"L402 version="0", macaroon="{t}", invoice="{invoice}""#)],
            Self::TokenFirst => {
                vec![format!(r#"L402 token="{t}", macaroon="{t}", invoice="{invoice}", version="0""#)]
            }
            Self::InvoiceFirst => vec![format!(r#"L402 invoice="{invoice}", macaroon="{t}""#)],
            Self::Unquoted => vec![format!("L402 macaroon={t}, invoice={invoice}")],
            Self::LowerCase => vec![format!(r#"l402 macaroon="{t}", invoice="{invoice}""#)],
            Self::NoSpace => vec![format!(r#"L402 macaroon="{t}",invoice="{invoice}""#)],
            Self::UrlSafe => {
                let t = URL_SAFE_NO_PAD.encode(token);
                vec![format!(r#"L402 macaroon="{t}", invoice="{invoice}""#)]
            }
            Self::BasicFirst => vec![r#"Basic realm="shop""#.to_owned(), l402],
            Self::OneLine => vec![format!("{lsat}, {l402}")],
            Self::PaymentLast => vec![l402, payment],
            Self::PaymentFirst => vec![payment, l402],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_names_token_and_invoice() {
        for spelling in Spelling::ALL {
            let all = spelling.lines(&[0xfb, 0xff], "lnbcrt1").join("\n");
            let token = if spelling == Spelling::UrlSafe { "-_8" } else { "+/8=" };
            assert!(all.contains(token) && all.contains("lnbcrt1"), "{all}");
        }
    }
}
