//! One connection, which has at most one request under way.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

/// More than any answer has.
const ANSWER_BYTES_MAX: usize = 64 << 10;

pub(crate) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
    filled: usize,
    from: Instant,
    counts: bool,
}

/// A whole answer.
pub(crate) struct Answered {
    /// Since the request was sent, or ought to have been.
    pub(crate) took: Duration,
    /// Whether it belongs to the measurement.
    pub(crate) counts: bool,
}

impl Connection {
    pub(crate) fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let answer = vec![0; ANSWER_BYTES_MAX];
        Ok(Self { stream, answer, filled: 0, from: Instant::now(), counts: false })
    }

    /// Sends a request that counts from this moment. It is small, and nothing else is under way, so it fits at once.
    pub(crate) fn ask(&mut self, request: &[u8], from: Instant, counts: bool) -> io::Result<()> {
        (self.from, self.counts, self.filled) = (from, counts, 0);
        self.stream.write_all(request)
    }

    /// Takes what has come; the answer, if that is all of it.
    pub(crate) fn hear(&mut self) -> io::Result<Option<Answered>> {
        match self.stream.read(&mut self.answer[self.filled..]) {
            Ok(0) => return Err(io::Error::other("the server closed a connection, or sends too much")),
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        if !is_whole(&self.answer[..self.filled])? {
            return Ok(None);
        }
        Ok(Some(Answered { took: self.from.elapsed(), counts: self.counts }))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Whether these are all bytes of an answer, which has to be a 200 with a length.
fn is_whole(bytes: &[u8]) -> io::Result<bool> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(false) };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 200") {
        return Err(io::Error::other(format!("answered {status:?}")));
    }
    let length = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.ok_or_else(|| io::Error::other("an answer without a length"))?;
    Ok(bytes.len() >= end + 4 + length)
}
