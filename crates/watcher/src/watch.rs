//! The loop: ask, take up what is new, publish, drain, say ready; then sleep until the next of these is due.
//!
//! Order matters in one place: a notice is published before its drain begins, because the replacement takes longest.

use crate::credentials::Purse;
use crate::drain::{End, Running};
use crate::http::Trouble;
use crate::imds::{Imds, ImdsTrouble};
use crate::json::{Strings, quote};
use crate::log::{self, States};
use crate::marks::Marks;
use crate::message::{Identity, Kind, Message};
use crate::ready::{Readiness, Verdict, uptime_seconds};
use crate::settings::Settings;
use crate::sns::{Refusal, Sns, system_resolve};
use crate::time::{Clock, Epoch};
use ring::rand::{SecureRandom, SystemRandom};
use std::time::{Duration, Instant};

/// A notice this far in the past is left over from before a stop, or from a termination that EC2 did not carry out.
const STALE_SECONDS: i64 = 300;
/// The stated time is approximate: a notice whose time moves by less is the same notice.
const SAME_NOTICE_SECONDS: i64 = 300;
/// The first retry of anything; each further one waits twice as long.
const RETRY_MIN: Duration = Duration::from_millis(200);
/// The longest wait between retries of something that worked before or that is urgent.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Between looks for a metadata service that has never answered, once it had two minutes to come up.
const RETRY_HOPELESS: Duration = Duration::from_secs(60);
const HOPELESS_AFTER: Duration = Duration::from_secs(120);
/// Between attempts at what only a change of somebody's policy can allow.
const RETRY_DENIED: Duration = Duration::from_secs(20);
/// Between looks at the age of the credentials, and at an instance that has no role.
const CREDENTIALS_EVERY: Duration = Duration::from_secs(60);
/// How long a message without a time of its own is worth sending.
const MESSAGE_LIFE: Duration = Duration::from_secs(3_600);
/// A drain waits for the first attempt to publish, but not longer than one attempt may take.
const DRAIN_WAIT: Duration = Duration::from_secs(5);
/// However late a notice is seen, the drain command gets this long before TERM.
const DRAIN_MIN: Duration = Duration::from_secs(2);
/// Between looks at a command that runs.
const COMMAND_EVERY: Duration = Duration::from_millis(100);
/// Events of one process life that are remembered as taken up; the marks remember more.
const TAKEN_MAX: usize = 32;
/// Messages that wait to be accepted; beyond that the last is given up.
const OUTBOX_MAX: usize = 16;

/// Watches until there is nothing to watch. Returns only on an instance that is not spot.
pub fn run(settings: Settings) {
    harden(settings.pin_memory);
    let mut watch = Watch::new(settings);
    log::line(&watch.greeting());
    while let Next::At(next) = watch.turn() {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    log::line("not a spot instance: nothing to watch");
}

/// Keeps the credentials out of core dumps and the code in memory. Neither is worth stopping for.
fn harden(pin_memory: bool) {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if pin_memory {
        pin();
    }
}

/// Under memory pressure the TLS code must not have to be read from disk when the notice comes. Pages are pinned as they are
/// touched. Mappings to come are left alone: with a limit on locked memory they would fail, and that would end the process.
fn pin() {
    use rustix::mm::{MlockAllFlags, mlockall};
    let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::ONFAULT);
}

enum Next {
    At(Instant),
    Leave,
}

/// Something to ask again and again.
struct Poll {
    next: Instant,
    failures: u32,
}

impl Poll {
    fn now() -> Self {
        Self { next: Instant::now(), failures: 0 }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.next <= now
    }

    fn well(&mut self, again_in: Duration) {
        self.failures = 0;
        self.next = Instant::now() + again_in;
    }
}

/// What happened to this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    what: What,
    /// EC2's word; `rebalance` and `terminated` for the other two.
    action: String,
    time: Option<Epoch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Interruption,
    Rebalance,
    Terminated,
}

impl Event {
    /// The beginning of the names of this event's marks. Time first, so that names sort by age.
    fn key(&self) -> String {
        format!("{}.{}", self.time.map_or_else(|| "once".to_owned(), Epoch::to_basic), self.action)
    }

    fn word(&self) -> &'static str {
        match self.what {
            What::Interruption => "interruption",
            What::Rebalance => "rebalance",
            What::Terminated => "terminated",
        }
    }
}

/// A message on its way.
struct Letter {
    kind: Kind,
    action: String,
    time: Option<Epoch>,
    result: Option<&'static str>,
    seen: Epoch,
    /// Set when it was accepted.
    mark: String,
    next: Instant,
    give_up: Instant,
    attempts: u32,
}

/// A drain that is to begin.
struct Planned {
    event: Event,
    /// The message that goes first.
    after: String,
    not_later: Instant,
}

/// A drain that has begun.
struct Drain {
    way: Way,
    /// All events that it serves.
    events: Vec<Event>,
}

enum Way {
    Command(Running),
    /// Somebody else acts on notice.json, and may tell us by a file `drained`.
    File {
        until: Instant,
    },
}

struct Watch {
    settings: Settings,
    clock: Clock,
    imds: Imds,
    purse: Purse,
    sns: Option<Sns>,
    marks: Marks,
    states: States,
    random: SystemRandom,
    who: Option<Identity>,
    is_spot: Option<bool>,
    target_state: Option<String>,
    has_answered: bool,
    began: Instant,
    service: Poll,
    action: Poll,
    start: Poll,
    rebalance: Poll,
    target: Poll,
    credentials: Poll,
    ready: Option<(Readiness, Instant)>,
    is_probed: bool,
    taken: Vec<String>,
    outbox: Vec<Letter>,
    planned: Vec<Planned>,
    drain: Option<Drain>,
}

impl Watch {
    fn new(settings: Settings) -> Self {
        let sns =
            settings.sns.clone().map(|sns| Sns::new(sns.topic, sns.endpoint, sns.proxy, sns.ca_bundle, system_resolve));
        let marks = Marks::open(&settings.state_directory);
        let was_ready = marks.get(READY_MARK).is_some();
        let ready = settings
            .ready
            .clone()
            .filter(|_| sns.is_some() && !was_ready)
            .map(|rule| (Readiness::new(rule), Instant::now()));
        Self {
            clock: Clock::default(),
            imds: Imds::new(settings.imds),
            purse: Purse::default(),
            sns,
            marks,
            states: States::default(),
            random: SystemRandom::new(),
            who: None,
            is_spot: None,
            target_state: None,
            has_answered: false,
            began: Instant::now(),
            service: Poll::now(),
            action: Poll::now(),
            start: Poll::now(),
            rebalance: Poll::now(),
            target: Poll::now(),
            credentials: Poll::now(),
            ready,
            is_probed: false,
            taken: Vec::new(),
            outbox: Vec::new(),
            planned: Vec::new(),
            drain: None,
            settings,
        }
    }

    fn greeting(&self) -> String {
        format!(
            "spotward-watcher {} asks {} every {} s; {}; {}",
            env!("CARGO_PKG_VERSION"),
            self.settings.imds,
            self.settings.action_every.as_secs(),
            if self.sns.is_some() { "publishes" } else { "publishes nothing (--topic none)" },
            if self.settings.hook.is_empty() { "no drain command" } else { "has a drain command" },
        )
    }

    /// Everything that is due, once.
    fn turn(&mut self) -> Next {
        self.ask();
        self.probe_once();
        self.post();
        self.look_at_drains();
        self.look_at_readiness();
        if self.is_spot == Some(false) && !self.settings.any_lifecycle && self.ready.is_none() && self.outbox.is_empty()
        {
            return Next::Leave;
        }
        Next::At(self.next())
    }

    /// The earliest moment at which something is due.
    fn next(&self) -> Instant {
        let now = Instant::now();
        let start = (self.who.is_none() || self.is_spot.is_none()).then_some(self.start.next);
        let credentials = self.sns.as_ref().map(|_| self.credentials.next);
        let polls =
            [self.action.next, self.rebalance.next, self.target.next].into_iter().chain(start).chain(credentials);
        let mut next = polls.min().unwrap_or(now).max(self.service.next);
        let letters = self.outbox[..self.sendable()].iter().map(|letter| letter.next);
        let plans = self.planned.iter().map(|planned| planned.not_later);
        let drain = self.drain.as_ref().map(|_| now + COMMAND_EVERY);
        let ready = self.ready.as_ref().map(|(_, next)| *next);
        for moment in letters.chain(plans).chain(drain).chain(ready) {
            next = next.min(moment);
        }
        next
    }

    /// The longer it fails, the longer the wait; with jitter, so that a fleet does not come back all at once.
    fn back_off(&self, failures: u32, max: Duration) -> Duration {
        let wait = RETRY_MIN.saturating_mul(1 << failures.clamp(1, 16).saturating_sub(1)).min(max);
        let mut byte = [0];
        let _ = self.random.fill(&mut byte);
        self.settings.paced(wait * (256 + u32::from(byte[0])) / 512)
    }
}

/// Asking the metadata service.
impl Watch {
    fn ask(&mut self) {
        let now = Instant::now();
        if self.service.is_due(now) {
            if let Err(trouble) = self.ask_all(now) {
                let is_hopeless = !self.has_answered && self.began.elapsed() > self.settings.paced(HOPELESS_AFTER);
                self.service.failures += 1;
                let wait = if is_hopeless {
                    self.settings.paced(RETRY_HOPELESS)
                } else {
                    self.back_off(self.service.failures, RETRY_MAX)
                };
                self.service.next = Instant::now() + wait;
                self.states.bad("metadata service", &format!("{} at {}", trouble, self.settings.imds));
            } else {
                self.service.failures = 0;
            }
        }
    }

    /// Asks what is due, the notice first. Ends early if the whole service is in trouble.
    fn ask_all(&mut self, now: Instant) -> Result<(), ImdsTrouble> {
        if self.action.is_due(now) {
            let asked = self.get("meta-data/spot/instance-action");
            let read = asked.and_then(|body| body.map(|text| read_action(&text)).transpose());
            let every = self.settings.action_every;
            if let Some(Some(event)) = self.settle("interruption notice", read, |watch| &mut watch.action, every)? {
                self.saw_interruption(event);
            }
        }
        if (self.who.is_none() || self.is_spot.is_none()) && self.start.is_due(now) {
            let asked = self.learn();
            self.settle("identity", asked, |watch| &mut watch.start, self.settings.other_every)?;
        }
        if self.rebalance.is_due(now) {
            let asked = self.get("meta-data/events/recommendations/rebalance");
            let read = asked.and_then(|body| body.map(|text| read_rebalance(&text)).transpose());
            let every = self.settings.other_every;
            if let Some(Some(event)) =
                self.settle("rebalance recommendation", read, |watch| &mut watch.rebalance, every)?
            {
                self.take_up(event);
            }
        }
        if self.target.is_due(now) {
            let asked = self.get("meta-data/autoscaling/target-lifecycle-state");
            if let Some(state) =
                self.settle("target state", asked, |watch| &mut watch.target, self.settings.other_every)?
            {
                self.target_state = state.map(|text| text.trim().to_owned());
                if self.settings.drains_on_terminated && self.target_state.as_deref() == Some("Terminated") {
                    self.take_up(Event { what: What::Terminated, action: "terminated".to_owned(), time: None });
                }
            }
        }
        if self.sns.is_some() && self.credentials.is_due(now) {
            self.refill_if_thin();
        }
        Ok(())
    }

    fn get(&mut self, item: &str) -> Result<Option<String>, ImdsTrouble> {
        self.imds.get(item, &mut self.clock)
    }

    /// Books an answer: when to ask again, and what to say. `None` if it was trouble of this item alone.
    fn settle<T>(
        &mut self,
        subject: &'static str,
        asked: Result<T, ImdsTrouble>,
        poll: fn(&mut Self) -> &mut Poll,
        every: Duration,
    ) -> Result<Option<T>, ImdsTrouble> {
        match asked {
            Ok(answer) => {
                self.has_answered = true;
                self.states.good("metadata service");
                self.states.good(subject);
                let again_in = self.settings.paced(every);
                poll(self).well(again_in);
                Ok(Some(answer))
            }
            Err(trouble) if trouble.is_whole_service => Err(trouble),
            Err(trouble) => {
                self.has_answered = true;
                self.states.bad(subject, &trouble.to_string());
                let failures = poll(self).failures + 1;
                let wait = self.back_off(failures, RETRY_MAX);
                let poll = poll(self);
                poll.failures = failures;
                poll.next = Instant::now() + wait;
                Ok(None)
            }
        }
    }

    /// Whether this is a spot instance, and who it is.
    fn learn(&mut self) -> Result<(), ImdsTrouble> {
        if self.is_spot.is_none() {
            // Absent on very old services: then it is worth watching.
            let life_cycle = self.get("meta-data/instance-life-cycle")?;
            self.is_spot = Some(life_cycle.is_none_or(|text| text.trim() == "spot"));
        }
        if self.who.is_none() {
            let document = self.get("dynamic/instance-identity/document")?;
            let who = document.as_deref().and_then(read_identity).ok_or(Trouble::Malformed("identity document"))?;
            self.who = Some(who);
        }
        Ok(())
    }

    fn refill_if_thin(&mut self) {
        if self.purse.is_thin(self.clock.now()) {
            self.refill();
        }
        let wait = self.settings.paced(CREDENTIALS_EVERY);
        self.credentials.well(wait);
    }

    /// True if there are other credentials than before.
    fn refill(&mut self) -> bool {
        let before = self.purse.held().map(|held| held.key_id.clone());
        match self.purse.refill(&mut self.imds, &mut self.clock) {
            Ok(()) => self.states.good("credentials"),
            Err(why) => self.states.bad("credentials", &why.to_string()),
        }
        self.purse.held().map(|held| &held.key_id) != before.as_ref()
    }
}

/// Taking up what was seen.
impl Watch {
    fn saw_interruption(&mut self, event: Event) {
        let Some(time) = event.time else { return };
        let left = time.0 - self.clock.now().0;
        if left < -STALE_SECONDS {
            return self
                .states
                .bad("interruption notice", &format!("its time {} is long past: ignored", time.to_iso()));
        }
        // The mark of the first sight counts, so that a time which moves a little does not make a second notice.
        let first_seen = self.marks.names().find_map(|name| {
            let (basic, action) = name.strip_suffix(".seen")?.split_once('.')?;
            let seen_time = Epoch::from_basic(basic)?;
            let is_same = action == event.action && (seen_time.0 - time.0).abs() < SAME_NOTICE_SECONDS;
            is_same.then_some(seen_time)
        });
        self.take_up(Event { time: Some(first_seen.unwrap_or(time)), ..event });
    }

    /// Once per process and event; the marks tell what an earlier process has done already.
    fn take_up(&mut self, event: Event) {
        let key = event.key();
        if self.taken.contains(&key) {
            return;
        }
        if self.taken.len() >= TAKEN_MAX {
            self.taken.remove(0);
        }
        self.taken.push(key.clone());
        let now = self.clock.now();
        let seen_mark = format!("{key}.seen");
        let seen = self.marks.get(&seen_mark).and_then(Epoch::from_iso).unwrap_or(now);
        if self.marks.get(&seen_mark).is_none() {
            self.marks.set(&seen_mark, &now.to_iso());
            log::line(&match (event.what, event.time) {
                (What::Interruption, Some(time)) => {
                    format!("interruption: {} at {}, {} s left", event.action, time.to_iso(), time.0 - now.0)
                }
                (_, Some(time)) => format!("{}: {}", event.word(), time.to_iso()),
                (_, None) => format!("{}: the group ends this instance", event.word()),
            });
        }
        let kind = match event.what {
            What::Interruption => Some(Kind::Interruption),
            What::Rebalance => Some(Kind::Rebalance),
            What::Terminated => None,
        };
        let mark = format!("{key}.published");
        if let Some(kind) = kind {
            let action = if kind == Kind::Interruption { event.action.clone() } else { String::new() };
            self.send(Letter { action, time: event.time, seen, ..self.letter(kind, mark.clone(), event.time) });
        }
        let drains = match event.what {
            What::Interruption => true,
            What::Rebalance => self.settings.drains_on_rebalance,
            What::Terminated => self.settings.drains_on_terminated,
        };
        if drains {
            self.resume_or_plan_drain(event, mark);
        }
    }

    fn letter(&self, kind: Kind, mark: String, time: Option<Epoch>) -> Letter {
        let now = self.clock.now();
        // After the instance's end nobody needs to hear of it; a recommendation has a time, but in the past.
        let life = match (kind, time) {
            (Kind::Interruption | Kind::Drained, Some(time)) if time > now => {
                Duration::from_secs((time.0 - now.0) as u64)
            }
            (Kind::Interruption, _) => Duration::ZERO,
            _ => MESSAGE_LIFE,
        };
        let at = Instant::now();
        Letter {
            kind,
            action: String::new(),
            time: None,
            result: None,
            seen: now,
            mark,
            next: at,
            give_up: at + life,
            attempts: 0,
        }
    }

    fn send(&mut self, letter: Letter) {
        if self.sns.is_none() || self.marks.get(&letter.mark).is_some() {
            return;
        }
        if self.outbox.len() >= OUTBOX_MAX {
            self.outbox.pop();
        }
        // The one that cannot wait goes first: an attempt takes seconds when SNS is away.
        let place = if letter.kind == Kind::Interruption { 0 } else { self.outbox.len() };
        self.outbox.insert(place, letter);
    }
}

/// Publishing.
impl Watch {
    /// Finds out on a quiet day whether the way to SNS is open.
    fn probe_once(&mut self) {
        if self.is_probed || !self.has_answered || !self.outbox.is_empty() {
            return;
        }
        self.is_probed = true;
        if let Some(Err(why)) = self.sns.as_mut().map(Sns::probe) {
            self.states
                .bad("publishing", &format!("{why}; this will be tried again when there is something to publish"));
        }
    }

    fn post(&mut self) {
        let mut at = 0;
        while at < self.sendable() {
            if self.outbox[at].next > Instant::now() {
                at += 1;
                continue;
            }
            match self.attempt(at) {
                Fate::Wait(wait) => {
                    let letter = &mut self.outbox[at];
                    letter.attempts += 1;
                    letter.next = Instant::now() + wait;
                    // At least one attempt is made however late it is.
                    if letter.next > letter.give_up {
                        let letter = self.outbox.remove(at);
                        log::line(&format!("{}: given up after {} attempts", letter.kind.word(), letter.attempts));
                    } else {
                        at += 1;
                    }
                }
                Fate::Done => {
                    self.outbox.remove(at);
                }
            }
        }
    }

    /// How many of the messages may go: while an interruption waits to be accepted, nothing overtakes it.
    fn sendable(&self) -> usize {
        let urgent = self.outbox.iter().take_while(|letter| letter.kind == Kind::Interruption).count();
        if urgent > 0 { urgent } else { self.outbox.len() }
    }

    fn attempt(&mut self, at: usize) -> Fate {
        let retry = |watch: &Self, why: &str| {
            let wait = watch.back_off(watch.outbox[at].attempts + 1, RETRY_MAX);
            (wait, why.to_owned())
        };
        // A refusal that is our own fault (clock, credentials) is put right and tried again at once, but not for ever.
        for _ in 0..3 {
            let Some(who) = self.who.clone() else {
                if self.learn().is_err() || self.who.is_none() {
                    let (wait, _) = retry(self, "");
                    return Fate::Wait(wait);
                }
                continue;
            };
            if self.purse.is_empty(self.clock.now()) {
                self.refill();
            }
            let (Some(credentials), Some(sns)) = (self.purse.held(), self.sns.as_mut()) else {
                let (wait, _) = retry(self, "");
                return Fate::Wait(wait);
            };
            let letter = &self.outbox[at];
            let message = Message {
                kind: letter.kind,
                instance: who.instance,
                region: who.region,
                account: who.account,
                action: letter.action.clone(),
                time: letter.time,
                boot: (letter.kind == Kind::Ready).then(boot_id),
                result: letter.result,
                seen: letter.seen,
            };
            let (wait, why) = match sns.publish(&message, credentials, &self.clock) {
                Ok(id) => {
                    self.states.good("publishing");
                    self.marks.set(&letter.mark, &id);
                    log::line(&format!("{}: published, MessageId {id}", letter.kind.word()));
                    if self.settings.pin_memory {
                        pin();
                    }
                    return Fate::Done;
                }
                Err(Refusal::ClockCorrected(why)) => {
                    self.states.bad("publishing", &format!("{why}; the clock is off, corrected"));
                    continue;
                }
                Err(Refusal::CredentialsStale(why)) => {
                    self.states.bad("publishing", &why);
                    if self.refill() {
                        continue;
                    }
                    retry(self, &why)
                }
                Err(Refusal::Later(why)) => retry(self, &why),
                Err(Refusal::Denied(why)) => (self.settings.paced(RETRY_DENIED), why),
                Err(Refusal::Never(why)) => {
                    log::line(&format!("{}: refused for good: {why}", message.kind.word()));
                    return Fate::Done;
                }
            };
            self.states.bad("publishing", &why);
            return Fate::Wait(wait);
        }
        Fate::Wait(self.back_off(self.outbox[at].attempts + 1, RETRY_MAX))
    }
}

enum Fate {
    Wait(Duration),
    Done,
}

/// Draining.
impl Watch {
    /// Never twice for one event: the mark is set before the command starts, so a crash between the two costs this drain, not a second one.
    fn resume_or_plan_drain(&mut self, event: Event, after: String) {
        let key = event.key();
        if let Some(note) = self.marks.get(&format!("{key}.drain")) {
            let until = self.drain_until(&event);
            if self.marks.get(&format!("{key}.end")).is_some() {
                return self.report_drain(&event);
            }
            let adopted = Running::adopt(note, until);
            match (&mut self.drain, adopted) {
                // One command may serve several events.
                (Some(Drain { way: Way::Command(_), events }), Some(_)) => events.push(event),
                (_, Some(running)) => self.drain = Some(Drain { way: Way::Command(running), events: vec![event] }),
                (_, None) if self.settings.hook.is_empty() => {
                    self.drain = Some(Drain { way: Way::File { until }, events: vec![event] })
                }
                (_, None) => self.drain_ended(&event, End::Unknown),
            }
            return;
        }
        self.planned.push(Planned { event, after, not_later: Instant::now() + DRAIN_WAIT });
    }

    fn drain_until(&self, event: &Event) -> Instant {
        let now = Instant::now();
        let time = match (event.what, event.time) {
            (What::Interruption, Some(time)) => {
                let left = Duration::from_secs((time.0 - self.clock.now().0).max(0) as u64);
                left.saturating_sub(self.settings.drain_margin)
            }
            _ => self.settings.drain_time,
        };
        now + time.max(DRAIN_MIN)
    }

    fn look_at_drains(&mut self) {
        if self.planned.is_empty() && self.drain.is_none() {
            return;
        }
        let now = Instant::now();
        let outbox = &self.outbox;
        let goes_now = |planned: &Planned| {
            // The message is gone, or was tried.
            let was_tried =
                outbox.iter().find(|letter| letter.mark == planned.after).is_none_or(|letter| letter.attempts > 0);
            was_tried || planned.not_later <= now
        };
        let (now_due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.planned).into_iter().partition(goes_now);
        self.planned = later;
        for planned in now_due {
            self.begin_drain(planned.event);
        }
        let Some(mut drain) = self.drain.take() else { return };
        let end = match &mut drain.way {
            Way::Command(running) => running.look(),
            Way::File { .. } if self.marks.exists("drained") => Some(End::Well),
            Way::File { until } if *until <= now => return,
            Way::File { .. } => None,
        };
        match end {
            None => self.drain = Some(drain),
            Some(end) => drain.events.iter().for_each(|event| self.drain_ended(event, end)),
        }
    }

    fn begin_drain(&mut self, event: Event) {
        let key = event.key();
        let until = self.drain_until(&event);
        let seconds = until.saturating_duration_since(Instant::now()).as_secs();
        self.write_notice(&event, seconds);
        if let Some(Drain { way: Way::Command(running), events }) = &mut self.drain {
            // The workload is draining already, for a recommendation perhaps: the same drain, but sooner.
            running.hurry(until);
            let note = running.note();
            events.push(event);
            self.marks.set(&format!("{key}.drain"), &note);
            return;
        }
        self.marks.set(&format!("{key}.drain"), "");
        if self.settings.hook.is_empty() {
            self.drain = Some(Drain { way: Way::File { until }, events: vec![event] });
            return;
        }
        let environment = [
            ("EVENT", event.word().to_owned()),
            ("ACTION", event.action.clone()),
            ("TIME", event.time.map(Epoch::to_iso).unwrap_or_default()),
            ("DEADLINE_S", seconds.to_string()),
        ];
        match Running::start(&self.settings.hook, &environment, until) {
            Ok(running) => {
                self.marks.set(&format!("{key}.drain"), &running.note());
                log::line(&format!("drain: begun, {seconds} s until TERM"));
                self.drain = Some(Drain { way: Way::Command(running), events: vec![event] });
            }
            Err(error) => {
                log::line(&format!("drain: {}: {error}", self.settings.hook[0]));
                self.drain_ended(&event, End::Badly(127));
            }
        }
    }

    /// For units of the owner that act without us: written whole, by rename.
    fn write_notice(&mut self, event: &Event, seconds: u64) {
        let drain_until = Epoch(self.clock.now().0 + seconds as i64);
        let mut text = "{\"v\":1".to_owned();
        let mut add = |key: &str, value: &str| {
            text.push_str(&format!(",\"{key}\":"));
            quote(value, &mut text);
        };
        add("event", event.word());
        add("action", &event.action);
        add("time", &event.time.map(Epoch::to_iso).unwrap_or_default());
        add("drain_until", &drain_until.to_iso());
        text.push_str("}\n");
        self.marks.write("notice.json", &text);
    }

    fn drain_ended(&mut self, event: &Event, end: End) {
        log::line(&match end {
            End::Well => "drain: ended well".to_owned(),
            End::Badly(status) => format!("drain: failed with status {status}"),
            End::Late => "drain: was not done in time, ended".to_owned(),
            End::Unknown => "drain: ended; its status was lost with an earlier run".to_owned(),
        });
        self.marks.set(&format!("{}.end", event.key()), end.word());
        self.report_drain(event);
    }

    fn report_drain(&mut self, event: &Event) {
        let key = event.key();
        let result = match self.marks.get(&format!("{key}.end")) {
            Some("ok") => "ok",
            Some("failed") => "failed",
            Some("late") => "late",
            Some(_) | None => "unknown",
        };
        let letter = self.letter(
            Kind::Drained,
            format!("{key}.reported"),
            event.time.filter(|_| event.what == What::Interruption),
        );
        self.send(Letter { action: event.action.clone(), time: event.time, result: Some(result), ..letter });
    }
}

/// Saying ready.
impl Watch {
    fn look_at_readiness(&mut self) {
        let Some((readiness, next)) = &mut self.ready else { return };
        let now = Instant::now();
        if *next > now {
            return;
        }
        match readiness.look(self.target_state.as_deref(), uptime_seconds()) {
            Verdict::Asking => *next = now + COMMAND_EVERY,
            Verdict::NotYet(why) => {
                *next = now + self.settings.other_every / self.settings.pace;
                self.states.bad("not ready", &why);
            }
            Verdict::Ready => {
                self.ready = None;
                self.states.good("not ready");
                let letter = self.letter(Kind::Ready, READY_MARK.to_owned(), None);
                self.send(letter);
            }
        }
    }
}

const READY_MARK: &str = "ready.published";

/// One word per boot: a restart of the watcher says the same, a restart of the machine does not.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn read_action(text: &str) -> Result<Event, ImdsTrouble> {
    let read = || {
        let notice = Strings::read(text)?;
        // Part of a file name and of messages: EC2's words are lower case.
        let is_word = |word: &&str| {
            (1..=32).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        };
        let action = notice.get("action").filter(is_word)?.to_owned();
        Some(Event { what: What::Interruption, action, time: Some(Epoch::from_iso(notice.get("time")?)?) })
    };
    read().ok_or_else(|| Trouble::Malformed("interruption notice").into())
}

fn read_rebalance(text: &str) -> Result<Event, ImdsTrouble> {
    let time = || Epoch::from_iso(Strings::read(text)?.get("noticeTime")?);
    let time = time().ok_or(Trouble::Malformed("rebalance recommendation"))?;
    Ok(Event { what: What::Rebalance, action: "rebalance".to_owned(), time: Some(time) })
}

fn read_identity(text: &str) -> Option<Identity> {
    let document = Strings::read(text)?;
    let word = |key: &str| {
        document
            .get(key)
            .filter(|value| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
            .map(str::to_owned)
    };
    Some(Identity { instance: word("instanceId")?, region: word("region")?, account: word("accountId")? })
}
