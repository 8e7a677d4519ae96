//! Where the ledger is: a URL, which is a secret, and the schema within the database.

use crate::{failure::open_error, tls::Encryption};
use l402_lightning::Secret;
use l402_paywall::StoreError;
use l402_tls::Trust;
use std::{path::PathBuf, time::Duration};
use tokio_postgres::{
    Config,
    config::{Host, SslMode, TargetSessionAttrs},
};

/// How long a connection may take, and how long sent bytes may go without an acknowledgement.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// A connection with nothing to do is probed this often, so that a dead one is noticed before it is needed.
const KEEPALIVE: Duration = Duration::from_secs(15);

const NOT_A_URL: &str = "its URL is not understood; it has to be postgres://user:password@host:port/database, with \
                         special characters percent-encoded and with parameters that are known here";

/// Everything that is needed to connect. It cannot be printed.
pub(crate) struct Address {
    pub(crate) config: Config,
    pub(crate) encryption: Encryption,
    pub(crate) schema: Schema,
}

/// The schema that holds the tables: a plain name that needs no quoting.
#[derive(Clone)]
pub(crate) struct Schema(String);

/// What of the URL is about TLS, as libpq spells it
/// (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-SSLMODE>).
#[derive(Default)]
struct TlsWishes {
    mode: Option<String>,
    root_cert: Option<String>,
}

impl Address {
    pub(crate) fn parse(url: &Secret, schema: &str) -> Result<Self, StoreError> {
        let schema = Schema::parse(schema)?;
        let not_understood = || open_error(NOT_A_URL);
        let url = url.text().ok_or_else(not_understood)?;
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(not_understood());
        }
        let (place, wishes) = TlsWishes::take_from(url).ok_or_else(not_understood)?;
        let mut config: Config = place.parse().map_err(|_| not_understood())?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(open_error("its URL names no host"));
        }
        if [config.get_dbname(), config.get_user()].iter().any(|name| name.is_none_or(str::is_empty)) {
            return Err(open_error("its URL has to name a user and a database"));
        }
        let (mode, encryption) = wishes.judge(&config)?;
        config
            .ssl_mode(mode)
            .connect_timeout(CONNECT_LIMIT)
            .tcp_user_timeout(CONNECT_LIMIT)
            .keepalives_idle(KEEPALIVE)
            .keepalives_interval(CONNECT_LIMIT);
        if config.get_application_name().is_none() {
            config.application_name("octroi");
        }
        if config.get_hosts().len() > 1 {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Ok(Self { config, encryption, schema })
    }
}

impl Schema {
    fn parse(name: &str) -> Result<Self, StoreError> {
        let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let starts_well = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        // Longer names are cut by the server, names with `pg_` are its own.
        if !starts_well || !name.bytes().all(is_word) || name.len() > 63 || name.starts_with("pg_") {
            return Err(open_error("its schema has to be a name of at most 63 of a-z, 0-9 and _"));
        }
        Ok(Self(name.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A number for an advisory lock that only ledgers in this schema use, by FNV-1a
    /// (<https://www.rfc-editor.org/rfc/rfc9923>).
    pub(crate) fn lock_key(&self, purpose: &str) -> i64 {
        let text =
            ["octroi ledger", purpose, self.as_str()].into_iter().flat_map(|part| part.bytes().chain([0]));
        let hash = text.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        hash.cast_signed()
    }
}

impl TlsWishes {
    /// The URL without them, and them; `None` where a parameter has no value.
    fn take_from(url: &str) -> Option<(String, Self)> {
        let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
        let mut wishes = Self::default();
        let mut others = Vec::new();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=')?;
            let slot = match name {
                "sslmode" => &mut wishes.mode,
                "sslrootcert" => &mut wishes.root_cert,
                _ => {
                    others.push(parameter);
                    continue;
                }
            };
            *slot = Some(percent_encoding::percent_decode_str(value).decode_utf8().ok()?.into_owned());
        }
        let place =
            if others.is_empty() { place.to_owned() } else { format!("{place}?{}", others.join("&")) };
        Some((place, wishes))
    }

    /// Where nothing is said, a server on this machine is spoken to plainly and any other has to prove who it is.
    fn judge(self, config: &Config) -> Result<(SslMode, Encryption), StoreError> {
        let trust = match self.root_cert {
            None => None,
            Some(system) if system == "system" => Some(Trust::System),
            Some(path) => Some(Trust::Only(PathBuf::from(path))),
        };
        let has_sockets_only = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        let mode = match self.mode.as_deref() {
            _ if has_sockets_only && config.get_hostaddrs().is_empty() => "disable",
            Some(mode) => mode,
            None if trust.is_none() && is_local(config) => "disable",
            None => "verify-full",
        };
        let (mode, encryption) = match (mode, trust) {
            ("disable", _) => (SslMode::Disable, Encryption::none()),
            ("allow" | "prefer", None) => (SslMode::Prefer, Encryption::insecure_unchecked()),
            ("allow" | "prefer", Some(trust)) => (SslMode::Prefer, Encryption::checked(&trust)),
            ("require", None) => (SslMode::Require, Encryption::insecure_unchecked()),
            ("require" | "verify-ca" | "verify-full", trust) => {
                (SslMode::Require, Encryption::checked(&trust.unwrap_or(Trust::System)))
            }
            _ => {
                let known = "its sslmode has to be disable, allow, prefer, require, verify-ca or verify-full";
                return Err(open_error(known));
            }
        };
        Ok((mode, encryption.map_err(|error| open_error(&error.to_string()))?))
    }
}

fn is_local(config: &Config) -> bool {
    let mut hosts = config.get_hosts().iter();
    config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback)
        && hosts.all(|host| match host {
            Host::Tcp(name) => {
                name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
            Host::Unix(_) => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, StoreError> {
        Address::parse(&Secret::from_text(url), "octroi")
    }

    fn mode(url: &str) -> SslMode {
        parse(url).map(|address| address.config.get_ssl_mode()).expect("a good URL")
    }

    #[test]
    fn only_a_server_on_this_machine_is_spoken_to_plainly_unless_the_url_says_so() {
        assert_eq!(mode("postgres://u:p@127.0.0.1:5433/d"), SslMode::Disable);
        assert_eq!(mode("postgresql://u@localhost/d"), SslMode::Disable);
        assert_eq!(mode("postgres://u@%2Frun%2Fpostgresql/d?sslmode=require"), SslMode::Disable);
        assert_eq!(mode("postgres://u:p@db.example/d"), SslMode::Require);
        assert_eq!(mode("postgres://u:p@db.example/d?sslmode=disable&application_name=x"), SslMode::Disable);
        assert_eq!(mode("postgres://u:p@db.example/d?sslmode=prefer"), SslMode::Prefer);
        assert_eq!(mode("postgres://u:p@localhost/d?sslmode=verify%2Dfull"), SslMode::Require);
        assert_eq!(mode("postgres://u:p@localhost/d?sslrootcert=system"), SslMode::Require);
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_being_repeated() {
        let wrong = [
            "",
            "mysql://u:sesame@h/d",
            "host=h user=u password=sesame",
            "postgres://u:sesame@h/d?sslmode=sesame",
            "postgres://u:sesame@h/d?sesame=1",
            "postgres://u:ses?ame@h/d",
            "postgres://u:sesame@h:port/d",
            "postgres://u:sesame@/d",
            "postgres://u:sesame@h",
            "postgres://:sesame@h/d",
            "postgres://u:sesame@h/d?sslrootcert=/does/not/exist",
        ];
        for url in wrong {
            let Err(error) = parse(url) else { panic!("{url} was taken") };
            let told = format!("{error} {error:?} {}", error.hint());
            assert!(!told.contains("sesame") && !told.contains("ame@"), "{told}");
            assert!(matches!(error, StoreError::Database(_)), "{error:?}");
        }
    }

    #[test]
    fn a_schema_is_a_plain_name() {
        let url = Secret::from_text("postgres://u:p@localhost/d");
        let taken = |schema: &str| Address::parse(&url, schema).is_ok();
        assert!(taken("octroi") && taken("ledger_2"));
        for schema in ["", "2nd", "pg_ours", "a\"b", "A", "a;b", "a b", &"a".repeat(64)] {
            assert!(!taken(schema), "{schema}");
        }
    }

    #[test]
    fn locks_differ_by_purpose_and_schema() {
        let schema = |name: &str| Schema(name.to_owned());
        let keys = [
            schema("a").lock_key("journal"),
            schema("b").lock_key("journal"),
            schema("a").lock_key("revocations"),
        ];
        assert!(keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2]);
    }
}
