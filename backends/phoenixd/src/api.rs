//! phoenixd's HTTP API: questions by `GET`, orders by `POST` with a form, Basic authentication without a user name.

use crate::refusal::Refusal;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header};
use l402_lightning::{OpenError, Settings};
use l402_node_http::{Answer, Door, DoorOptions, Fault, Fields, Place};
use std::{path::Path, time::Duration};
use zeroize::Zeroizing;

/// Longest wait for the answer to a question; they are answered from phoenixd's own records.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// A phoenixd.
#[derive(Debug)]
pub(crate) struct Api {
    door: Door,
}

impl Api {
    /// Prepares the way to the phoenixd that the settings name; connects to nothing.
    pub(crate) fn new(settings: &Settings) -> Result<Self, OpenError> {
        let door = Door::new(DoorOptions {
            place: Place::from_setting(settings, "address")?,
            certificate: settings.file("certificate").map(Path::to_owned),
            credential: Some((header::AUTHORIZATION, credential(settings)?)),
        })?;
        Ok(Self { door })
    }

    /// Asks for an object.
    pub(crate) async fn object(&self, path: &str) -> Result<Fields, Refusal> {
        Ok(granted(&self.get(path).await?)?.fields()?)
    }

    /// Asks for an object by its name in the path; `None` if there is none.
    pub(crate) async fn find(&self, path: &str) -> Result<Option<Fields>, Refusal> {
        let answer = self.get(path).await?;
        // Versions differ in the words of the 404, so these cannot tell a missing record from a missing question.
        if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::NO_CONTENT) {
            return Ok(None);
        }
        Ok(Some(granted(&answer)?.fields()?))
    }

    /// Asks for a list of objects.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Fields>, Refusal> {
        let serde_json::Value::Array(items) = granted(&self.get(path).await?)?.json()? else {
            return Err(Fault::Garbled("a JSON list").into());
        };
        Ok(items.into_iter().map(Fields::of).collect::<Result<_, Fault>>()?)
    }

    /// The status of an answer, whatever it says.
    pub(crate) async fn status(&self, path: &str) -> Result<StatusCode, Refusal> {
        Ok(self.get(path).await?.status)
    }

    /// The status of the answer to an order without any field.
    pub(crate) async fn status_of_empty_order(&self, path: &str) -> Result<StatusCode, Refusal> {
        Ok(self.door.send(self.door.post_form(path, &[]), QUESTION_TIMEOUT).await?.status)
    }

    /// Gives an order, once.
    pub(crate) async fn order(
        &self,
        path: &str,
        form: &[(&str, &str)],
        deadline: Option<Duration>,
    ) -> Result<Fields, Refusal> {
        let deadline = deadline.unwrap_or(QUESTION_TIMEOUT);
        let answer = self.door.send(self.door.post_form(path, form), deadline).await?;
        Ok(granted(&answer)?.fields()?)
    }

    async fn get(&self, path: &str) -> Result<Answer, Fault> {
        self.door.send(self.door.get(path), QUESTION_TIMEOUT).await
    }
}

/// The header that carries the password.
pub(crate) fn credential(settings: &Settings) -> Result<HeaderValue, OpenError> {
    let password = settings.required_secret("password")?;
    let form = || OpenError::Form { setting: "password", expected: "a password of phoenix.conf" };
    let pair = Zeroizing::new(format!(":{}", password.text().ok_or_else(form)?));
    let header = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut header = HeaderValue::from_str(&header).map_err(|_| form())?;
    header.set_sensitive(true);
    Ok(header)
}

fn granted(answer: &Answer) -> Result<&Answer, Refusal> {
    if answer.status.is_success() { Ok(answer) } else { Err(Refusal::of(answer.status, &answer.body)) }
}
