//! `pace HOST:PORT PATH CONNECTIONS RATE SECONDS [HEADER...]`: GET requests over HTTP/1.1, RATE of them a second in all,
//! for so long after one second that does not count. Prints the median and the 99th percentile of what they took, in
//! milliseconds, and the rate that was reached.
//!
//! The requests are a Poisson process: the time from one to the next is exponentially distributed. Whichever connection is
//! free takes the next one; only when none is, a request is late, and counted from the moment it was due. Any answer but a
//! 200 ends the run.
//!
//! One thread does it all: it shares the processors with what it measures, and a thread for each connection took
//! 1.6 to 1.9 times as much of them.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

mod connection;

use connection::Connection;
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
};
use std::{
    env, io,
    os::fd::OwnedFd,
    process::ExitCode,
    time::{Duration, Instant},
};

const WARM_UP: Duration = Duration::from_secs(1);

/// How long an answer may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(10);

struct Load {
    connections: Vec<Connection>,
    /// Which of them wait for nothing.
    free: Vec<usize>,
    /// When the last of them that was not free became so; a request that was due earlier had to wait for it.
    freed_at: Instant,
    arrivals: Arrivals,
    ready: OwnedFd,
    took: Vec<Duration>,
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

/// xorshift64 (Marsaglia, 2003): good enough for waiting times.
struct Dice(u64);

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
    let mut took =
        Load::new(address, connections, rate, Duration::from_secs(seconds.into()))?.run(&request)?;
    took.sort_unstable();
    let at =
        |share: usize| took.get(took.len() * share / 100).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3);
    println!("{:.3} {:.3} {:.0}", at(50), at(99), took.len() as f64 / f64::from(seconds));
    Ok(())
}

impl Load {
    fn new(address: &str, count: u32, rate: u32, during: Duration) -> io::Result<Self> {
        let ready = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let connections = (0..count).map(|_| Connection::open(address)).collect::<io::Result<Vec<_>>>()?;
        for (number, connection) in connections.iter().enumerate() {
            let name = epoll::EventData::new_u64(number as u64);
            epoll::add(&ready, connection, name, epoll::EventFlags::IN)?;
        }
        let now = Instant::now();
        Ok(Self {
            free: (0..connections.len()).collect(),
            connections,
            freed_at: now,
            arrivals: Arrivals { gap: 1.0 / f64::from(rate), next: now, dice: Dice(0x9e37_79b9_7f4a_7c15) },
            ready,
            took: Vec::new(),
            start: now + WARM_UP,
            end: now + WARM_UP + during,
        })
    }

    /// Returns what the requests took that count.
    fn run(mut self, request: &[u8]) -> io::Result<Vec<Duration>> {
        let mut events = Vec::with_capacity(self.connections.len());
        loop {
            self.ask(request)?;
            let is_over = self.arrivals.next >= self.end;
            if is_over && self.free.len() == self.connections.len() {
                return Ok(self.took);
            }
            let is_waiting = is_over || self.free.is_empty();
            let until = self.arrivals.next.saturating_duration_since(Instant::now());
            let wait = if is_waiting { PATIENCE } else { until };
            let wait = Timespec::try_from(wait).map_err(io::Error::other)?;
            epoll::wait(&self.ready, spare_capacity(&mut events), Some(&wait))?;
            if is_waiting && events.is_empty() {
                return Err(io::Error::other(format!("no answer in {} seconds", PATIENCE.as_secs())));
            }
            for event in events.drain(..) {
                self.hear(event.data.u64() as usize)?;
            }
        }
    }

    /// Sends what is due, as far as connections are free.
    fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        loop {
            let (due, now) = (self.arrivals.next, Instant::now());
            if due > now || due >= self.end {
                return Ok(());
            }
            let Some(number) = self.free.pop() else { return Ok(()) };
            self.arrivals.step();
            // That this thread was late is not the server's doing; that all connections were busy is.
            let from = if due < self.freed_at { due } else { now };
            self.connections[number].ask(request, from, due >= self.start)?;
        }
    }

    fn hear(&mut self, number: usize) -> io::Result<()> {
        let Some(answered) = self.connections[number].hear()? else { return Ok(()) };
        if answered.counts {
            self.took.push(answered.took);
        }
        if self.free.is_empty() {
            self.freed_at = Instant::now();
        }
        self.free.push(number);
        Ok(())
    }
}

impl Arrivals {
    fn step(&mut self) {
        self.next += Duration::from_secs_f64(self.gap * self.dice.exponential());
    }
}

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
