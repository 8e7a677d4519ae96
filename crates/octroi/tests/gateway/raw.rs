//! A client that writes bytes, proper or not, and sees the bytes that come back.

use crate::caller::soon;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub(crate) struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// The head of an answer, as text in lower case.
#[derive(Debug)]
pub(crate) struct Head(pub(crate) String);

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a TCP socket");
        Self { stream, unread: Vec::new() }
    }

    /// Connects, writes, and leaves the line open.
    pub(crate) async fn sent(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Self {
        let mut raw = Self::connect(address).await;
        raw.write(bytes).await;
        raw
    }

    /// Writes; a line that the other side has cut takes nothing more.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = soon(self.stream.write_all(bytes.as_ref())).await;
    }

    /// Says that nothing more will come, and goes on reading.
    pub(crate) async fn finish_writing(&mut self) {
        let _ = soon(self.stream.shutdown()).await;
    }

    /// Reads more; false at the end, however it came.
    async fn read_more(&mut self) -> bool {
        soon(self.stream.read_buf(&mut self.unread)).await.is_ok_and(|count| count > 0)
    }

    /// The next head; `None` where the line ends first.
    pub(crate) async fn head(&mut self) -> Option<Head> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                return Some(Head(String::from_utf8_lossy(&head).to_ascii_lowercase()));
            }
            if !self.read_more().await {
                return None;
            }
        }
    }

    /// The next bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert!(self.read_more().await, "the line ended: {:?}", String::from_utf8_lossy(&self.unread));
        }
        self.unread.drain(..count).collect()
    }

    /// A head and its body, which has a `content-length` or none.
    pub(crate) async fn answer(&mut self) -> Option<(Head, Vec<u8>)> {
        let head = self.head().await?;
        let length = head.field("content-length").map_or(0, |length| length.parse().expect("a length"));
        let body = self.bytes(length).await;
        Some((head, body))
    }

    /// Everything until the line ends.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.read_more().await {}
        std::mem::take(&mut self.unread)
    }

    /// What has come so far, without waiting for more than there is.
    pub(crate) fn so_far(&mut self) -> Vec<u8> {
        while self.stream.try_read_buf(&mut self.unread).is_ok_and(|count| count > 0) {}
        std::mem::take(&mut self.unread)
    }
}

impl Head {
    pub(crate) fn status(&self) -> u16 {
        let code = self.0.split(' ').nth(1).and_then(|code| code.parse().ok());
        code.unwrap_or_else(|| panic!("no status in {}", self.0))
    }

    /// The first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(found, _)| *found == name).map(|(_, value)| value.trim())
    }
}
