//! What a look in bulk adds to the ledger: nothing, if nobody came or went and the hour is not over.
//!
//! What is remembered from look to look only saves lines. Whoever forgets it, a new process for instance, writes
//! everybody down once more; a record that is written twice counts once.

use std::collections::BTreeMap;

use engine::{Look, Pass, view};
use jiff::{SignedDuration, Timestamp};
use planner::model::{Ec2Facts, GroupName, InstanceId, Member, Platform, Price, Provenance, Replica, Role};

use crate::record::{Bought, Ended, Instance, Members, Record, Swapped, Why};

/// Every group is written down so often even if nothing changes: what a report can miss at either end of its time.
pub const REPEAT: SignedDuration = SignedDuration::from_hours(1);
/// A look is never exactly an hour after the last.
const SLACK: SignedDuration = SignedDuration::from_secs(30);
/// EC2 shows the dead for about an hour.
const ASKED: SignedDuration = SignedDuration::from_hours(2);
/// An end that EC2 does not tell by then is not told any more.
const PATIENCE: SignedDuration = SignedDuration::from_mins(30);

/// Whose lines these are.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Region.
    pub region: &'a str,
    /// Deployment.
    pub stack: &'a str,
}

/// What the last look showed.
#[derive(Debug, Default)]
pub struct Keeper {
    groups: BTreeMap<GroupName, Kept>,
    gone: Vec<Gone>,
    /// Whose end was told, and when: the dead are shown again and again.
    told: BTreeMap<String, Timestamp>,
}

#[derive(Debug)]
struct Kept {
    there: BTreeMap<String, Instance>,
    looked: Timestamp,
    written: Timestamp,
}

#[derive(Debug)]
struct Gone {
    group: GroupName,
    instance: Instance,
    seen: Timestamp,
    missed: Timestamp,
}

/// What EC2 says about the end of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// When it stopped costing, if EC2 says so.
    pub at: Option<Timestamp>,
    /// Why.
    pub why: Why,
}

impl Keeper {
    /// The records that this look adds. `platform` says what an instance is billed as, if it was shown.
    pub fn look(
        &mut self,
        looks: &[Look],
        place: Place<'_>,
        platform: impl Fn(&InstanceId) -> Option<String>,
    ) -> Vec<Record> {
        let mut records = Vec::new();
        for Look { observation, .. } in looks {
            let (group, now) = (&observation.group, observation.now);
            self.told.retain(|_, told| now.duration_since(*told) < ASKED);
            let kept = self.groups.get(&group.name);
            let mut there: BTreeMap<String, Instance> = BTreeMap::new();
            let mut dead: Vec<Instance> = Vec::new();
            let mut note = |instance: Instance, alive: bool| match alive {
                true => drop(there.insert(instance.id.clone(), instance)),
                false => dead.push(instance),
            };
            for member in &group.members {
                let known = kept.and_then(|kept| kept.there.get(member.id.as_str()));
                match &member.ec2 {
                    Some(facts) => note(of_member(member, facts, place, &platform), facts.state.is_alive()),
                    // Not shown is not gone.
                    None => known.into_iter().for_each(|known| note(known.clone(), true)),
                }
            }
            for replica in &group.replicas {
                note(of_replica(replica, place, &platform), replica.state.is_alive());
            }
            let before = kept.map(|kept| kept.looked);
            for instance in kept.iter().flat_map(|kept| kept.there.values()) {
                if !there.contains_key(&instance.id) && !self.told.contains_key(&instance.id) {
                    self.told.insert(instance.id.clone(), now);
                    self.gone.push(Gone {
                        group: group.name.clone(),
                        instance: instance.clone(),
                        seen: before.unwrap_or(now),
                        missed: now,
                    });
                }
            }
            for instance in dead {
                if !self.told.contains_key(&instance.id) {
                    self.told.insert(instance.id.clone(), now);
                    let seen = instance.launched;
                    self.gone.push(Gone { group: group.name.clone(), instance, seen, missed: now });
                }
            }
            let due = kept.is_none_or(|kept| kept.there != there || now.duration_since(kept.written) >= REPEAT - SLACK);
            let written = kept.map_or(now, |kept| if due { now } else { kept.written });
            if due {
                records.push(Record::Members(members(group.name.as_str(), &there, now, before, place)));
            }
            self.groups.insert(group.name.clone(), Kept { there, looked: now, written });
        }
        // A group that nobody asked us for any more is none of our business, dead or alive.
        self.groups.retain(|name, _| looks.iter().any(|look| look.observation.group.name == *name));
        records
    }

    /// Whose end EC2 has to be asked for: nobody's, on most looks.
    pub fn gone(&self) -> Vec<InstanceId> {
        self.gone.iter().map(|gone| InstanceId::new(&gone.instance.id)).collect()
    }

    /// The records for what EC2 answered. Whom it did not speak of is asked for again, for a while.
    pub fn ended(&mut self, answers: &BTreeMap<InstanceId, Ending>, now: Timestamp, place: Place<'_>) -> Vec<Record> {
        let mut records = Vec::new();
        self.gone.retain(|gone| {
            let answer = answers.get(gone.instance.id.as_str()).copied();
            let late = now.duration_since(gone.missed) >= PATIENCE;
            let Some(Ending { at, why }) = answer.or(late.then_some(Ending { at: None, why: Why::Unknown })) else {
                return true;
            };
            records.push(Record::Ended(Ended {
                at: gone.missed,
                region: place.region.to_owned(),
                stack: place.stack.to_owned(),
                group: gone.group.to_string(),
                instance: gone.instance.clone(),
                ended: at,
                seen: gone.seen,
                why,
            }));
            false
        });
        records
    }
}

fn members(
    group: &str,
    there: &BTreeMap<String, Instance>,
    at: Timestamp,
    before: Option<Timestamp>,
    place: Place<'_>,
) -> Members {
    let count = |bought: Bought| {
        there.values().filter(|instance| instance.bought == bought && !instance.outside).count() as u32
    };
    Members {
        at,
        region: place.region.to_owned(),
        stack: place.stack.to_owned(),
        group: group.to_owned(),
        before,
        spot: count(Bought::Spot),
        on_demand: count(Bought::OnDemand),
        members: there.values().cloned().collect(),
    }
}

fn of_member(
    member: &Member,
    facts: &Ec2Facts,
    place: Place<'_>,
    platform: &impl Fn(&InstanceId) -> Option<String>,
) -> Instance {
    let instance = Instance {
        id: member.id.to_string(),
        kind: member.instance_type.to_string(),
        zone: member.zone.to_string(),
        bought: member.purchase.into(),
        launched: facts.launched_at,
        platform: platform(&member.id).unwrap_or_else(|| Platform::Linux.spot_product().to_owned()),
        outside: false,
        victim: None,
        stands_for: None,
        bid: None,
    };
    signed(instance, member.ours.as_ref(), place)
}

fn of_replica(replica: &Replica, place: Place<'_>, platform: &impl Fn(&InstanceId) -> Option<String>) -> Instance {
    let instance = Instance {
        id: replica.id.to_string(),
        kind: replica.instance_type.to_string(),
        zone: replica.zone.to_string(),
        bought: replica.purchase.into(),
        launched: replica.launched_at,
        platform: platform(&replica.id).unwrap_or_else(|| Platform::Linux.spot_product().to_owned()),
        outside: true,
        victim: None,
        stands_for: None,
        bid: None,
    };
    signed(instance, Some(&replica.ours), place)
}

/// With what our tags say, if this deployment launched it: a doomed victim carries our tags, too.
fn signed(instance: Instance, ours: Option<&Provenance>, place: Place<'_>) -> Instance {
    let own = |ours: &&Provenance| ours.stack == place.stack && matches!(ours.role, Role::Replica | Role::Member);
    match ours.filter(own) {
        None => instance,
        Some(ours) => Instance {
            victim: Some(ours.victim.to_string()),
            stands_for: ours.stands_for.as_ref().map(ToString::to_string),
            bid: ours.bid,
            ..instance
        },
    }
}

/// The record of a swap, if this pass has removed the instance that the replica replaces. `price` answers with what is
/// at hand, and asks nobody.
pub fn finished_swap(
    pass: &Pass,
    place: Place<'_>,
    platform: impl Fn(&InstanceId) -> Option<String>,
    price: impl Fn(&Instance) -> Option<Price>,
) -> Option<Record> {
    let (journal, leaving) = view::completed_swap(pass)?;
    let observation = &pass.look.as_ref()?.observation;
    let of = |id: &InstanceId| {
        let member = observation.group.member(id)?;
        Some(of_member(member, member.ec2.as_ref()?, place, &platform))
    };
    let (victim, replica) = (of(leaving)?, of(&journal.replica)?);
    let notice = observation.group.member(leaving).is_some_and(Member::is_dying);
    let (victim_price, replica_price) = (price(&victim), price(&replica));
    let overlap = observation.now.duration_since(replica.launched);
    Some(Record::Swap(Swapped {
        at: observation.now,
        region: place.region.to_owned(),
        stack: place.stack.to_owned(),
        group: pass.group.to_string(),
        swap: journal.id,
        overlap_minutes: (overlap.as_secs_f64() / 6.0).round() / 10.0,
        saves: victim_price.zip(replica_price).map(|(victim, replica)| (victim.0 as f64 - replica.0 as f64) / 1e6),
        victim,
        replica,
        notice,
        victim_price,
        replica_price,
    }))
}
