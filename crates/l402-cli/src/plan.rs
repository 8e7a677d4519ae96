//! What a `get` means: flags, environment and configuration file resolved into types, once. Every limit on spending
//! that the rest of the program consults comes from here.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use l402_client::{CrossOrigin, Payload, Purse, Request, Spending, SpendingCap, Trust, WalletAddress};
use l402_lightning::MilliSat;
use reqwest::Url;

use crate::failure::{Failure, of_wallet_address};
use crate::flags::GetFlags;
use crate::settings::{ConfigFile, Environment};

/// The cap where nobody names one: 1000 sat.
const MAX_COST_DEFAULT: MilliSat = MilliSat::from_msat(1_000_000);
const PAYMENT_TIMEOUT_DEFAULT: Duration = Duration::from_mins(1);
/// Longest payment timeout: no wallet tries longer than a day.
const PAYMENT_TIMEOUT_MAX: Duration = Duration::from_hours(24);
/// Most that is taken from standard input as a body: it is kept in memory, as it may be sent twice.
const STDIN_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A `get`, as it is meant.
pub(crate) struct GetPlan {
    pub(crate) request: Request,
    pub(crate) task: Task,
    pub(crate) trust: Trust,
    pub(crate) purse: Purse,
    /// The most one purchase may cost, whether or not it is going to be made.
    pub(crate) cap: SpendingCap,
    pub(crate) spending: Spending,
    pub(crate) payment_timeout: Duration,
    pub(crate) data_dir: PathBuf,
    pub(crate) json: bool,
}

/// What to do with the answer.
pub(crate) enum Task {
    /// Say what it costs.
    Quote,
    /// Hand it over.
    Deliver(Delivery),
}

/// How to hand an answer over.
pub(crate) struct Delivery {
    /// A file, or standard output.
    pub(crate) output: Option<PathBuf>,
    /// Continue the file.
    pub(crate) resume: bool,
    /// Put the answer's head first.
    pub(crate) include_head: bool,
    /// An HTTP error status is a failure.
    pub(crate) fail: bool,
}

impl GetPlan {
    pub(crate) fn new(flags: GetFlags, environment: &Environment) -> Result<Self, Failure> {
        let config = environment.config_file()?;
        let cap = SpendingCap::new(max_cost(&flags, &config)?);
        let spending = if flags.no_pay { Spending::Nothing } else { Spending::UpTo(cap) };
        let task = if flags.dry_run {
            Task::Quote
        } else {
            Task::Deliver(Delivery {
                output: flags.output.clone().filter(|path| path.as_os_str() != "-"),
                resume: flags.resume,
                include_head: flags.include,
                fail: flags.fail,
            })
        };
        Ok(Self {
            task,
            cap,
            spending,
            purse: purse(&flags, config.wallet.as_deref(), environment)?,
            payment_timeout: payment_timeout(&flags, &config)?,
            trust: flags.cacert.clone().map_or(Trust::System, Trust::Only),
            data_dir: environment.data_dir()?,
            json: flags.json,
            request: request(flags)?,
        })
    }
}

fn max_cost(flags: &GetFlags, config: &ConfigFile) -> Result<MilliSat, Failure> {
    let text = flags.max_cost.as_deref().or(config.max_cost.as_deref());
    text.map_or(Ok(MAX_COST_DEFAULT), |text| {
        text.parse().map_err(|error| {
            Failure::usage(format!("--max-cost {text}: {error}")).hint("write it like 100sat or 1500msat")
        })
    })
}

fn payment_timeout(flags: &GetFlags, config: &ConfigFile) -> Result<Duration, Failure> {
    let text = flags.payment_timeout.as_deref().or(config.payment_timeout.as_deref());
    text.map_or(Ok(PAYMENT_TIMEOUT_DEFAULT), |text| {
        duration(text).filter(|time| !time.is_zero() && *time <= PAYMENT_TIMEOUT_MAX).ok_or_else(|| {
            Failure::usage(format!("--payment-timeout {text}: not a time between 1ms and 1d"))
                .hint("write it like 30s or 5m")
        })
    })
}

/// A time with its unit: `500ms`, `30s`, `5m`, `1h`, `1d`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        "d" => Some(Duration::from_secs(number.checked_mul(86_400)?)),
        _ => None,
    }
}

fn purse(flags: &GetFlags, configured: Option<&str>, environment: &Environment) -> Result<Purse, Failure> {
    let address = flags.wallet.as_deref().or(environment.wallet.as_deref()).or(configured);
    let Some(address) = address else { return Ok(Purse::None) };
    // The text may hold what should have been in a file: it is not repeated.
    let address = WalletAddress::parse(address, l402_backends::ALL, &environment.wallet_credentials);
    Ok(Purse::At(address.map_err(|error| of_wallet_address(&error))?))
}

fn request(flags: GetFlags) -> Result<Request, Failure> {
    let method = match &flags.request {
        Some(method) => Method::from_bytes(method.as_bytes())
            .map_err(|_| Failure::usage(format!("-X {method}: not a request method")))?,
        None if flags.data.is_some() => Method::POST,
        None => Method::GET,
    };
    let mut headers = HeaderMap::new();
    for line in &flags.headers {
        let (name, mut value) = header(line)?;
        value.set_sensitive([AUTHORIZATION, COOKIE].contains(&name));
        headers.append(name, value);
    }
    if flags.data.is_some() && !headers.contains_key(CONTENT_TYPE) {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
    }
    if !headers.contains_key(USER_AGENT) {
        let agent = concat!("l402/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    }
    if !headers.contains_key(ACCEPT) {
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    }
    let elsewhere = if flags.location { CrossOrigin::Follow } else { CrossOrigin::Refuse };
    Ok(Request { url: url(&flags.url)?, method, headers, payload: payload(flags.data)?, elsewhere })
}

fn url(text: &str) -> Result<Url, Failure> {
    let wrong = |why: &str| {
        Failure::usage(format!("{}: {why}", text.escape_debug()))
            .hint("write it like https://example.com/path")
    };
    if text.chars().any(char::is_control) {
        return Err(wrong("a URL has no control characters"));
    }
    let url = Url::parse(text).map_err(|_| wrong("not a URL"))?;
    l402_client::Origin::of(&url).map_err(|error| wrong(&error.to_string()))?;
    Ok(url)
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let wrong =
        || Failure::usage(format!("-H {line:?}: not a header field")).hint("write it like \"Name: value\"");
    let (name, value) = line.split_once(':').ok_or_else(wrong)?;
    let name: HeaderName = name.parse().map_err(|_| wrong())?;
    Ok((name, value.trim_matches([' ', '\t']).parse().map_err(|_| wrong())?))
}

fn payload(data: Option<String>) -> Result<Payload, Failure> {
    let Some(data) = data else { return Ok(Payload::Empty) };
    match data.strip_prefix('@') {
        None => Ok(Payload::Bytes(data.into())),
        Some("-") => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().take(STDIN_BYTES_MAX + 1).read_to_end(&mut bytes);
            read.map_err(|error| Failure::usage(format!("-d @-: {error}")))?;
            if bytes.len() as u64 > STDIN_BYTES_MAX {
                return Err(
                    Failure::usage("-d @-: more than 64 MiB").hint("put it in a file, and use -d @FILE")
                );
            }
            Ok(Payload::Bytes(Bytes::from(bytes)))
        }
        Some(file) => {
            // Found out now rather than after a price was asked.
            std::fs::File::open(file).map_err(|error| Failure::usage(format!("-d @{file}: {error}")))?;
            Ok(Payload::File(file.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_a_unit() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Some(Duration::from_mins(2)));
        assert_eq!(duration("1d"), Some(Duration::from_hours(24)));
        for wrong in ["", "5", "s", "5 s", "-5s", "5w", "1.5s", "99999999999999999999s", "9999999999999999d"]
        {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn header_fields_are_split_at_the_first_colon() {
        let (name, value) = header("Accept: a, b:c ").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("accept", "a, b:c"));
        for wrong in ["Accept", "a b: c", "x: \n", ": y"] {
            assert!(header(wrong).is_err(), "{wrong:?}");
        }
    }
}
