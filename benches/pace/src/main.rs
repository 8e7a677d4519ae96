//! `pace HOST:PORT PATH CONNECTIONS RATE SECONDS [HEADER...]`: GET requests over HTTP/1.1, RATE of them a second in all,
//! for so long after one second that does not count. Prints the median and the 99th percentile of what they took, in
//! milliseconds, and the rate that was reached.
//!
//! The requests are a Poisson process: the time from one to the next is exponentially distributed. Whichever connection is
//! free takes the next one; only when none is, a request is late, and counted from the moment it was due. Any answer but a
//! 200 ends the run.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

const WARM_UP: Duration = Duration::from_secs(1);
const STACK_BYTES: usize = 128 << 10;

/// What all connections share.
struct Load {
    address: String,
    request: Vec<u8>,
    arrivals: Mutex<Arrivals>,
    start: Instant,
    end: Instant,
}

/// When requests are due.
struct Arrivals {
    /// Seconds from one to the next, in the mean.
    gap: f64,
    next: Instant,
    dice: Dice,
}

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pace: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, path, connections, rate, seconds, headers @ ..] = arguments.as_slice() else {
        return Err(io::Error::other("usage: pace HOST:PORT PATH CONNECTIONS RATE SECONDS [HEADER...]"));
    };
    let number =
        |text: &str| text.parse::<u32>().map_err(|_| io::Error::other(format!("{text} is no number")));
    let (connections, rate, seconds) = (number(connections)?, number(rate)?, number(seconds)?);
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").into_bytes();
    let start = Instant::now() + WARM_UP;
    let end = start + Duration::from_secs(seconds.into());
    let arrivals =
        Arrivals { gap: 1.0 / f64::from(rate), next: Instant::now(), dice: Dice(0x9e37_79b9_7f4a_7c15) };
    let arrivals = Mutex::new(arrivals);
    let load = Arc::new(Load { address: address.clone(), request, arrivals, start, end });
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let load = Arc::clone(&load);
            thread::Builder::new().stack_size(STACK_BYTES).spawn(move || load.ask())
        })
        .collect::<io::Result<_>>()?;
    let mut took = Vec::new();
    for thread in threads {
        took.extend(thread.join().map_err(|_| io::Error::other("a connection's thread ended badly"))??);
    }
    took.sort_unstable();
    let at =
        |share: usize| took.get(took.len() * share / 100).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3);
    println!("{:.3} {:.3} {:.0}", at(50), at(99), took.len() as f64 / f64::from(seconds));
    Ok(())
}

impl Load {
    /// One connection; returns what its requests took.
    fn ask(&self) -> io::Result<Vec<Duration>> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        let mut answers = BufReader::new(stream.try_clone()?);
        let (mut stream, mut scratch, mut took) = (stream, Vec::new(), Vec::new());
        loop {
            let due = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).take();
            if due >= self.end {
                return Ok(took);
            }
            let wait = due.saturating_duration_since(Instant::now());
            thread::sleep(wait);
            // That the thread woke up late is not the server's doing; that all connections were busy is.
            let from = if wait.is_zero() { due } else { Instant::now() };
            stream.write_all(&self.request)?;
            read_answer(&mut answers, &mut scratch)?;
            if due >= self.start {
                took.push(from.elapsed());
            }
        }
    }
}

impl Arrivals {
    fn take(&mut self) -> Instant {
        let due = self.next;
        self.next += Duration::from_secs_f64(self.gap * self.dice.exponential());
        due
    }
}

/// Reads one answer, which has to be a 200 with a length.
fn read_answer(answers: &mut BufReader<TcpStream>, scratch: &mut Vec<u8>) -> io::Result<()> {
    let mut length = None;
    for line in 0.. {
        scratch.clear();
        answers.read_until(b'\n', scratch)?;
        let text = String::from_utf8_lossy(scratch);
        let text = text.trim_end();
        if line == 0 && !text.starts_with("HTTP/1.1 200") {
            return Err(io::Error::other(format!("answered {text:?}")));
        }
        if text.is_empty() {
            break;
        }
        if let Some((name, value)) = text.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok();
        }
    }
    scratch.resize(length.ok_or_else(|| io::Error::other("an answer without a length"))?, 0);
    answers.read_exact(scratch)
}

/// xorshift64 (Marsaglia, 2003): good enough for waiting times.
struct Dice(u64);

impl Dice {
    /// Exponentially distributed with mean 1.
    fn exponential(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let uniform = (self.0 >> 11) as f64 / (1_u64 << 53) as f64;
        -(1.0 - uniform).ln()
    }
}
