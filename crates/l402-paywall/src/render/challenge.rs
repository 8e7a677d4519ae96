//! The header lines of a refusal that has to do with payment.

use super::{PRICE, Scene};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// nginx with default buffers in front of us answers 502 above 4,000 bytes; the rest is for the status line and what
/// the HTTP library adds (`Date`, `Content-Length`).
const HEADER_BLOCK_BYTES_MAX: usize = 4000 - 160;

/// Adds the challenge lines of a 402, its price where none was minted, or the realm of a 401.
pub(super) fn write(scene: &Scene<'_>, headers: &mut HeaderMap) {
    let Some(found) = scene.found else { return };
    let realm = || {
        let line = format!("L402 realm=\"{}\"", found.service.name()); // a name has no quotes
        HeaderValue::try_from(line).ok()
    };
    match (scene.refusal.status(), scene.minted) {
        (StatusCode::PAYMENT_REQUIRED, Some(minted)) => {
            let legacy = found.service.spec().legacy_lsat;
            let lines = [legacy.then(|| minted.challenge.lsat_value()), Some(minted.challenge.l402_value())];
            write_lines(lines.into_iter().flatten().collect(), headers);
        }
        (StatusCode::PAYMENT_REQUIRED, None) => {
            if let Some(price) = found.rule.price() {
                headers.insert(PRICE, HeaderValue::from(price.as_msat()));
            }
            headers.extend(realm().map(|line| (header::WWW_AUTHENTICATE, line)));
        }
        (StatusCode::UNAUTHORIZED, _) => {
            headers.extend(realm().map(|line| (header::WWW_AUTHENTICATE, line)));
        }
        _ => {}
    }
}

/// The `LSAT` line comes first, because old clients read only the first, and is left out where it would not fit.
fn write_lines(mut lines: Vec<String>, headers: &mut HeaderMap) {
    let line_bytes = |name: usize, value: usize| name + ": ".len() + value + "\r\n".len();
    let others: usize =
        headers.iter().map(|(name, value)| line_bytes(name.as_str().len(), value.len())).sum();
    let name_len = header::WWW_AUTHENTICATE.as_str().len();
    let all: usize = lines.iter().map(|line| line_bytes(name_len, line.len())).sum();
    if lines.len() > 1 && others + all > HEADER_BLOCK_BYTES_MAX {
        lines.remove(0);
    }
    for line in lines {
        if let Ok(value) = HeaderValue::try_from(line) {
            headers.append(header::WWW_AUTHENTICATE, value);
        }
    }
}
