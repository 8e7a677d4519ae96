//! Continuing an interrupted download: only the same bytes, told by their validator (RFC 9110, sections 13.1.5, 14).

use http::header::{CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use l402_client::{Answer, Partial, Vault};
use reqwest::Url;

use super::output::Output;
use crate::failure::{Exit, Failure};

/// The rest of a file, to be asked for.
pub(crate) struct Continuation {
    offset: u64,
    range: HeaderValue,
    validator: HeaderValue,
}

impl Continuation {
    /// The rest of `output`, if it is known to be the beginning of what is at `url`. Otherwise the whole is fetched.
    pub(crate) fn of(output: &Output, vault: &Vault, url: &Url) -> Result<Option<Self>, Failure> {
        let (Some(path), offset) = (absolute(output), output.length()?) else { return Ok(None) };
        let Some(partial) = vault.partial(&path)?.filter(|partial| partial.url == url.as_str() && offset > 0)
        else {
            return Ok(None);
        };
        let range = HeaderValue::from_str(&format!("bytes={offset}-"));
        let validator = HeaderValue::from_str(&partial.validator);
        Ok(range.ok().zip(validator.ok()).map(|(range, validator)| Self { offset, range, validator }))
    }

    /// Asks for the rest, or for the whole if it has changed.
    pub(crate) fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(RANGE, self.range.clone());
        headers.insert(IF_RANGE, self.validator.clone());
    }

    /// The offset at which a 206 is to be written: the one that was asked for, or nothing is written.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<u64, Failure> {
        match content_range(headers) {
            Some((Some(start), _)) if start == self.offset => Ok(start),
            _ => Err(Failure::new(Exit::Other, "range", "the server sends another range than was asked for")
                .hint("fetch it again without -C")),
        }
    }

    /// Whether a 416 says that there is no more to come.
    pub(crate) fn is_whole(&self, headers: &HeaderMap) -> bool {
        matches!(content_range(headers), Some((None, Some(total))) if total == self.offset)
    }
}

/// Notes what a file that is about to be written is a beginning of, so that it can be continued.
pub(crate) fn note(output: &Output, vault: &Vault, url: &Url, answer: &Answer) -> Result<(), Failure> {
    let Some(path) = absolute(output) else { return Ok(()) };
    let validator = validator(answer.headers()).filter(|_| answer.status() == StatusCode::OK);
    let partial = validator.map(|validator| Partial { url: url.as_str().to_owned(), validator });
    // A file that was never noted needs no note that it is unknown.
    if partial.is_some() || vault.partial(&path)?.is_some() {
        vault.note_partial(&path, partial.as_ref())?;
    }
    Ok(())
}

fn absolute(output: &Output) -> Option<std::path::PathBuf> {
    output.path().and_then(|path| std::path::absolute(path).ok())
}

/// A weak `ETag` does not promise the same bytes.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let strong = text(ETAG).filter(|tag| tag.starts_with('"'));
    strong.or_else(|| text(LAST_MODIFIED)).map(str::to_owned)
}

/// `bytes 5-9/10` or `bytes */10`: first byte and total.
fn content_range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let (range, total) =
        headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    let start = if range == "*" { None } else { Some(range.split_once('-')?.0.parse().ok()?) };
    Some((start, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn ranges_are_read_exactly() {
        let read = |value| content_range(&headers(CONTENT_RANGE, value));
        assert_eq!(read("bytes 5-9/10"), Some((Some(5), Some(10))));
        assert_eq!(read("bytes 5-9/*"), Some((Some(5), None)));
        assert_eq!(read("bytes */10"), Some((None, Some(10))));
        for wrong in ["5-9/10", "bytes 5/10", "bytes x-9/10", "bytes 5-9"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_strong_validators_count() {
        assert_eq!(validator(&headers(ETAG, "\"a\"")).as_deref(), Some("\"a\""));
        assert_eq!(validator(&headers(ETAG, "W/\"a\"")), None);
        let date = "Sat, 21 Nov 2026 06:00:00 GMT";
        assert_eq!(validator(&headers(LAST_MODIFIED, date)).as_deref(), Some(date));
    }
}
