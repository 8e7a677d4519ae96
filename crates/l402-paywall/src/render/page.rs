//! The page that a person sees in a browser: no script, no style, nothing loaded, everything escaped.

use super::Scene;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use std::fmt::Write as _;

/// Nothing may be loaded, run or framed.
const CSP: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Renders the page and adds its headers.
pub(super) fn html(scene: &Scene<'_>, headers: &mut HeaderMap) -> Bytes {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, CSP);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let status = scene.refusal.status();
    let title = status.canonical_reason().unwrap_or("Error");
    let mut page = String::with_capacity(2048);
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n</head>\n<body>\n\
         <h1>{title}</h1>\n<p>{}</p>\n",
        escaped(&scene.refusal.to_string())
    );
    write_offer(scene, &mut page);
    page.push_str("</body>\n</html>\n");
    Bytes::from(page)
}

fn write_offer(scene: &Scene<'_>, page: &mut String) {
    let (Some(found), Some(minted)) = (scene.found, scene.minted) else { return };
    let invoice = escaped(&minted.challenge.invoice);
    let valid = match found.service.spec().valid_for_secs {
        Some(secs) => format!("for {}", duration(secs)),
        None => "without a time limit".to_owned(),
    };
    let _ = write!(
        page,
        "<p>Access to <strong>{}</strong> costs <strong>{}</strong>, paid over the Lightning Network, and lasts {valid}.</p>\n\
         <p><a href=\"lightning:{invoice}\">Open in a wallet</a>, or pay this invoice:</p>\n<p><code>{invoice}</code></p>\n\
         <p>A program pays and fetches in one step: it reads the <code>WWW-Authenticate</code> header of this answer, pays \
         the invoice, and sends the token together with the preimage that the payment reveals, as \
         <code>Authorization: L402 &lt;macaroon&gt;:&lt;preimage&gt;</code>. The <code>l402 get</code> command does this.</p>\n",
        escaped(found.service.name().as_str()),
        minted.price,
    );
}

/// Whole units, as people say them.
fn duration(secs: u64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let (count, unit) = units
        .into_iter()
        .find(|(size, _)| secs >= *size && secs.is_multiple_of(*size))
        .map_or((secs, "second"), |(size, unit)| (secs / size, unit));
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_escaped() {
        assert_eq!(
            escaped("<script>alert('1&\"2')</script>"),
            "&lt;script&gt;alert(&#39;1&amp;&quot;2&#39;)&lt;/script&gt;"
        );
    }

    #[test]
    fn durations_read_as_people_say_them() {
        let shown: Vec<String> = [1, 90, 60, 3600, 7200, 86_400].into_iter().map(duration).collect();
        assert_eq!(shown, ["1 second", "90 seconds", "1 minute", "1 hour", "2 hours", "1 day"]);
    }
}
