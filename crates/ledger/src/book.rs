//! Lives of instances, put together from records: who was there from when until when, how it ended, and for whom it
//! stood in.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::prices::{PoolKey, Prices};
use crate::record::{Bought, Ended, Instance, Members, Record, Swapped, Why};

/// A group of a region.
pub type GroupKey = (String, String);

/// Everything that the records say.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// Every instance that cost something.
    pub lives: Vec<Life>,
    /// Swaps that were finished.
    pub swaps: Vec<Swapped>,
    /// Each group as it was seen last.
    pub latest: BTreeMap<GroupKey, Members>,
    /// The largest part of each group that was ever in one spot pool: so many of so many.
    pub worst: BTreeMap<GroupKey, (u32, u32)>,
    /// Prices that the records bring along.
    pub prices: Prices,
}

/// One instance, as long as the ledger has watched it.
#[derive(Clone, Debug)]
pub struct Life {
    /// Region.
    pub region: String,
    /// Group.
    pub group: String,
    /// It.
    pub instance: Instance,
    /// Costs from then on, as far as the ledger has watched.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
    /// How it ended; `None`: it lives.
    pub end: Option<End>,
    /// It has been a member.
    pub attached: bool,
    /// Of ours: since when the one that it stands in for costs nothing any more. Until then it costs on top.
    pub takes_over: Option<Timestamp>,
}

/// An end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub why: Why,
    /// So long after `until` it was missed, and nobody knows when it ended.
    pub unsure: SignedDuration,
}

impl Life {
    /// Launched by us in place of another.
    pub fn is_ours(&self) -> bool {
        self.instance.victim.is_some()
    }

    /// Where it is bought.
    pub fn pool(&self) -> PoolKey {
        PoolKey::of(&self.instance, &self.region)
    }

    /// Where the one that it stands in for would be bought, at the list price.
    pub fn listed(&self) -> Option<PoolKey> {
        self.instance.stands_for.as_ref().map(|kind| self.pool().listed(kind))
    }
}

/// One instance while the records are read.
struct Draft {
    instance: Instance,
    first: Timestamp,
    last: Timestamp,
    absent: Option<Timestamp>,
    attached: bool,
    ended: Option<Ended>,
}

#[derive(Default)]
struct Sheet {
    /// Nothing is known of the time before.
    begins: Option<Timestamp>,
    drafts: BTreeMap<String, Draft>,
    /// Who was there in the last record.
    present: BTreeSet<String>,
    /// Who replaces whom, as the journal said: it knows better than the tag of the launch.
    victims: BTreeMap<String, Instance>,
    /// Whose end was announced when it was removed: EC2 would have taken it back.
    taken_back: BTreeSet<String>,
}

impl Book {
    /// Puts the records in order and together.
    pub fn of(records: impl IntoIterator<Item = Record>) -> Book {
        let mut records: Vec<Record> = records.into_iter().collect();
        records.sort_by_key(Record::at);
        let mut book = Book::default();
        let mut sheets: BTreeMap<GroupKey, Sheet> = BTreeMap::new();
        for record in records {
            match record {
                Record::Price(price) => book.prices.add_record(&price),
                Record::Members(members) => {
                    let key = (members.region.clone(), members.group.clone());
                    sheets.entry(key.clone()).or_default().members(&members);
                    book.note_worst(&key, &members);
                    book.latest.insert(key, members);
                }
                Record::Ended(ended) => {
                    let key = (ended.region.clone(), ended.group.clone());
                    sheets.entry(key).or_default().ended(ended);
                }
                Record::Swap(swap) => {
                    let key = (swap.region.clone(), swap.group.clone());
                    sheets.entry(key).or_default().swapped(&swap);
                    // Two processes, or an export of two overlapping times, may tell of the same one.
                    if !book
                        .swaps
                        .iter()
                        .rev()
                        .take(1000)
                        .any(|known| known.swap == swap.swap && known.replica.id == swap.replica.id)
                    {
                        book.swaps.push(swap);
                    }
                }
            }
        }
        for ((region, group), sheet) in sheets {
            book.lives.extend(sheet.lives(&region, &group));
        }
        book
    }

    fn note_worst(&mut self, key: &GroupKey, members: &Members) {
        let (now, of) = largest_pool(members);
        let worst = self.worst.entry(key.clone()).or_insert((now, of));
        // As fractions, without dividing by an empty group.
        if u64::from(now) * u64::from(worst.1) > u64::from(worst.0) * u64::from(of) || worst.1 == 0 {
            *worst = (now, of);
        }
    }

    /// What was seen first and last.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let from = self.lives.iter().map(|life| life.from).min()?;
        let until =
            self.latest.values().map(|members| members.at).chain(self.lives.iter().map(|life| life.until)).max()?;
        Some((from, until))
    }

    /// Every price that an account needs, with the time from which on.
    pub fn wanted(&self) -> BTreeMap<PoolKey, Timestamp> {
        let mut wanted: BTreeMap<PoolKey, Timestamp> = BTreeMap::new();
        let mut want = |pool: PoolKey, from: Timestamp| {
            let since = wanted.entry(pool).or_insert(from);
            *since = (*since).min(from);
        };
        for life in &self.lives {
            let pool = life.pool();
            want(pool.listed(&pool.kind), life.from);
            life.listed().into_iter().for_each(|listed| want(listed, life.from));
            want(pool, life.from);
        }
        wanted
    }
}

/// Members in the largest spot pool of a group, and members in all.
pub fn largest_pool(members: &Members) -> (u32, u32) {
    let mut pools: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let inside = || members.members.iter().filter(|instance| !instance.outside);
    for instance in inside().filter(|instance| instance.bought == Bought::Spot) {
        *pools.entry((&instance.kind, &instance.zone)).or_default() += 1;
    }
    (pools.into_values().max().unwrap_or(0), inside().count() as u32)
}

impl Sheet {
    fn members(&mut self, members: &Members) {
        let at = members.at;
        self.begins.get_or_insert(at);
        let listed: BTreeSet<&str> = members.members.iter().map(|instance| instance.id.as_str()).collect();
        for id in std::mem::take(&mut self.present).into_iter().filter(|id| !listed.contains(id.as_str())) {
            let Some(draft) = self.drafts.get_mut(&id) else { continue };
            draft.absent.get_or_insert(at);
            // The process that wrote this had seen it until then.
            if let Some(before) = members.before {
                draft.last = draft.last.max(before);
            }
        }
        for instance in &members.members {
            self.see(instance, at);
        }
    }

    fn see(&mut self, instance: &Instance, at: Timestamp) {
        let draft = self.drafts.entry(instance.id.clone()).or_insert_with(|| Draft {
            instance: instance.clone(),
            first: at,
            last: at,
            absent: None,
            attached: false,
            ended: None,
        });
        draft.first = draft.first.min(at);
        draft.last = draft.last.max(at);
        draft.absent = draft.absent.filter(|absent| *absent > at);
        draft.attached |= !instance.outside;
        if !self.present.contains(&instance.id) {
            self.present.insert(instance.id.clone());
        }
        // What a tag said once stays so, even if a later look came before EC2 showed it, or after it was overwritten.
        let known = &mut draft.instance;
        known.victim = known.victim.take().or_else(|| instance.victim.clone());
        known.stands_for = known.stands_for.take().or_else(|| instance.stands_for.clone());
        known.bid = known.bid.or(instance.bid);
    }

    fn ended(&mut self, ended: Ended) {
        let (seen, instance) = (ended.seen, ended.instance.clone());
        let draft = self.drafts.entry(instance.id.clone()).or_insert_with(|| Draft {
            attached: !instance.outside,
            instance,
            first: seen,
            last: seen,
            absent: None,
            ended: None,
        });
        draft.last = draft.last.max(seen);
        draft.absent = Some(draft.absent.map_or(ended.at, |absent| absent.min(ended.at)));
        draft.attached |= !ended.instance.outside;
        // Told twice: the one that knows more.
        if draft.ended.as_ref().is_none_or(|known| known.ended.is_none() && known.why != Why::Interrupted) {
            draft.ended = Some(ended);
        }
    }

    fn swapped(&mut self, swap: &Swapped) {
        self.begins.get_or_insert(swap.at);
        self.see(&swap.victim, swap.at);
        self.see(&swap.replica, swap.at);
        self.victims.insert(swap.replica.id.clone(), swap.victim.clone());
        if swap.notice {
            self.taken_back.insert(swap.victim.id.clone());
        }
    }

    fn lives(mut self, region: &str, group: &str) -> Vec<Life> {
        let begins = self.begins.unwrap_or(Timestamp::UNIX_EPOCH);
        // The type of a victim that the tag does not name may be known from its own record.
        let kinds: BTreeMap<String, String> =
            self.drafts.values().map(|draft| (draft.instance.id.clone(), draft.instance.kind.clone())).collect();
        for draft in self.drafts.values_mut() {
            let instance = &mut draft.instance;
            if let Some(victim) = self.victims.get(&instance.id) {
                instance.victim = Some(victim.id.clone());
                instance.stands_for = Some(victim.stands_for.clone().unwrap_or_else(|| victim.kind.clone()));
            }
            if instance.stands_for.is_none() {
                instance.stands_for = instance.victim.as_ref().and_then(|victim| kinds.get(victim)).cloned();
            }
        }
        self.drafts.values().map(|draft| self.life(draft, begins, region, group)).collect()
    }

    fn life(&self, draft: &Draft, begins: Timestamp, region: &str, group: &str) -> Life {
        let (until, mut end) = draft.end();
        if let Some(end) = end.as_mut().filter(|_| self.taken_back.contains(&draft.instance.id)) {
            end.why = Why::Interrupted;
        }
        let takes_over = draft.instance.victim.as_ref().and_then(|victim| match self.drafts.get(victim) {
            // Gone before anybody watched.
            None => Some(begins),
            Some(victim) => victim.gone(),
        });
        let from = draft.instance.launched.max(begins);
        Life {
            region: region.to_owned(),
            group: group.to_owned(),
            instance: draft.instance.clone(),
            from,
            until: until.max(from),
            end,
            attached: draft.attached,
            takes_over,
        }
    }
}

impl Draft {
    /// When its bill ends, as far as that is known: an end that nobody saw is taken to be the last sight of it.
    fn end(&self) -> (Timestamp, Option<End>) {
        let sure = SignedDuration::ZERO;
        match (&self.ended, self.absent) {
            (Some(Ended { ended: Some(ended), why, .. }), _) => (*ended, Some(End { why: *why, unsure: sure })),
            (Some(Ended { why: why @ Why::Left, at, .. }), _) => (*at, Some(End { why: *why, unsure: sure })),
            (Some(ended), absent) => {
                let missed = absent.unwrap_or(ended.at);
                (self.last, Some(End { why: ended.why, unsure: missed.duration_since(self.last) }))
            }
            (None, Some(absent)) => {
                (self.last, Some(End { why: Why::Unknown, unsure: absent.duration_since(self.last) }))
            }
            (None, None) => (self.last, None),
        }
    }

    /// From when on it surely costs nothing any more.
    fn gone(&self) -> Option<Timestamp> {
        match &self.ended {
            Some(Ended { ended: Some(ended), .. }) => Some(*ended),
            Some(Ended { at, .. }) => Some(self.absent.unwrap_or(*at)),
            None => self.absent,
        }
    }
}
