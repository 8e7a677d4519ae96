//! Answers that are streams: one JSON object a line.

use crate::payer::UPDATE_BYTES_MAX;
use bytes::BytesMut;
use l402_node_http::Fault;
use reqwest::Response;

/// The lines of an answer, each at most [`UPDATE_BYTES_MAX`]; the last one may lack its line feed.
pub(super) struct Lines {
    response: Response,
    buffer: BytesMut,
    /// How many bytes at the buffer's beginning hold no line feed.
    searched: usize,
}

impl Lines {
    pub(super) fn new(response: Response) -> Self {
        Self { response, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next line that is not blank; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<BytesMut>, Fault> {
        loop {
            if let Some(line) = self.complete() {
                return Ok(Some(line));
            }
            if self.buffer.len() > UPDATE_BYTES_MAX {
                return Err(Fault::TooLarge);
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.buffer.extend_from_slice(&bytes),
                Ok(None) => {
                    self.searched = 0;
                    return Ok(Some(self.buffer.split()).filter(|line| !is_blank(line)));
                }
                Err(_) => return Err(Fault::Cut),
            }
        }
    }

    /// Takes the next whole line that is not blank out of the buffer.
    fn complete(&mut self) -> Option<BytesMut> {
        while let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
            let line = self.buffer.split_to(self.searched + end + 1);
            self.searched = 0;
            if !is_blank(&line) {
                return Some(line);
            }
        }
        self.searched = self.buffer.len();
        None
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(body: impl Into<reqwest::Body>) -> Result<Vec<BytesMut>, Fault> {
        let mut lines = Lines::new(Response::from(http::Response::new(body)));
        let mut all = Vec::new();
        while let Some(line) = lines.next().await? {
            all.push(line);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn blank_lines_are_skipped_and_the_last_needs_no_line_feed() {
        assert_eq!(lines("\n{\"a\":1}\n \r\n{\"b\":2}").await.unwrap(), ["{\"a\":1}\n", "{\"b\":2}"]);
        assert!(lines("").await.unwrap().is_empty());
        assert!(lines("\n\n").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused() {
        assert_eq!(lines("a".repeat(UPDATE_BYTES_MAX + 1)).await.unwrap_err(), Fault::TooLarge);
        let body = format!("{}\n{}", "a".repeat(UPDATE_BYTES_MAX - 1), "b".repeat(9));
        assert_eq!(lines(body).await.map(|lines| lines.len()), Ok(2));
    }
}
