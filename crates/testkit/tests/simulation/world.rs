//! A world: clients, gateways, their clocks, upstreams and one ledger, all from a seed.

use crate::{
    books::Books,
    dice::Dice,
    gateway::{Gateway, Habit, Request, Upstream, revoke, serve, sweep, units},
    store::{Store, Weather, Wire},
    story::Story,
};
use l402::{PaymentHash, TokenId};
use l402_lightning::BoxFuture;
use l402_paywall::ledger::{Abandoned, AccountKey, Cap, Claim, Purse, ReservationId};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// When a world begins, in Unix seconds.
const BEGIN: u64 = 1_700_000_000;

/// Longer than any world lasts, in seconds.
const FOR_EVER_SECS: u64 = 1_000_000_000;

const STEPS_MAX: u32 = 2_000;

/// A world that did not keep a promise.
pub(crate) struct Broken {
    pub(crate) why: String,
    pub(crate) story: Vec<String>,
}

struct World {
    dice: Dice,
    story: Story,
    store: Arc<Store>,
    books: Books,
    rule: Abandoned,
    habit: Habit,
    /// The time that clocks should show.
    now: u64,
    gateways: Vec<Process>,
    tokens: Vec<Vec<Purse>>,
    requests_left: u64,
    requests_made: u64,
    tasks: Vec<Task>,
}

/// A gateway, whether it runs or not.
struct Process {
    clock: Arc<AtomicU64>,
    is_up: bool,
}

struct Task {
    gateway: usize,
    work: BoxFuture<'static, ()>,
}

#[derive(Clone, Copy)]
enum Event {
    Request,
    Work,
    Ledger,
    Time,
    ClockJump,
    Sweep,
    Crash,
    Restart,
    Weather,
    Revoke,
}

/// Plays the world of a seed to its end: what happened and how often, or what went wrong.
pub(crate) fn play(
    seed: u64,
    habit: Habit,
    tells: bool,
) -> Result<(BTreeMap<&'static str, u64>, Vec<String>), Broken> {
    let story = Story::new(tells);
    let mut world = World::new(seed, habit, story.clone());
    match world.run() {
        Ok(()) => Ok((story.events(), story.lines())),
        Err(why) => Err(Broken { why, story: story.lines() }),
    }
}

impl World {
    fn new(seed: u64, habit: Habit, story: Story) -> Self {
        let dice = Dice::new(seed);
        let store = Arc::new(Store::new(story.clone()));
        let books = Books::new(Arc::clone(&store), story.clone());
        let rule = if dice.chance(70) { Abandoned::Release } else { Abandoned::Charge };
        let clock = || Arc::new(AtomicU64::new(BEGIN));
        let gateways = (0..dice.between(1, 3)).map(|_| Process { clock: clock(), is_up: true }).collect();
        let tokens: Vec<_> = (0..dice.between(1, 3)).map(|number| token(&dice, number)).collect();
        for copies in &tokens {
            books.pay(copies[0].clone());
        }
        let requests_left = dice.between(5, 24);
        let (now, requests_made, tasks) = (BEGIN, 0, Vec::new());
        story.tell(|| format!("a world of seed {seed}, abandoned units: {rule:?}"));
        Self {
            dice,
            story,
            store,
            books,
            rule,
            habit,
            now,
            gateways,
            tokens,
            requests_left,
            requests_made,
            tasks,
        }
    }

    fn run(&mut self) -> Result<(), String> {
        for _ in 0..STEPS_MAX {
            if self.requests_left == 0 && self.tasks.is_empty() && self.store.is_idle() {
                break;
            }
            let Some(event) = self.dice.weighted(&self.likely()) else { break };
            self.happen(event);
            self.books.check()?;
        }
        self.wind_up()?;
        self.books.close(self.rule)
    }

    /// What can happen next, each with its weight.
    fn likely(&self) -> [(u64, Event); 10] {
        let up = self.gateways.iter().filter(|process| process.is_up).count() as u64;
        let down = self.gateways.len() as u64 - up;
        let if_up = |weight: u64| if up > 0 { weight } else { 0 };
        [
            (if self.requests_left > 0 { if_up(60) } else { 0 }, Event::Request),
            (if self.tasks.is_empty() { 0 } else { 200 }, Event::Work),
            (if self.store.is_idle() { 0 } else { 200 }, Event::Ledger),
            (20, Event::Time),
            (3, Event::ClockJump),
            (if_up(15), Event::Sweep),
            (if_up(6), Event::Crash),
            (20 * down, Event::Restart),
            (10, Event::Weather),
            (if_up(1), Event::Revoke),
        ]
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Request => self.request(),
            Event::Work => {
                let index = self.dice.index(self.tasks.len());
                self.work(index);
            }
            Event::Ledger => self.store.advance(&self.dice),
            Event::Time => self.pass(self.dice.between(1, 5)),
            Event::ClockJump => self.jump(),
            Event::Sweep => {
                if let Some((gateway, process)) = self.gateway() {
                    self.tasks.push(Task { gateway, work: Box::pin(sweep(process)) });
                }
            }
            Event::Crash => self.crash(),
            Event::Restart => {
                let is_down = |process: &&mut Process| !process.is_up;
                if let Some(process) = self.gateways.iter_mut().find(is_down) {
                    process.is_up = true;
                    self.story.count("restart");
                    self.story.tell(|| "a gateway starts again".to_owned());
                }
            }
            Event::Weather => {
                let kinds = [(0, 0, 0), (10, 5, 10), (5, 30, 5), (0, 0, 50), (40, 20, 40), (95, 0, 0)];
                let (refused, late, lost) = kinds[self.dice.index(kinds.len())];
                let weather = Weather { refused, late, lost };
                self.story.tell(|| format!("the line is {weather:?}"));
                self.store.set_weather(weather);
            }
            Event::Revoke => {
                let token = self.dice.index(self.tokens.len());
                if let Some((gateway, process)) = self.gateway() {
                    let purse = self.tokens[token][0].clone();
                    self.story.count("revoked");
                    self.tasks.push(Task { gateway, work: Box::pin(revoke(process, purse)) });
                }
            }
        }
    }

    /// A client makes a request of some gateway that is up.
    fn request(&mut self) {
        let Some((gateway, process)) = self.gateway() else { return };
        self.requests_left -= 1;
        self.requests_made += 1;
        let id = ReservationId::from_bytes(u128::from(self.requests_made).to_be_bytes());
        let token = self.dice.index(self.tokens.len());
        let copies = &self.tokens[token];
        let purse = copies[self.dice.index(copies.len())].clone();
        let estimate = self.dice.between(0, 12);
        let claim = self.dice.chance(35).then(|| self.claim(token));
        let (lasts_secs, upstream) = (self.dice.between(5, 60), self.upstream(estimate));
        self.story.tell(|| {
            format!(
                "a client asks gateway {gateway} for r{}: {estimate} units, {upstream:?}",
                self.requests_made
            )
        });
        let request = Request { id, purse, estimate, lasts_secs, claim, upstream };
        let client = self.books.open(request.clone());
        self.tasks.push(Task { gateway, work: Box::pin(serve(process, request, client)) });
    }

    /// One of few claims, so that they meet.
    fn claim(&self, token: usize) -> Claim {
        let number = u8::try_from(token * 16 + self.dice.index(2)).unwrap();
        let request = if self.dice.chance(85) { 1 } else { 2 };
        Claim { key: [number; 32], request: [request; 32], expires_at: BEGIN + FOR_EVER_SECS }
    }

    fn upstream(&self, estimate: u64) -> Upstream {
        let dice = &self.dice;
        match dice.below(12) {
            0 | 1 => Upstream::Fails,
            2..=4 => Upstream::Answers(dice.between(0, estimate)),
            5 => Upstream::Answers(estimate + dice.between(1, 20)),
            6 => Upstream::AnswersUnreadably,
            7 => Upstream::BreaksOff(dice.between(0, estimate)),
            8 => Upstream::LosesItsClient(dice.between(0, estimate)),
            _ => {
                let mut total = 0;
                let parts = (0..dice.between(1, 4)).map(|_| {
                    total += dice.between(0, 8);
                    total
                });
                Upstream::Streams(parts.collect())
            }
        }
    }

    /// A gateway that is up, as a process.
    fn gateway(&self) -> Option<(usize, Arc<Gateway>)> {
        let up: Vec<_> = (0..self.gateways.len()).filter(|index| self.gateways[*index].is_up).collect();
        if up.is_empty() {
            return None;
        }
        let gateway = up[self.dice.index(up.len())];
        let ledger = Arc::new(Wire { store: Arc::clone(&self.store), gateway });
        let clock = Arc::clone(&self.gateways[gateway].clock);
        Some((gateway, Arc::new(Gateway { ledger, clock, rule: self.rule, habit: self.habit })))
    }

    /// A task goes on as far as it gets.
    fn work(&mut self, index: usize) {
        let mut context = Context::from_waker(Waker::noop());
        if self.tasks[index].work.as_mut().poll(&mut context) == Poll::Ready(()) {
            drop(self.tasks.swap_remove(index));
        }
    }

    fn pass(&mut self, secs: u64) {
        self.now += secs;
        for process in &self.gateways {
            process.clock.fetch_add(secs, Ordering::Relaxed);
        }
    }

    /// Somebody sets a clock, or all the world slept.
    fn jump(&mut self) {
        self.story.count("clock jump");
        if self.dice.chance(40) {
            let secs = self.dice.between(30, 10_000);
            self.story.tell(|| format!("{secs} s pass at once"));
            return self.pass(secs);
        }
        let gateway = self.dice.index(self.gateways.len());
        let shown = self.now + self.dice.between(0, 200) - 100;
        self.story.tell(|| {
            format!(
                "gateway {gateway}'s clock is {} s after the true time",
                shown.cast_signed() - self.now.cast_signed()
            )
        });
        self.gateways[gateway].clock.store(shown, Ordering::Relaxed);
    }

    /// A gateway dies with everything that it was doing.
    fn crash(&mut self) {
        let Some((gateway, _)) = self.gateway() else { return };
        self.story.count("crash");
        self.story.tell(|| format!("gateway {gateway} dies"));
        self.gateways[gateway].is_up = false;
        self.tasks.retain(|task| task.gateway != gateway);
        self.store.cut_off(gateway, &self.dice);
    }

    /// The weather clears, everything under way ends, and so do reservations that nobody ended.
    fn wind_up(&mut self) -> Result<(), String> {
        self.story.tell(|| "the weather clears".to_owned());
        self.store.set_weather(Weather::default());
        for process in &mut self.gateways {
            process.is_up = true;
        }
        for _ in 0..STEPS_MAX {
            if self.tasks.is_empty() && self.store.is_idle() {
                if self.store.ledger.audit().open == 0 {
                    return Ok(());
                }
                self.story.count("swept in the end");
                self.now += 1_000;
                for process in &self.gateways {
                    process.clock.store(self.now, Ordering::Relaxed);
                }
                self.happen(Event::Sweep);
            }
            for index in (0..self.tasks.len()).rev() {
                self.work(index);
            }
            self.store.advance(&self.dice);
            self.books.check()?;
        }
        Err("the world does not come to rest".to_owned())
    }
}

/// A token, with copies of it and of them: each is a purse.
fn token(dice: &Dice, number: u64) -> Vec<Purse> {
    let byte = u8::try_from(number + 1).unwrap();
    let mut copies = vec![Purse {
        payment_hash: PaymentHash::from_bytes([byte; 32]),
        token_id: TokenId::from_bytes([byte; 32]),
        service: "weather".try_into().unwrap(),
        pack: units(dice.between(10, 80)),
        caps: Arc::from([]),
    }];
    for copy in 1..=dice.below(4) {
        let of = copies[dice.index(copies.len())].clone();
        let mut key = [byte; 32];
        key[0] = u8::try_from(copy).unwrap();
        key[1] = 0xca;
        let cap = Cap { key: AccountKey::from_bytes(key), units: units(dice.between(1, 40)) };
        copies.push(Purse { caps: of.caps.iter().copied().chain([cap]).collect(), ..of });
    }
    copies
}
