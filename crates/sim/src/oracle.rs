//! The promises, checked after every change. Written from the owner's point of view and from AWS's documents; it knows
//! nothing of how a swap is planned.
//!
//! A promise is judged *by our hand*: a change that others make (the owner, a scaling policy, EC2, the group itself) is
//! written into the owner's book, never held against us. One thing cannot be promised, because AWS has no
//! compare-and-swap: a foreign change that lands between our last look and our call. Such a *race* is counted, is
//! accepted only right after a fresh look, and has to be made good: the calm at the end still demands the owner's
//! numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use planner::model::{GroupName, InstanceId, LifecycleState, PurchaseOption, RunState, Tags, tag};

use crate::market;
use crate::region::{Ec2, FleetRequest, MINUTE, Ms, Origin, Region, SECOND, Seat, Source};
use crate::world::Api;

/// A replica may outlive its deadline by so many passes that got to see it: calls fail, EC2 takes its time. (Nothing
/// can be ended while no pass runs at all.)
const LATE_PASSES: u32 = 8;
/// So long after its deadline whatever is left is ended by the sweep, even if its group is out of reach.
const FORSAKEN: Ms = 60 * MINUTE;
/// In any hour a group sees at most so many launches of ours.
const LAUNCHES_PER_HOUR: usize = 40;
/// The saving that the default settings demand, in percent of the victim's on-demand price.
const MIN_SAVING_PERCENT: u64 = 10;

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// Healthy in-service capacity never falls below `min(desired, what it was)` by our hand.
    Capacity,
    /// Desired never falls below what the owner and his policies asked for, nor stays above it.
    Desired,
    /// The on-demand floor.
    Floor,
    /// At most one swap per group.
    OneSwap,
    /// At most one replica per victim.
    OneReplica,
    /// Every launched instance ends as a member or terminated, by its deadline.
    NothingForgotten,
    /// Settings and tags of the owner are his at rest.
    Settings,
    /// What must survive a crash is on AWS before the effect that it accounts for.
    JournalFirst,
    /// Where the owner waits for the watcher, nothing joins that has not said that it is ready.
    Ready,
    /// Groups that are not enabled, and instances that are not ours, see no mutating call.
    HandsOff,
    /// No pool above its budget, and nothing that cannot do the victim's work.
    Budget,
    /// Launches per hour are bounded.
    Rate,
    /// A protected member is not removed.
    Protection,
    /// When the weather calms, the group reaches its settled state.
    Liveness,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capacity => "never below desired by our hand",
            Self::Desired => "desired is the owner's",
            Self::Floor => "the on-demand floor",
            Self::OneSwap => "one swap per group",
            Self::OneReplica => "one replica per victim",
            Self::NothingForgotten => "nothing launched is forgotten",
            Self::Settings => "nobody's settings stay changed",
            Self::JournalFirst => "written before the effect",
            Self::Ready => "nothing joins before it is ready",
            Self::HandsOff => "what is not enabled is never touched",
            Self::Budget => "no pool above its budget",
            Self::Rate => "launches per hour are bounded",
            Self::Protection => "protected members stay",
            Self::Liveness => "calm weather ends in rest",
        })
    }
}

/// A promise that broke.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// How.
    pub what: String,
    /// When, in virtual milliseconds.
    pub at: Ms,
}

/// What the owner and his policies want of one group, with everything of ours left out.
#[derive(Clone, Debug)]
pub struct Book {
    pub desired: u32,
    pub min: u32,
    pub max: u32,
    pub suspended: BTreeSet<String>,
    pub tags: Tags,
    /// A relative change that hit our +1 leaves so many too many.
    pub surplus: u32,
    /// What was wanted before such a surplus became the number that counts: to go back to it is right, too.
    pub before_surplus: Option<u32>,
    /// A decrement of ours hit a foreign change; it has to be given back.
    pub raced: bool,
    /// Two workers at once left a setting changed.
    pub drifted: bool,
    /// One of two workers has given AZRebalance back while the other one's +1 stood: that reads as if it were settled.
    pub resumed_early: bool,
    /// The owner's MaxSize where a journal of ours was written against an older one.
    pub edited_max: Option<u32>,
    /// The owner has suspended AZRebalance himself where a journal of ours says that we did.
    pub edited_az: bool,
    /// Number of the latest change of desired by us.
    pub our_seq: u64,
    /// Desired as the last pass saw it that went by what it saw.
    pub seen_desired: u32,
    /// Foreign changes since then cancel each other out: nobody can see that there were any.
    pub hidden: bool,
    /// The owner's tools deleted our journal: what it accounted for may stay.
    pub journal_deleted: bool,
    ever_enabled: bool,
}

impl Book {
    /// The owner asks for us.
    pub fn enabled(&self) -> bool {
        self.tags.get("spot-enabled").map(String::as_str) == Some("true")
    }

    /// What the owner wants, within his own limits.
    pub fn wanted(&self) -> u32 {
        self.desired.max(self.min).min(self.max)
    }

    /// Members that the owner wants on-demand.
    pub fn floor(&self) -> u32 {
        let text = self.tags.get("spotward:min-on-demand").map_or("0", String::as_str);
        let number = match text.strip_suffix('%') {
            Some(percent) => (self.wanted() * percent.parse::<u32>().unwrap_or(0)).div_ceil(100),
            None => text.parse().unwrap_or(0),
        };
        self.wanted().min(number)
    }

    /// The tags changed.
    pub fn note_enabled(&mut self) {
        self.ever_enabled |= self.enabled();
    }
}

/// Numbers of a group right before and right after a call of ours.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    serving: u32,
    on_demand: u32,
    desired: u32,
    max: u32,
    suspended: BTreeSet<String>,
    journal: Option<String>,
}

/// Half a minute before its announced end an instance counts as gone: then it may leave by our hand, to be drained.
fn is_on_last_legs(region: &Region, id: &InstanceId) -> bool {
    let ends_at = region.ec2(id).and_then(|ec2| ec2.ends_at);
    ends_at.is_some_and(|ends_at| ends_at <= region.now + 30 * SECOND)
}

impl Facts {
    /// As they are, not as some read shows them.
    pub fn of(region: &Region, name: &GroupName) -> Self {
        let Some(group) = region.group(name) else { return Self::default() };
        let on_demand = group
            .seats
            .iter()
            .filter(|seat| seat.lifecycle == LifecycleState::InService)
            .filter(|seat| region.ec2(&seat.id).is_some_and(|ec2| ec2.purchase == PurchaseOption::OnDemand))
            .count();
        Self {
            serving: group
                .seats
                .iter()
                .filter(|seat| region.serves(group, seat) && !is_on_last_legs(region, &seat.id))
                .count() as u32,
            on_demand: on_demand as u32,
            desired: group.desired,
            max: group.max,
            suspended: group.suspended.clone(),
            journal: region.journal_text(name),
        }
    }
}

/// What a worker has read in its present pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Looks at a group.
    pub looks: u32,
    /// Number of the latest foreign change that the last look could show.
    pub seq: u64,
    /// Desired as the last look showed it.
    pub desired: u32,
}

/// A call of ours that has just had its effect.
pub struct Done<'a> {
    pub api: Api,
    pub worker: usize,
    pub group: &'a GroupName,
    pub subject: Option<&'a InstanceId>,
    pub before: &'a Facts,
    /// The subject, as it was.
    pub subject_before: Option<&'a Ec2>,
    pub protected: bool,
    /// Another worker is at it at the same time.
    pub two_workers: bool,
}

/// What is launched once at most.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Once {
    group: GroupName,
    victim: String,
    window: String,
    /// For a notice: each way to buy.
    purchase: Option<PurchaseOption>,
}

/// Watches the region.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    pub books: BTreeMap<GroupName, Book>,
    pub readings: Vec<Reading>,
    pub violation: Option<Violation>,
    /// Foreign changes between our look and our call.
    pub races: u64,
    /// Edits of MaxSize by the owner that a write of ours undid.
    pub overwritten: u64,
    /// Foreign changes of desired that cancelled each other out between two looks.
    pub hidden: u64,
    /// Journals that the owner's tools deleted together with the last note of what was changed.
    pub deletions: u64,
    /// Effects of one worker after the other had dropped the journal.
    pub drifts: u64,
    /// Calls that the role is not allowed to make.
    pub denied: u64,
    /// Relative foreign changes during a swap that left one instance too many.
    pub surpluses: u64,
    prices_seen: BTreeMap<usize, market::Pools>,
    launches: Vec<(Ms, Once)>,
    /// The journals that some replica has carried a copy of.
    copied: BTreeSet<String>,
    /// Passes that saw an instance past its deadline.
    late: BTreeMap<InstanceId, u32>,
    /// Everything is being taken back: nobody has to be replaced any more.
    pub winding_down: bool,
    /// Scale-outs that AWS capped at MaxSize because our +1 took the last place.
    pub swallowed: u64,
}

impl Oracle {
    /// Opens the books: what is there now is what the owner wants.
    pub fn open(&mut self, region: &Region) {
        for group in region.view.groups.values() {
            let mut book = Book {
                desired: group.desired,
                min: group.min,
                max: group.max,
                suspended: group.suspended.clone(),
                tags: group.tags.clone(),
                surplus: 0,
                before_surplus: None,
                raced: false,
                drifted: false,
                resumed_early: false,
                edited_max: None,
                edited_az: false,
                our_seq: 0,
                seen_desired: group.desired,
                hidden: false,
                journal_deleted: false,
                ever_enabled: false,
            };
            book.note_enabled();
            self.books.insert(group.name.clone(), book);
        }
    }

    /// Prices that we were told.
    pub fn note_market(&mut self, worker: usize, region: &Region) {
        self.prices_seen.insert(worker, region.pools.clone());
    }

    /// A pass has gone by what it saw: a number that it did not write down then, nobody has hidden from it. One that was
    /// cut short, or has no say over the group, could not, nor one that looked before.
    pub fn note_seen(&mut self, region: &Region, worker: usize, name: &GroupName, desired: u32) {
        let reading = self.readings.get(worker).copied().unwrap_or_default();
        if region.group(name).is_some_and(|group| group.disturbed > reading.seq) {
            return;
        }
        if let Some(book) = self.books.get_mut(name).filter(|book| book.our_seq < reading.seq) {
            book.hidden &= desired == book.seen_desired;
            book.seen_desired = desired;
        }
    }

    /// Records the first violation.
    pub fn object(&mut self, region: &Region, promise: Promise, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { promise, what: what(), at: region.now });
        }
    }

    /// A foreign change landed between the last look and this call. Calls that cannot be taken back are excused only
    /// after a second look in the same pass.
    fn raced(&mut self, region: &Region, done: &Done<'_>) -> bool {
        let reading = self.readings.get(done.worker).copied().unwrap_or_default();
        let disturbed = region.group(done.group).is_none_or(|group| group.disturbed > reading.seq);
        let looked = reading.looks >= if done.api.needs_fresh_look() { 2 } else { 1 };
        // With another worker at it at the same time: what that one has done since.
        let overtaken = done.two_workers && reading.desired != done.before.desired;
        let raced = (disturbed || overtaken) && looked;
        self.races += u64::from(raced);
        raced
    }

    /// Judges a call that has just had its effect.
    pub fn judge(&mut self, region: &Region, done: &Done<'_>) {
        if self.violation.is_some() {
            return;
        }
        let Some(book) = self.books.get(done.group).cloned() else { return };
        let after = Facts::of(region, done.group);
        if !book.ever_enabled {
            self.object(region, Promise::HandsOff, || format!("{:?} on {}", done.api, done.group));
            return;
        }
        self.capacity(region, done, &book, &after);
        self.floor(region, done, &book, &after);
        self.settings(region, done, &book, &after);
        self.strangers(region, done, &book);
        match done.api {
            // Attaching a member again changes nothing.
            Api::AttachInstances if after.desired > done.before.desired => {
                // Its copy counts where somebody has deleted the journal itself.
                let copy = || done.subject_before.and_then(|ec2| ec2.tags.get(tag::SWAP)).map(String::as_str);
                let journal = done.before.journal.as_deref().or_else(copy);
                let expected = journal.and_then(|journal| field(journal, "d")?.parse::<u32>().ok());
                let changed = expected.is_some_and(|expected| expected != done.before.desired);
                if (changed || done.before.journal.is_none())
                    && self.raced(region, done)
                    && let Some(book) = self.books.get_mut(done.group)
                {
                    // Somebody changed desired right before: our +1 can no longer be told from his number, and stays. Or
                    // deleted the journal: only the replica's copy knows of it.
                    book.surplus = book.surplus.max(after.desired.saturating_sub(book.desired));
                }
                // A look older than our own giving back: that says that the +1 is settled, and whatever becomes of the
                // replica, it stays.
                let suspends = journal.and_then(|journal| field(journal, "az")) == Some("1");
                if let Some(book) = self.books.get_mut(done.group)
                    && suspends
                    && !after.suspended.contains("AZRebalance")
                {
                    book.resumed_early = true;
                }
                self.one_swap(region, done);
                self.journal_first(region, done, |journal| {
                    done.subject.is_some_and(|id| field(journal, "in") == Some(id.as_str()))
                        && field(journal, "d") == Some(done.before.desired.to_string().as_str())
                });
            }
            Api::SuspendProcesses => self.journal_first(region, done, |journal| field(journal, "az") == Some("1")),
            Api::UpdateAutoScalingGroup if after.max > done.before.max => {
                let expected = format!("{}>{}", done.before.max, after.max);
                self.journal_first(region, done, |journal| field(journal, "max") == Some(expected.as_str()));
            }
            // The owner raised MaxSize himself, to the very number that we are about to call ours.
            Api::CreateOrUpdateTags | Api::CreateTags => {
                let role = |ec2: Option<&Ec2>| ec2.and_then(|ec2| ec2.tags.get(tag::ROLE).cloned());
                let now = done.subject.and_then(|id| region.ec2(id));
                if role(done.subject_before).as_deref() == Some("replica") && role(now).as_deref() == Some("member") {
                    self.kept_on_purpose(region, done);
                }
                // The copy on the replica comes first, and counts as much.
                let copy = done.subject.and_then(|id| region.ec2(id)?.tags.get(tag::SWAP));
                self.copied.extend(copy.cloned());
                self.copy_first(region, done, &after);
                let max = after.journal.as_deref().or(copy.map(String::as_str)).and_then(raised_max);
                if let Some((original, _)) = max
                    && original == after.max
                    && original != book.max
                    && (book.journal_deleted || book.drifted)
                    && let Some(book) = self.books.get_mut(done.group)
                {
                    // The owner's tools, or another worker, deleted the only note of a raise: nobody can tell it from his
                    // own value.
                    book.max = original;
                    self.deletions += 1;
                }
                let text = after.journal.as_deref().or(copy.map(String::as_str));
                let suspends = text.and_then(|journal| field(journal, "az")) == Some("1");
                if suspends
                    && book.suspended.contains("AZRebalance")
                    && (done.before.journal != after.journal || copy.is_some())
                    && self.raced(region, done)
                {
                    // The owner suspended it himself a moment ago, and it will be resumed with ours.
                    self.overwritten += 1;
                    if let Some(book) = self.books.get_mut(done.group) {
                        book.suspended.remove("AZRebalance");
                        book.edited_az = true;
                    }
                }
                if let Some((original, raised)) = max
                    && raised == book.max
                    && original != book.max
                    && (done.before.journal != after.journal || copy.is_some())
                    && self.raced(region, done)
                {
                    self.overwritten += 1;
                    if let Some(book) = self.books.get_mut(done.group) {
                        book.edited_max = Some(book.max);
                        book.max = original;
                    }
                }
            }
            Api::SetDesiredCapacity => {
                if after.desired < done.before.desired && self.raced(region, done) {
                    // He has set another number since we looked: it is lost, like any edit in that second.
                    self.overwritten += 1;
                    if let Some(book) = self.books.get_mut(done.group) {
                        book.desired = after.desired;
                    }
                }
                // Somebody else lowered desired by ending our victim or replica himself: on AWS that looks exactly like
                // our own decrement, and the unit that we give back is one too many.
                let foreign = shrunk_to(region, done.group, done.before.desired) || self.raced(region, done);
                if let Some(book) = self.books.get_mut(done.group).filter(|_| foreign) {
                    book.surplus = book.surplus.max(after.desired.saturating_sub(book.wanted()));
                }
            }
            Api::ResumeProcesses if done.two_workers && after.journal.is_some() => {
                if let Some(book) = self.books.get_mut(done.group).filter(|book| after.desired > book.wanted()) {
                    book.resumed_early = true;
                }
            }
            Api::DeleteGroupTags => {
                self.kept_on_purpose(region, done);
                // Decided before the other worker's Prepare, done after it.
                let left = after.max != book.max || after.suspended != book.suspended;
                if done.two_workers && left && self.drifted_now(region, done.group) {
                    self.drifts += 1;
                }
                // One of two workers has lost a unit in a race, and the other one drops the only proof of it.
                if done.two_workers
                    && let Some(book) = self.books.get_mut(done.group)
                    && book.raced
                {
                    book.desired = book.desired.min(after.desired);
                    book.raced = false;
                    self.drifts += 1;
                }
            }
            _ => {}
        }
        if after.desired != done.before.desired
            && let Some(book) = self.books.get_mut(done.group)
        {
            // What the worker believes: it has not seen a change in the second before its call.
            let seen = self.readings.get(done.worker).map_or(done.before.desired, |reading| reading.desired);
            book.seen_desired = (seen + after.desired).saturating_sub(done.before.desired);
            book.our_seq = region.view.seq;
        }
        self.closed(region, done.group);
    }

    fn capacity(&mut self, region: &Region, done: &Done<'_>, book: &Book, after: &Facts) {
        let before = done.before;
        if after.desired < before.desired && after.desired < book.wanted() && book.hidden {
            // Somebody changed desired and changed it back between two looks, and meant our +1 as his own. There is no
            // trace of it on AWS: counted, and said aloud in docs/safety.md.
            self.hidden += 1;
            if let Some(book) = self.books.get_mut(done.group) {
                book.desired = after.desired;
                book.hidden = false;
            }
            return;
        }
        // The surplus of a swap that is over is given back after all: a copy of its journal had survived.
        if before.desired == book.desired
            && after.desired < before.desired
            && book.before_surplus == Some(after.desired)
            && after.serving >= after.desired.min(before.serving)
            && let Some(book) = self.books.get_mut(done.group)
        {
            book.desired = after.desired;
            book.before_surplus = None;
            return;
        }
        if after.serving < before.serving
            && after.serving < book.wanted().min(before.serving)
            && !self.raced(region, done)
        {
            self.object(region, Promise::Capacity, || {
                format!(
                    "{:?}: {} serve after it, {} before, {} wanted",
                    done.api,
                    after.serving,
                    before.serving,
                    book.wanted()
                )
            });
        }
        if after.desired < before.desired && after.desired < book.wanted() {
            if self.raced(region, done) {
                if let Some(book) = self.books.get_mut(done.group) {
                    book.raced = true;
                }
            } else {
                self.object(region, Promise::Desired, || {
                    format!(
                        "{:?}: desired {} -> {}, the owner wants {}",
                        done.api,
                        before.desired,
                        after.desired,
                        book.wanted()
                    )
                });
            }
        }
        if after.desired > before.desired && after.desired > book.wanted() + 1 + book.surplus {
            if done.api == Api::SetDesiredCapacity && shrunk_to(region, done.group, before.desired) {
                // Judged below: a decrement by request is there to be given back, ours or not.
            } else if self.raced(region, done) {
                // Too many, never too few: it stays until somebody changes the number.
                if let Some(book) = self.books.get_mut(done.group) {
                    book.surplus = after.desired - book.wanted();
                }
            } else {
                self.object(region, Promise::Desired, || {
                    format!(
                        "{:?}: desired {} -> {}, the owner wants {}",
                        done.api,
                        before.desired,
                        after.desired,
                        book.wanted()
                    )
                });
            }
        }
    }

    fn floor(&mut self, region: &Region, done: &Done<'_>, book: &Book, after: &Facts) {
        // A swap that cannot be finished: what we brought goes again, and all is as it was before.
        if done.subject_before.and_then(|ec2| ec2.tags.get(tag::ROLE)).map(String::as_str) == Some("replica") {
            return;
        }
        let removed = after.on_demand < done.before.on_demand;
        if removed && after.on_demand < book.floor() && !self.raced(region, done) {
            self.object(region, Promise::Floor, || {
                format!("{:?}: {} on-demand members are left of a floor of {}", done.api, after.on_demand, book.floor())
            });
        }
    }

    fn settings(&mut self, region: &Region, done: &Done<'_>, book: &Book, after: &Facts) {
        let before = done.before;
        // The journal on the group, or a living copy of it, says what we may write.
        let says = |text: &str| raised_max(text) == Some((book.max, after.max));
        let told = || after.journal.as_deref().is_some_and(says) || copies(region).any(says);
        let strange = after.max != before.max && after.max != book.max && !told();
        // The owner has chosen the very number that a journal of ours names as raised: it is taken for ours.
        let taken_for_ours = |text: &str| raised_max(text) == Some((after.max, book.max));
        let taken = || before.journal.as_deref().is_some_and(taken_for_ours) || copies(region).any(taken_for_ours);
        if strange && taken() {
            self.overwritten += 1;
            if let Some(book) = self.books.get_mut(done.group) {
                book.max = after.max;
            }
        } else if strange {
            let by_two = done.two_workers && after.journal.is_none();
            if by_two {
                self.drifts += 1;
                self.drifted_now(region, done.group);
            }
            if self.raced(region, done) {
                // The owner's edit landed between our look and our write, and is lost: AWS has no compare-and-swap.
                // Counted, and said aloud in docs/safety.md.
                self.overwritten += 1;
                if let Some(book) = self.books.get_mut(done.group) {
                    // A raise that went ahead will be restored to what the journal calls the original.
                    let journal = before.journal.as_deref().or_else(|| copies(region).next());
                    let (original, raised) = journal.and_then(raised_max).unwrap_or((after.max, 0));
                    book.max = if after.max == raised { original } else { after.max };
                }
            } else if !by_two {
                self.object(region, Promise::Settings, || {
                    format!("{:?}: MaxSize {}, the owner's is {}", done.api, after.max, book.max)
                });
            }
        }
        let resumed: Vec<&String> =
            before.suspended.difference(&after.suspended).filter(|process| book.suspended.contains(*process)).collect();
        if !resumed.is_empty() && !self.raced(region, done) {
            self.object(region, Promise::Settings, || {
                format!("{:?} resumes {resumed:?}, which the owner suspended", done.api)
            });
        }
    }

    fn strangers(&mut self, region: &Region, done: &Done<'_>, book: &Book) {
        if done.api.starts_something() && !book.enabled() && !self.raced(region, done) {
            self.object(region, Promise::HandsOff, || {
                format!("{:?} on {}, which is not enabled any more", done.api, done.group)
            });
        }
        if done.protected && done.api.removes_a_member() && !self.raced(region, done) {
            self.object(region, Promise::Protection, || format!("{:?} removes a protected member", done.api));
        }
        if done.api == Api::TerminateInstances
            && let Some(ec2) = done.subject_before
            && !matches!(ec2.tags.get(tag::ROLE).map(String::as_str), Some("replica" | "doomed"))
        {
            self.object(region, Promise::HandsOff, || {
                format!("{:?} on {}, which is not ours to end", done.api, ec2.id)
            });
        }
    }

    fn one_swap(&mut self, region: &Region, done: &Done<'_>) {
        let Some(group) = region.group(done.group) else { return };
        let unfinished: Vec<&InstanceId> = group
            .seats
            .iter()
            .filter(|seat| matches!(seat.lifecycle, LifecycleState::Pending | LifecycleState::InService))
            .filter(|seat| {
                region.ec2(&seat.id).is_some_and(|ec2| ec2.tags.get(tag::ROLE).map(String::as_str) == Some("replica"))
            })
            .map(|seat| &seat.id)
            .collect();
        if unfinished.len() > 1 && !self.raced(region, done) {
            self.object(region, Promise::OneSwap, || format!("{unfinished:?} are attached at once"));
        }
    }

    fn journal_first(&mut self, region: &Region, done: &Done<'_>, accounts: impl Fn(&str) -> bool) {
        let written = done.before.journal.as_deref().is_some_and(&accounts);
        if written {
            return;
        }
        if done.two_workers {
            // The other worker has finished the swap since we looked. The queue is there so that this cannot happen;
            // without it a setting may stay changed, never capacity.
            self.drifts += 1;
            let desired = region.group(done.group).map_or(0, |group| group.desired);
            if let Some(book) = self.books.get_mut(done.group) {
                book.drifted = true;
                // An attach without a journal: nobody knows of its +1.
                book.surplus = book.surplus.max(desired.saturating_sub(book.wanted()));
            }
        } else if !self.raced(region, done) {
            self.object(region, Promise::JournalFirst, || {
                format!("{:?}, and the journal says {:?}", done.api, done.before.journal)
            });
        }
    }

    /// Whoever deletes the journal on the group must not take the only note of what was changed with it.
    fn copy_first(&mut self, region: &Region, done: &Done<'_>, after: &Facts) {
        let written = after.journal.as_ref().filter(|_| done.before.journal != after.journal);
        if let Some(journal) = written.filter(|journal| !self.copied.contains(*journal)) {
            self.object(region, Promise::JournalFirst, || format!("no replica carries a copy of {journal}"));
        }
    }

    /// The sweep is about to end an instance, outside any pass over a group: it has to be ours, past its deadline, and a
    /// member of nothing.
    pub fn judge_sweep(&mut self, region: &Region, id: &InstanceId) {
        let Some(ec2) = region.ec2(id).cloned().filter(|ec2| ec2.state.is_alive()) else { return };
        let role = ec2.tags.get(tag::ROLE).map(String::as_str);
        let due = ec2.tags.get(tag::DEADLINE).and_then(|text| text.parse::<Ms>().ok()).map(|seconds| seconds * SECOND);
        let over = due.is_some_and(|due| due + 5 * MINUTE <= region.now);
        let member_of = region.group_of(id);
        if !matches!(role, Some("replica" | "doomed")) || !over || member_of.is_some() {
            self.object(region, Promise::HandsOff, || format!("the sweep ends {id}, {role:?} of {member_of:?}"));
        }
    }

    /// A launch of ours has been made.
    pub fn judge_launch(
        &mut self,
        region: &Region,
        done: &Done<'_>,
        request: &FleetRequest<'_>,
        launched: &InstanceId,
    ) {
        let Some(ec2) = region.ec2(launched).cloned() else { return };
        let born_with = |key: &str| ec2.tags.get(key).filter(|value| !value.is_empty()).cloned();
        let (Some(role), Some(group), Some(victim), Some(deadline), Some(_)) = (
            born_with(tag::ROLE),
            born_with(tag::GROUP),
            born_with(tag::VICTIM),
            born_with(tag::DEADLINE),
            born_with(tag::STACK),
        ) else {
            return self
                .object(region, Promise::NothingForgotten, || format!("{launched} is born without all of our tags"));
        };
        let due = deadline.parse::<Ms>().map(|seconds| seconds * SECOND).unwrap_or(Ms::MAX);
        if role != "replica" || group != done.group.as_str() || due > region.now + 24 * 60 * MINUTE {
            return self.object(region, Promise::NothingForgotten, || {
                format!("{launched} is born as {role} of {group}, due {deadline}")
            });
        }
        self.budget(region, done, request);
        // Recommendations come again: their launches are told apart by their tokens, as EC2 does.
        let window = born_with(tag::WINDOW).filter(|window| window != "rebalance");
        let window = window.unwrap_or_else(|| request.token.to_owned());
        let alive = |ec2: &&std::rc::Rc<Ec2>| {
            ec2.state.is_alive()
                && ec2.tags.get(tag::ROLE).map(String::as_str) == Some("replica")
                && ec2.tags.get(tag::VICTIM) == Some(&victim)
                // A notice may find that a recommendation's replica is not to be seen yet, or its own that was bought
                // the other way: the second one is discarded.
                && (ec2.tags.get(tag::WINDOW).map(String::as_str) == Some("notice")) == (window == "notice")
                && (window != "notice" || ec2.purchase == request.purchase)
        };
        let twins: Vec<InstanceId> = region.view.instances.values().filter(alive).map(|ec2| ec2.id.clone()).collect();
        if twins.len() > 1 && !self.raced(region, done) {
            self.object(region, Promise::OneReplica, || format!("{twins:?} all stand in for {victim}"));
        }
        // No spot capacity, and then there is: EC2 knows the two requests of a notice as different ones.
        let purchase = (window == "notice").then_some(request.purchase);
        let once = Once { group: done.group.clone(), victim, window, purchase };
        if self.launches.iter().any(|(_, earlier)| *earlier == once) {
            self.object(region, Promise::OneReplica, || {
                format!("two launches for {} in window {}", once.victim, once.window)
            });
        }
        self.launches.push((region.now, once));
        let hour_ago = region.now - 60 * MINUTE;
        let recent = self.launches.iter().filter(|(at, once)| *at > hour_ago && once.group == *done.group).count();
        if recent > LAUNCHES_PER_HOUR {
            self.object(region, Promise::Rate, || format!("{recent} launches within an hour"));
        }
    }

    fn budget(&mut self, region: &Region, done: &Done<'_>, request: &FleetRequest<'_>) {
        let Some(group) = region.group(done.group) else { return };
        let model = match request.purchase {
            // An on-demand victim's type; the group's own where a spot member leaves, whose size the market chose.
            PurchaseOption::Spot => done
                .subject_before
                .filter(|ec2| ec2.purchase == PurchaseOption::OnDemand)
                .map_or_else(|| group.instance_type.clone(), |ec2| ec2.instance_type.clone()),
            PurchaseOption::OnDemand => group.instance_type.clone(),
        };
        let Some(full) = market::on_demand(&model) else { return };
        for (name, _) in &request.overrides {
            if !market::can_stand_in(&model, name) {
                return self.object(region, Promise::Budget, || format!("{name} cannot do the work of {model}"));
            }
            let seen = self.prices_seen.get(&done.worker).and_then(|pools| pools.spot(&request.zone, name));
            let too_dear = match request.purchase {
                PurchaseOption::Spot => seen.is_none_or(|price| price * 100 > full * (100 - MIN_SAVING_PERCENT)),
                PurchaseOption::OnDemand => false,
            };
            if too_dear {
                return self.object(region, Promise::Budget, || {
                    format!("{name} at {seen:?} in {} for a victim at {full}", request.zone)
                });
            }
        }
    }

    /// Notes that two workers at once left a setting changed.
    fn drifted_now(&mut self, region: &Region, name: &GroupName) -> bool {
        if region.journal_text(name).is_some() {
            return false;
        }
        self.books.get_mut(name).is_some_and(|book| !std::mem::replace(&mut book.drifted, true))
    }

    /// The owner protected the replica or its victim in the middle of the swap, or somebody shrank the group: both stay.
    fn kept_on_purpose(&mut self, region: &Region, done: &Done<'_>) {
        let Some(group) = region.group(done.group) else { return };
        let named = |key| done.before.journal.as_deref().and_then(|journal| field(journal, key));
        let (replica, victim) = (named("in"), named("out"));
        let protected = group
            .seats
            .iter()
            .any(|seat| seat.protected && (Some(seat.id.as_str()) == replica || Some(seat.id.as_str()) == victim));
        // Or whoever came in their place: nobody is left who may go.
        let protected = protected || group.seats.iter().all(|seat| seat.protected);
        // Somebody else shrank the group since: the +1 may be spent already, so nobody is removed for it.
        let written = done.before.journal.as_deref().and_then(|journal| field(journal, "t")?.parse::<Ms>().ok());
        let shrunk = group.activities.iter().any(|record| {
            !record.ours && record.shrank.is_some() && written.is_some_and(|at| record.started >= at * SECOND)
        });
        // Given up at its deadline: both stay.
        let late = written.is_some_and(|at| region.now > at * SECOND + 10 * MINUTE);
        // Or was when we looked.
        let reading = self.readings.get(done.worker).copied().unwrap_or_default();
        let disturbed = group.disturbed > reading.seq;
        let kept =
            |book: &&mut Book| protected || shrunk || late || disturbed || done.two_workers || book.resumed_early;
        if let Some(book) = self.books.get_mut(done.group).filter(kept) {
            book.surplus = book.surplus.max(group.desired.saturating_sub(book.wanted()).min(1));
        }
    }

    /// Nothing is in flight on the group: what is too many because of a race or a relative change in the middle of a
    /// swap was kept on purpose, and from now on it is the number that counts.
    fn closed(&mut self, region: &Region, name: &GroupName) {
        let Some(group) = region.group(name) else { return };
        let unfinished = group.seats.iter().any(|seat| {
            region.ec2(&seat.id).is_some_and(|ec2| {
                ec2.state.is_alive() && ec2.tags.get(tag::ROLE).map(String::as_str) == Some("replica")
            })
        });
        let Some(book) = self.books.get_mut(name) else { return };
        if unfinished || group.tags.contains_key(tag::SWAP) {
            return;
        }
        if group.desired == book.wanted() {
            book.desired = group.desired;
        }
        book.resumed_early = false;
        if book.surplus == 0 {
            return;
        }
        if group.desired > book.wanted() && group.desired <= book.wanted() + book.surplus {
            book.before_surplus = Some(book.desired);
            book.desired = group.desired;
            self.surpluses += 1;
        }
        book.surplus = 0;
    }

    /// After every pass: nothing of ours runs on past its deadline. `looked`: the pass got to see the group.
    pub fn look_around(&mut self, region: &Region, looked: bool) {
        let names: Vec<GroupName> = self.books.keys().cloned().collect();
        names.iter().for_each(|name| self.closed(region, name));
        for ec2 in region.view.instances.values() {
            let role = ec2.tags.get(tag::ROLE).map(String::as_str);
            let is_ours = match role {
                Some("replica") => ec2.ours,
                Some("doomed") => true,
                _ => false,
            };
            if !is_ours || !ec2.state.is_alive() || region.group_of(&ec2.id).is_some() {
                continue;
            }
            let due =
                ec2.tags.get(tag::DEADLINE).and_then(|text| text.parse::<Ms>().ok()).map(|seconds| seconds * SECOND);
            // Where the role may not touch the group any more, ending it is left to the sweep.
            let locked_out = |name: &String| {
                let name = GroupName::new(name.as_str());
                let enabled = self.books.get(&name).is_some_and(Book::enabled);
                !enabled && region.journal_text(&name).is_none()
            };
            let patience = if ec2.tags.get(tag::GROUP).is_some_and(locked_out) { FORSAKEN } else { 0 };
            if due.is_some_and(|due| region.now <= due + patience) {
                continue;
            }
            let late = self.late.entry(ec2.id.clone()).or_default();
            *late += u32::from(looked);
            if *late > LATE_PASSES {
                let id = ec2.id.clone();
                return self.object(region, Promise::NothingForgotten, || format!("{id} runs on past its deadline"));
            }
        }
    }

    /// What still speaks against calling the region settled. Empty: it is at rest.
    pub fn unrest(&self, region: &Region) -> Vec<(Promise, String)> {
        let mut unrest = Vec::new();
        for (name, book) in &self.books {
            let Some(group) = region.group(name) else { continue };
            let locked_out = !book.enabled() && self.denied > 0 && region.journal_text(name).is_none();
            let untold = !carriers(region).any(|ec2| is_found(region, ec2));
            let drift_allowed = ((book.journal_deleted || locked_out) && untold) || book.drifted;
            if group.tags.contains_key(tag::SWAP) {
                unrest.push((Promise::Settings, format!("{name} still carries a journal")));
            }
            if group.desired < book.wanted() {
                unrest.push((
                    Promise::Desired,
                    format!("{name}: desired is {}, the owner wants {}", group.desired, book.wanted()),
                ));
            }
            if group.desired > book.wanted() + book.surplus && !drift_allowed {
                unrest.push((
                    Promise::Desired,
                    format!("{name}: desired stays {}, the owner wants {}", group.desired, book.wanted()),
                ));
            }
            // An edit that a copy of a journal named as ours, and that nobody put back after all.
            let kept = book.edited_max == Some(group.max);
            if group.max != book.max && !kept && !drift_allowed {
                unrest.push((
                    Promise::Settings,
                    format!("{name}: MaxSize stays {}, the owner's is {}", group.max, book.max),
                ));
            }
            if group.min != book.min {
                unrest.push((
                    Promise::Settings,
                    format!("{name}: MinSize is {}, the owner's is {}", group.min, book.min),
                ));
            }
            let mut suspended = group.suspended.clone();
            if book.edited_az && !book.suspended.contains("AZRebalance") {
                suspended.remove("AZRebalance");
            }
            if suspended != book.suspended && !drift_allowed {
                unrest.push((
                    Promise::Settings,
                    format!("{name}: {:?} stay suspended, the owner's are {:?}", group.suspended, book.suspended),
                ));
            }
            let mut tags = group.tags.clone();
            tags.remove(tag::SWAP);
            tags.remove(tag::BACKOFF);
            if tags != book.tags {
                unrest.push((Promise::Settings, format!("{name}: tags {tags:?}, the owner's {:?}", book.tags)));
            }
            let serving = group.seats.iter().filter(|seat| region.serves(group, seat)).count() as u32;
            let free = group.seats.iter().any(|seat| !seat.protected);
            if serving < group.desired || serving > group.desired && free {
                unrest.push((Promise::Liveness, format!("{name}: {serving} of {} serve", group.desired)));
            }
            if book.enabled() && serving == group.desired && !self.winding_down {
                self.unswapped(region, name, book, &mut unrest);
            }
        }
        for ec2 in region.view.instances.values().filter(|ec2| ec2.state != RunState::Terminated) {
            match ec2.tags.get(tag::ROLE).map(String::as_str) {
                Some("replica") if ec2.ours => {
                    unrest.push((Promise::NothingForgotten, format!("{} is still a replica", ec2.id)));
                }
                Some("doomed") => unrest.push((Promise::NothingForgotten, format!("{} is still doomed", ec2.id))),
                _ => {}
            }
        }
        unrest
    }

    /// An enabled group is done when no on-demand member above the floor is left that could be replaced.
    fn unswapped(&self, region: &Region, name: &GroupName, book: &Book, unrest: &mut Vec<(Promise, String)>) {
        let Some(group) = region.group(name) else { return };
        let current = |origin: &Origin| match (&group.source, origin) {
            (Source::Template(_, current), Origin::Template(_, version)) => version == current,
            _ => true,
        };
        let setting = |key: &str| group.tags.get(key).map(String::as_str);
        let detaches = setting("spotward:removal") == Some("detach");
        // Whom nothing keeps from leaving: no protection, and with `detach` the tag that allows us to mark it.
        let free = |seat: &Seat, ec2: &Ec2| {
            let markable = !detaches || ec2.tags.get("spot-enabled").map(String::as_str) == Some("true");
            !seat.protected && !ec2.termination_protected && markable
        };
        let (mut on_demand, mut replaceable, mut spot_free) = (0_u32, 0_u32, 0_u32);
        for (seat, ec2) in group.seats.iter().filter_map(|seat| Some((seat, region.ec2(&seat.id)?))) {
            match ec2.purchase {
                PurchaseOption::OnDemand => {
                    on_demand += 1;
                    replaceable += u32::from(free(seat, ec2) && current(&seat.recorded));
                }
                PurchaseOption::Spot => spot_free += u32::from(free(seat, ec2)),
            }
        }
        let no_room = group.desired >= group.max && setting("spotward:on-max") == Some("skip");
        // Few pools, or a short life of the group's members, may forbid a swap for good.
        let cautious = setting("spotward:pool-loss") != Some("100%") || setting("spotward:payback") != Some("ignore");
        let unwilling = no_room
            || cautious
            || group.new_members_protected
            || (group.launch_hook && setting("spotward:readiness") != Some("watcher"))
            || group.refresh.is_some()
            || !group.scheduled.is_empty();
        // What nobody can tell from the owner's own numbers any more is what swaps go by.
        let drifted = (book.journal_deleted || book.drifted) && group.desired != book.wanted();
        if unwilling || drifted {
            return;
        }
        let surplus = replaceable.min(on_demand.saturating_sub(book.floor()));
        if surplus > 0 && group.desired > 0 {
            unrest.push((Promise::Liveness, format!("{name}: {surplus} on-demand members could still be replaced")));
        }
        if on_demand < book.floor() && spot_free > 0 {
            let floor = book.floor();
            unrest.push((Promise::Floor, format!("{name}: {on_demand} on-demand members for a floor of {floor}")));
        }
    }
}

/// An activity says that a member was ended by request, which lowered desired to `to`.
fn shrunk_to(region: &Region, name: &GroupName, to: u32) -> bool {
    region.group(name).is_some_and(|group| {
        group.activities.iter().any(|record| record.by_request && record.shrank.is_some_and(|(_, after)| after == to))
    })
}

/// MaxSize before and after, if the journal says that it is raised.
fn raised_max(journal: &str) -> Option<(u32, u32)> {
    let (original, raised) = field(journal, "max")?.split_once('>')?;
    Some((original.parse().ok()?, raised.parse().ok()?))
}

/// Copies of journals on living instances.
fn copies(region: &Region) -> impl Iterator<Item = &str> {
    carriers(region).map(|ec2| ec2.tags[tag::SWAP].as_str())
}

/// Living instances that carry one.
fn carriers(region: &Region) -> impl Iterator<Item = &Ec2> {
    let instances = region.view.instances.values().map(std::rc::Rc::as_ref);
    instances.filter(|ec2: &&Ec2| ec2.state.is_alive() && ec2.tags.contains_key(tag::SWAP))
}

/// A look finds members, and what was never called one. A former replica that its owner has detached is his.
fn is_found(region: &Region, ec2: &Ec2) -> bool {
    ec2.tags.get(tag::ROLE).map(String::as_str) != Some("member") || region.group_of(&ec2.id).is_some()
}

/// A field of a journal, by its documented format.
pub(crate) fn field<'a>(journal: &'a str, name: &str) -> Option<&'a str> {
    journal.split(';').filter_map(|part| part.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}
