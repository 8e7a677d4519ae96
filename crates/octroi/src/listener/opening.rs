//! The first bytes of a plain connection: they show whether its client speaks HTTP/2 with prior knowledge.

use super::io::now;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    time::{timeout, timeout_at},
};

/// HTTP/2 with prior knowledge begins with a line that no HTTP/1 request begins with
/// ([RFC 9113 section 3.4](https://www.rfc-editor.org/rfc/rfc9113#section-3.4)).
const PREFACE_START: [u8; 16] = *b"PRI * HTTP/2.0\r\n";

/// A stream whose first bytes were looked at. Reading begins with them all the same.
pub(super) struct Opened<S> {
    stream: S,
    first: [u8; PREFACE_START.len()],
    /// How many of `first` have come.
    come: usize,
    /// How many of `first` have been read again.
    read: usize,
}

/// How a connection began.
pub(super) enum Opening<S> {
    /// With enough to tell HTTP/2 from HTTP/1, the first byte of it then.
    Begun { stream: Opened<S>, is_h2: bool, at: Instant },
    /// With a part of the preface, and then with nothing for too long.
    TooSlow(S),
    /// Nothing was asked.
    Silent,
}

impl<S: AsyncRead + Unpin> Opened<S> {
    /// Waits at most `idle` for the first byte, and at most `header` longer for what it begins.
    pub(super) async fn read(stream: S, idle: Duration, header: Duration) -> io::Result<Opening<S>> {
        let mut opened = Self { stream, first: [0; PREFACE_START.len()], come: 0, read: 0 };
        let Ok(begun) = timeout(idle, opened.read_more()).await else { return Ok(Opening::Silent) };
        if begun? == 0 {
            return Ok(Opening::Silent);
        }
        let at = now();
        while PREFACE_START.starts_with(opened.come()) {
            if opened.come == PREFACE_START.len() {
                return Ok(Opening::Begun { stream: opened, is_h2: true, at });
            }
            let Ok(more) = timeout_at((at + header).into(), opened.read_more()).await else {
                return Ok(Opening::TooSlow(opened.stream));
            };
            if more? == 0 {
                break; // that was all
            }
        }
        Ok(Opening::Begun { stream: opened, is_h2: false, at })
    }

    async fn read_more(&mut self) -> io::Result<usize> {
        let count = self.stream.read(self.first.get_mut(self.come..).unwrap_or_default()).await?;
        self.come += count;
        Ok(count)
    }

    fn come(&self) -> &[u8] {
        self.first.get(..self.come).unwrap_or_default()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read == self.come {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let again = self.come().get(self.read..).unwrap_or_default();
        let count = again.len().min(buf.remaining());
        buf.put_slice(again.get(..count).unwrap_or_default());
        self.read += count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt as _, duplex};

    const LONG: Duration = Duration::from_hours(1);

    /// Writes the pieces one after the other, ends the stream, and returns what was told and what is read then.
    async fn opened(pieces: &[&str]) -> (Option<bool>, String) {
        let (mut client, server) = duplex(8);
        let writing = async {
            for piece in pieces {
                client.write_all(piece.as_bytes()).await.expect("room");
                tokio::task::yield_now().await;
            }
            drop(client);
        };
        let reading = async {
            let opening = Opened::read(server, LONG, LONG).await.expect("no error");
            let mut text = String::new();
            if let Opening::Begun { mut stream, is_h2, .. } = opening {
                stream.read_to_string(&mut text).await.expect("text");
                (Some(is_h2), text)
            } else {
                (None, text)
            }
        };
        tokio::join!(writing, reading).1
    }

    #[tokio::test]
    async fn every_byte_is_read_once_however_the_first_ones_come() {
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        for at in 1..preface.len() {
            let (start, end) = preface.split_at(at);
            assert_eq!(opened(&[start, end]).await, (Some(true), preface.to_owned()), "{at}");
        }
        for text in
            ["GET / HTTP/1.1\r\n\r\n", "P", "PRI * HTTP/2.0\r", "PRI * HTTP/2.1\r\n\r\n", "POST / HTTP/1.1"]
        {
            for at in 1..=text.len() {
                let (start, end) = text.split_at(at);
                assert_eq!(opened(&[start, end]).await, (Some(false), text.to_owned()), "{text:?} at {at}");
            }
        }
    }

    #[tokio::test]
    async fn who_says_nothing_and_who_stops_in_the_middle_are_told_apart() {
        const SHORT: Duration = Duration::from_millis(20);
        let (mut client, server) = duplex(64);
        assert!(matches!(Opened::read(server, SHORT, LONG).await, Ok(Opening::Silent)));
        client.write_all(b"x").await.expect_err("the other side is gone");
        let (mut client, server) = duplex(64);
        client.write_all(b"PRI").await.expect("room");
        assert!(matches!(Opened::read(server, LONG, SHORT).await, Ok(Opening::TooSlow(_))));
        let (client, server) = duplex(64);
        drop(client);
        assert!(matches!(Opened::read(server, LONG, LONG).await, Ok(Opening::Silent)));
    }
}
