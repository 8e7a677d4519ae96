//! A world: clients with wallets, gateways, their clocks, a node, upstreams and one ledger, all from a seed.

use crate::{
    books::{Books, Offer, Shown},
    crowd::Crowd,
    dice::Dice,
    exchange::serve,
    node::Node,
    process::{Premises, Process},
    settlements::Settlements,
    slip::Slip,
    store::{Store, Weather},
    story::Story,
    tariff::{Sold, Tariff},
    visit::Visit,
};
use l402_paywall::{Entropy, KeyFile, KeyRing};
use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// When a world begins, in Unix seconds.
const BEGIN: u64 = 1_700_000_000;
/// Most steps until a world is wound up, and most steps of that.
const STEPS_MAX: u32 = 3_000;
/// Steps a second once the weather has cleared: enough for a request to be in time.
const STEPS_PER_SEC: u32 = 10;
/// Nothing goes wrong on the store's line.
const CLEAR: (u64, u64, u64) = (0, 0, 0);
/// Most requests that spend what is left in the end.
const LAST_VISITS_MAX: u64 = 4;

/// A world that did not keep a promise.
pub(crate) struct Broken {
    pub(crate) why: String,
    pub(crate) step: u32,
    pub(crate) story: Vec<String>,
}

/// What happened in a world, and how often; and in words, if that was wanted.
pub(crate) type Events = (BTreeMap<&'static str, u64>, Vec<String>);

struct World {
    premises: Premises,
    books: Books,
    crowd: Crowd,
    places: Vec<Place>,
    /// Processes that were started.
    processes: u64,
    /// Packs that were ever in a price list.
    packs: u64,
    visits_left: u64,
    tasks: Vec<Task>,
    /// Steps that were taken.
    step: u32,
}

/// Where a gateway runs, or does not.
struct Place {
    clock: Arc<AtomicU64>,
    process: Option<Arc<Process>>,
}

struct Task {
    /// The process that it dies with.
    process: Option<u64>,
    /// The visit that it serves.
    visit: Option<(u64, bool)>,
    work: Pin<Box<dyn Future<Output = ()>>>,
}

#[derive(Clone, Copy)]
enum Event {
    Visit,
    Work,
    Store,
    Time,
    ClockJump,
    Keep,
    HangUp,
    Crash,
    Restart,
    Reload,
    PowerLoss,
    Weather,
    Revoke,
}

/// Plays the world of a seed to its end: what happened, or what went wrong.
pub(crate) fn play(seed: u64, slip: Option<Slip>, tells: bool) -> Result<Events, Broken> {
    // Wallets want a timer within reach; no time passes on it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _within = runtime.enter();
    let story = Story::new(tells);
    let mut world = World::new(seed, slip, &story);
    match world.run() {
        Ok(()) => Ok((story.events(), story.lines())),
        Err(why) => Err(Broken { why, step: world.step, story: story.lines() }),
    }
}

impl World {
    fn new(seed: u64, slip: Option<Slip>, story: &Story) -> Self {
        let dice = Arc::new(Dice::new(seed));
        let time = Arc::new(AtomicU64::new(BEGIN));
        let tariff = Arc::new(Tariff::draw(&dice));
        let store = Arc::new(Store::new(Arc::clone(&dice), story.clone(), slip));
        let node = Arc::new(Node::new(Arc::clone(&dice), Arc::clone(&time), story.clone()));
        let books = Books::new(Arc::clone(&store), story.clone(), Arc::clone(&tariff), Arc::clone(&time));
        let gateways = dice.one_of(&[1, 1, 2, 3]);
        story.tell(|| format!("a world of seed {seed}, {gateways} gateways, {tariff:?}"));
        let settlements = dice.chance(25).then(|| Arc::new(Settlements::new(Arc::clone(&store))));
        let premises = Premises {
            settlements,
            keys: keys(&dice),
            dice,
            story: story.clone(),
            store,
            node,
            tariff,
            time,
            is_alone: gateways == 1,
            slip,
        };
        let place = |_| Place { clock: Arc::new(AtomicU64::new(BEGIN)), process: None };
        let mut world = Self {
            crowd: Crowd::new(&premises, &books),
            books,
            places: (0..gateways).map(place).collect(),
            processes: 0,
            packs: 0,
            visits_left: premises.dice.between(10, 30),
            tasks: Vec::new(),
            step: 0,
            premises,
        };
        (0..world.places.len()).for_each(|place| world.start(place));
        world
    }

    fn run(&mut self) -> Result<(), String> {
        for _ in 0..STEPS_MAX {
            if self.visits_left == 0 && self.is_quiet() {
                break;
            }
            let Some(event) = self.premises.dice.weighted(&self.likely()) else { break };
            self.happen(event);
            self.check()?;
        }
        self.wind_up()?;
        self.spend_the_rest()?;
        self.books.close()
    }

    fn check(&mut self) -> Result<(), String> {
        self.step += 1;
        self.books.check()
    }

    /// What can happen next, each with its weight.
    fn likely(&self) -> [(u64, Event); 13] {
        let ready = self.ready().len() as u64;
        let down = self.places.iter().filter(|place| place.process.is_none()).count() as u64;
        let if_ready = |weight: u64| if ready > 0 { weight } else { 0 };
        let if_up = |weight: u64| if down < self.places.len() as u64 { weight } else { 0 };
        let if_busy = |weight: u64| if self.tasks.is_empty() { 0 } else { weight };
        [
            (if self.visits_left > 0 { if_ready(35) } else { 0 }, Event::Visit),
            (if_busy(250), Event::Work),
            (if self.premises.store.is_idle() { 0 } else { 200 }, Event::Store),
            (12, Event::Time),
            (3, Event::ClockJump),
            (if_ready(15), Event::Keep),
            (if_busy(2), Event::HangUp),
            (if_up(3), Event::Crash),
            (25 * down, Event::Restart),
            (if_ready(2), Event::Reload),
            (1, Event::PowerLoss),
            (12, Event::Weather),
            (if_ready(1), Event::Revoke),
        ]
    }

    fn happen(&mut self, event: Event) {
        let dice = Arc::clone(&self.premises.dice);
        match event {
            Event::Visit => {
                self.visits_left -= 1;
                let process = dice.one_of(&self.ready());
                let (visit, shown) = self.crowd.visit(&self.process_at(process));
                self.visit(process, visit, shown);
            }
            Event::Work => self.work(dice.index(self.tasks.len())),
            Event::Store => self.premises.store.advance(),
            Event::Time => self.pass(dice.between(1, 3)),
            Event::ClockJump => self.jump(),
            Event::Keep => {
                let process = self.process_at(dice.one_of(&self.ready()));
                self.spawn(Some(process.number), None, process.keep());
            }
            Event::HangUp => self.hang_up(),
            Event::Crash => self.crash(),
            Event::Restart => {
                if let Some(place) = self.places.iter().position(|place| place.process.is_none()) {
                    self.premises.story.count("restart");
                    self.start(place);
                }
            }
            Event::Reload => {
                let process = self.process_at(dice.one_of(&self.ready()));
                let packs = self.price_list();
                self.premises.story.count("reload");
                self.premises.story.tell(|| format!("process {} reads anew, {packs:?}", process.number));
                process.reload(packs);
            }
            Event::PowerLoss => {
                self.premises.story.count("power loss");
                self.premises.story.tell(|| "the store loses its power".to_owned());
                self.premises.store.lose_power();
            }
            Event::Weather => self.turn(),
            Event::Revoke => self.revoke(),
        }
    }

    /// Somebody makes a request of the gateway at this place.
    fn visit(&mut self, place: usize, visit: Visit, shown: Shown) {
        let process = self.process_at(place);
        self.premises.story.tell(|| {
            let Visit { number, route, key, script, .. } = &visit;
            format!(
                "v{number} asks process {} with {shown:?} for {route:?}, key {key:?}: {script:?}",
                process.number
            )
        });
        let client = self.books.open(&visit, shown);
        let about = (visit.number, visit.key.is_some());
        self.spawn(Some(process.number), Some(about), serve(process, visit, client));
    }

    fn spawn(
        &mut self,
        process: Option<u64>,
        visit: Option<(u64, bool)>,
        work: impl Future<Output = ()> + 'static,
    ) {
        self.tasks.push(Task { process, visit, work: Box::pin(work) });
    }

    /// A task goes on as far as it gets. Whoever got an offer may pay.
    fn work(&mut self, index: usize) {
        let task = &mut self.tasks[index];
        self.premises.store.work_for(task.visit.map_or(0, |(number, _)| number));
        if task.work.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(()) {
            drop(self.tasks.swap_remove(index));
        }
        for offer in self.books.take_offers() {
            if self.premises.dice.chance(70) {
                let (node, books) = (Arc::clone(&self.premises.node), self.books.clone());
                self.spawn(None, None, buy(node, books, offer));
            } else {
                self.premises.story.count("not paid");
                self.crowd.keep_unpaid(offer.token);
            }
        }
    }

    fn pass(&mut self, secs: u64) {
        self.premises.time.fetch_add(secs, Ordering::Relaxed);
        for place in &self.places {
            place.clock.fetch_add(secs, Ordering::Relaxed);
        }
    }

    /// Somebody sets a clock, or all the world slept.
    fn jump(&mut self) {
        let (dice, story) = (&self.premises.dice, &self.premises.story);
        story.count("clock jump");
        if dice.chance(40) {
            let secs = dice.between(30, 10_000);
            story.tell(|| format!("{secs} s pass at once"));
            return self.pass(secs);
        }
        let now = self.premises.time.load(Ordering::Relaxed);
        let (place, shown) = (dice.index(self.places.len()), now + dice.between(0, 200) - 100);
        story.tell(|| {
            format!("the clock of gateway {place} is set {} s ahead", shown.cast_signed() - now.cast_signed())
        });
        self.places[place].clock.store(shown, Ordering::Relaxed);
    }

    /// A client goes away. Its request is served on where its answer would be kept, as long as there is room.
    fn hang_up(&mut self) {
        let visits: Vec<_> =
            (0..self.tasks.len()).filter(|index| self.tasks[*index].visit.is_some()).collect();
        if visits.is_empty() {
            return;
        }
        let index = self.premises.dice.one_of(&visits);
        let Some((number, has_key)) = self.tasks[index].visit else { return };
        self.books.note(number, "client left", |page| page.has_left = true);
        if !has_key || self.premises.dice.chance(30) {
            drop(self.tasks.swap_remove(index));
        }
    }

    /// A gateway dies with everything that it was doing.
    fn crash(&mut self) {
        let up: Vec<_> =
            (0..self.places.len()).filter(|index| self.places[*index].process.is_some()).collect();
        let place = self.premises.dice.one_of(&up);
        let Some(process) = self.places[place].process.take() else { return };
        self.premises.story.count("crash");
        self.premises.story.tell(|| format!("process {} dies", process.number));
        process.die();
        let died = self.tasks.iter().filter(|task| task.process == Some(process.number));
        for (number, _) in died.filter_map(|task| task.visit) {
            self.books.note(number, "gateway died", |page| page.gateway_died = true);
        }
        self.tasks.retain(|task| task.process != Some(process.number));
    }

    /// A gateway starts, with a price list that may be new.
    fn start(&mut self, place: usize) {
        self.processes += 1;
        let (number, packs) = (self.processes, self.price_list());
        self.premises.story.tell(|| format!("process {number} starts at {place}, {packs:?}"));
        if self.premises.slip == Some(Slip::LosesItsKeys) && number > self.places.len() as u64 {
            self.premises.keys = keys(&self.premises.dice);
        }
        let clock = Arc::clone(&self.places[place].clock);
        let process = Arc::new(Process::start(&self.premises, number, clock, packs));
        self.places[place].process = Some(Arc::clone(&process));
        self.spawn(Some(number), None, process.begin());
    }

    /// New packs. Their prices tell them apart, in all of a world.
    fn price_list(&mut self) -> [Sold; 2] {
        let mut sold = || {
            self.packs += 1;
            Sold { msat: 10_000 * self.packs, units: self.premises.dice.between(10, 40) }
        };
        let packs = [sold(), sold()];
        for sold in packs {
            self.books.list(sold.msat, sold.units);
        }
        packs
    }

    /// The weather turns, for the store's line and for the node.
    fn turn(&mut self) {
        let dice = &self.premises.dice;
        let (refused, late, lost) = dice.one_of(&[
            CLEAR,
            CLEAR,
            CLEAR,
            (10, 5, 10),
            (5, 30, 5),
            (0, 0, 50),
            (40, 20, 40),
            (95, 0, 0),
        ]);
        let (weather, trouble) = (Weather { refused, late, lost }, dice.one_of(&[0, 0, 0, 10, 30, 100]));
        self.premises.story.tell(|| format!("the line is {weather:?}, the node fails in {trouble} of 100"));
        self.premises.store.set_weather(weather);
        self.premises.node.set_trouble(trouble);
    }

    fn revoke(&mut self) {
        if self.books.purchases() == 0 {
            return;
        }
        let dice = &self.premises.dice;
        let token_id = self.books.purchase(dice.index(self.books.purchases())).token_id;
        let process = self.process_at(dice.one_of(&self.ready()));
        let books = self.books.clone();
        self.premises.story.count("token revoked");
        self.spawn(Some(process.number), None, async move {
            if process.revoke(token_id).await {
                books.revoked(token_id);
            }
        });
    }

    /// The weather clears, everything under way ends, and so do reservations that nobody ended.
    fn wind_up(&mut self) -> Result<(), String> {
        self.premises.story.tell(|| "the weather clears".to_owned());
        self.premises.store.set_weather(Weather::default());
        self.premises.node.set_trouble(0);
        for place in 0..self.places.len() {
            if self.places[place].process.is_none() {
                self.start(place);
            }
        }
        self.come_to_rest()
    }

    fn come_to_rest(&mut self) -> Result<(), String> {
        for _ in 0..STEPS_MAX {
            if self.is_quiet() {
                if self.premises.store.rows().open.is_empty() {
                    return Ok(());
                }
                self.premises.story.count("swept in the end");
                self.pass(1_000);
                for place in self.ready() {
                    let process = self.process_at(place);
                    self.spawn(Some(process.number), None, process.keep());
                }
            }
            for index in (0..self.tasks.len()).rev() {
                self.work(index);
            }
            self.premises.store.advance();
            if self.step.is_multiple_of(STEPS_PER_SEC) {
                self.pass(1);
            }
            self.check()?;
        }
        Err("the world does not come to rest".to_owned())
    }

    /// What a token has left can be spent, to its last unit and no further.
    fn spend_the_rest(&mut self) -> Result<(), String> {
        let fixed = self.premises.tariff.fixed;
        for index in 0..self.books.purchases() {
            let purchase = self.books.purchase(index);
            let account = self.premises.store.rows().accounts.get(&purchase.account).cloned();
            let Some(account) = account.filter(|account| !account.is_revoked) else { continue };
            let pays_for = account.balance.get() / fixed;
            if pays_for > LAST_VISITS_MAX {
                continue;
            }
            for number in 0..=pays_for {
                let place = self.ready()[0];
                let (visit, shown) = self.crowd.last_visit(index);
                let visit_number = visit.number;
                self.visit(place, visit, shown);
                self.come_to_rest()?;
                let was_served = self.books.page(visit_number).is_some_and(|page| page.whole == Some(fixed));
                if was_served != (number < pays_for) {
                    return Err(format!(
                        "p{index} pays for {pays_for} requests, and number {number} was not so"
                    ));
                }
            }
            self.premises.story.count("spent to the last unit");
            return Ok(());
        }
        Ok(())
    }

    fn is_quiet(&self) -> bool {
        self.tasks.is_empty() && self.premises.store.is_idle()
    }

    /// Places whose gateway takes requests.
    fn ready(&self) -> Vec<usize> {
        let is_ready =
            |index: &usize| self.places[*index].process.as_ref().is_some_and(|process| process.is_ready());
        (0..self.places.len()).filter(is_ready).collect()
    }

    fn process_at(&self, place: usize) -> Arc<Process> {
        Arc::clone(self.places[place].process.as_ref().unwrap())
    }
}

/// A wallet pays for an offer, until its preimage is the right one.
async fn buy(node: Arc<Node>, books: Books, offer: Offer) {
    for _ in 0..3 {
        let Some(preimage) = node.pay(&offer.invoice).await else { return };
        if preimage.payment_hash() == offer.invoice.payment_hash() {
            return books.pay(offer, preimage);
        }
    }
}

fn keys(dice: &Dice) -> Arc<KeyRing> {
    Arc::new(KeyRing::new(&KeyFile::generate(BEGIN, &mut |bytes: &mut [u8]| dice.fill(bytes))))
}
