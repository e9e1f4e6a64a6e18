//! Why each type of the region is asked for or not, for one member: what [`compat`], [`choose`], [`budget`] and
//! [`backoff`] say about it, one after the other. Decides nothing: whether a pool is asked for is read off the very
//! lists that a plan is made of.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::backoff::{Backoff, Circuit};
use crate::budget::{self, Holdings};
use crate::choose::{self, Choice, NoPool, Pools};
use crate::compat::{self, Mismatch};
use crate::market::Market;
use crate::model::{Group, InstanceType, LaunchFacts, Member, Price, PurchaseOption};
use crate::payback::{self, Payback};
use crate::policy::Policy;
use crate::reason::Code;
use crate::risk::Estimate;

/// Everything there is to say about the ways to replace one member.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What a replica would be paid as.
    pub purchase: PurchaseOption,
    /// The type whose work has to be done.
    pub model: InstanceType,
    /// What is paid for the member on demand: what a spot price is compared with.
    pub on_demand: Option<Price>,
    /// Every type of the region: those that would be asked for by rank, then the others, the nearest first.
    pub candidates: Vec<Candidate>,
    /// The pools that would be asked for, or why there are none.
    pub pools: Result<Pools, NoPool>,
    /// Whether a swap to the best of them would pay for its own overlap.
    pub payback: Option<Payback>,
}

/// What is said about one type.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The type.
    pub instance_type: InstanceType,
    /// Its price in the member's zone, as `purchase` is paid.
    pub price: Option<Price>,
    /// Its own on-demand price.
    pub on_demand: Option<Price>,
    /// Instances of the group that its pool would hold beside the replica: they would be lost together.
    pub held: u32,
    /// Whether its pool has failed lately.
    pub circuit: Circuit,
    /// How often its pool is interrupted, with the terms; nothing for on-demand, or if nobody has said anything.
    pub interruptions: Option<Estimate>,
    /// The verdict.
    pub verdict: Verdict,
}

/// Whether a type is asked for, and the first thing that stands against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is, at this place; 1 is the best.
    Asked {
        /// Its place.
        rank: usize,
    },
    /// Its pool has failed lately, and its time is not over.
    Cooling {
        /// It may be asked for again then.
        until: Timestamp,
    },
    /// Its pool has failed lately; another such pool is tried first.
    ProbedLater,
    /// Its pool holds as many of the group as one pool may.
    OverBudget {
        /// So many.
        held: u32,
        /// The most.
        most: u32,
    },
    /// The allocation strategy spreads, and other pools hold fewer of the group.
    SpreadElsewhere,
    /// Cheap enough, and interrupted more often than the owner wants.
    Interrupted {
        /// How often, with the terms.
        estimate: Option<Estimate>,
    },
    /// Cheap enough, but so many others are cheaper or preferred.
    BeyondMost {
        /// The most pools in one request.
        most: usize,
    },
    /// Not cheap enough against the member's on-demand price, by the owner's wishes.
    TooDear {
        /// Saving in percent; negative if it costs more.
        saving_percent: i64,
        /// What the owner wants to save at least, percent.
        wanted_percent: u32,
    },
    /// Its spot price is not below its own on-demand price: it is sold out.
    SoldOut,
    /// It has no price in the zone.
    NoPrice,
    /// The zone does not offer it.
    NotOffered,
    /// It cannot do the member's work, or its owner does not want it.
    Mismatched(Vec<Mismatch>),
}

/// What a verdict comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing<'a> {
    /// It is asked for, at this place.
    Asked {
        /// From 1.
        rank: usize,
    },
    /// It could do the work, and is not asked for now.
    Fits,
    /// It cannot do the work, or may not.
    Mismatched(&'a [Mismatch]),
}

impl Verdict {
    /// What it comes to.
    pub fn standing(&self) -> Standing<'_> {
        match self {
            Self::Asked { rank } => Standing::Asked { rank: *rank },
            Self::Mismatched(mismatches) => Standing::Mismatched(mismatches),
            Self::Cooling { .. }
            | Self::ProbedLater
            | Self::OverBudget { .. }
            | Self::SpreadElsewhere
            | Self::Interrupted { .. }
            | Self::BeyondMost { .. }
            | Self::TooDear { .. }
            | Self::SoldOut
            | Self::NoPrice
            | Self::NotOffered => Standing::Fits,
        }
    }
}

impl Code for Verdict {
    fn code(&self) -> &'static str {
        match self {
            Self::Asked { .. } => "asked",
            Self::Cooling { .. } => "cooling",
            Self::ProbedLater => "probed-later",
            Self::OverBudget { .. } => "over-budget",
            Self::SpreadElsewhere => "spread-elsewhere",
            Self::Interrupted { .. } => "interrupted-too-often",
            Self::BeyondMost { .. } => "beyond-most",
            Self::TooDear { .. } => "too-dear",
            Self::SoldOut => "sold-out",
            Self::NoPrice => "no-price",
            Self::NotOffered => "not-offered",
            Self::Mismatched(_) => "mismatched",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Asked { rank } => write!(f, "is asked for, place {rank}"),
            Self::Cooling { until } => write!(f, "its pool has failed lately, until {until}"),
            Self::ProbedLater => f.write_str("its pool has failed lately; another such pool is tried first"),
            Self::OverBudget { held, most } => {
                write!(f, "its pool holds {held} of the group already, {most} may be in one")
            }
            Self::SpreadElsewhere => f.write_str("other pools hold fewer of the group"),
            Self::Interrupted { estimate: Some(estimate) } => {
                write!(f, "interrupted more often than its owner wants: {estimate}")
            }
            Self::Interrupted { estimate: None } => f.write_str("interrupted more often than its owner wants"),
            Self::BeyondMost { most } => write!(f, "others come first, and no more than {most} may be asked for"),
            Self::TooDear { saving_percent, wanted_percent: 0 } if *saving_percent < 0 => {
                write!(f, "costs {} % more", saving_percent.unsigned_abs())
            }
            Self::TooDear { saving_percent, wanted_percent } if *saving_percent < i64::from(*wanted_percent) => {
                write!(f, "saves {saving_percent} %, {wanted_percent} % wanted")
            }
            Self::TooDear { saving_percent, .. } => {
                write!(f, "saves {saving_percent} %, less than the owner's least saving or above the owner's price cap")
            }
            Self::SoldOut => f.write_str("sold out: its spot price is not below its own on-demand price"),
            Self::NoPrice => f.write_str("no price in the zone"),
            Self::NotOffered => f.write_str("not offered in the zone"),
            Self::Mismatched(mismatches) => {
                let texts: Vec<String> = mismatches.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join("; "))
            }
        }
    }
}

/// Every type of the region, judged as a stand-in for the member.
pub fn explain(
    member: &Member,
    group: &Group,
    launch: &LaunchFacts,
    market: &Market,
    policy: &Policy,
    now: Timestamp,
) -> Explanation {
    let purchase = member.purchase.opposite();
    let memory = Backoff::of(group).after_look(group, now);
    let choice = Choice::new(&member.instance_type, launch, purchase, market, policy);
    let cheap = choice.as_ref().map_err(Clone::clone).and_then(|choice| choice.pools(&member.zone));
    let (in_budget, pools) = match purchase {
        PurchaseOption::Spot => {
            let in_budget = cheap.clone().and_then(|pools| budget::within(&pools, group, &member.id, policy));
            let admitted = in_budget.clone().and_then(|pools| memory.admit(&pools, now));
            let admitted = admitted.and_then(|pools| market.risk.admit(pools, now));
            (in_budget, admitted)
        }
        // The way back is owed to the owner: neither budget nor memory delays it.
        PurchaseOption::OnDemand => (cheap.clone(), cheap.clone()),
    };
    let on_demand = choice.as_ref().ok().map(Choice::on_demand);
    let payback = match (&pools, on_demand, purchase) {
        (Ok(pools), Some(on_demand), PurchaseOption::Spot) => {
            let overlap = payback::overlap_seconds(group, policy);
            Some(Payback::new(on_demand, pools.best().price, overlap, payback::life_seconds(group, None, now)))
        }
        (Ok(_) | Err(_), _, _) => None,
    };

    let model = choose::model_type(&member.instance_type, launch, purchase, policy);
    let spec = market.specs.get(model);
    let offered = market.offerings.get(&member.zone);
    let holdings = Holdings::without(group, &member.id);
    let ranks: BTreeMap<&InstanceType, usize> = names(&pools).zip(1..).collect();
    let (cheap, in_budget): (BTreeSet<_>, BTreeSet<_>) = (names(&cheap).collect(), names(&in_budget).collect());
    let most = budget::most_per_pool(group.desired, policy.pool_loss_percent);
    let mut candidates: Vec<Candidate> = market
        .specs
        .values()
        .map(|candidate| {
            let instance_type = &candidate.instance_type;
            let own = market.on_demand.get(instance_type).copied();
            let price = match purchase {
                PurchaseOption::Spot => {
                    market.spot.get(&member.zone).and_then(|prices| prices.get(instance_type)).copied()
                }
                PurchaseOption::OnDemand => own,
            };
            let held = holdings.count(instance_type, &member.zone);
            let circuit = memory.circuit(&member.zone, instance_type, now);
            let interruptions = match purchase {
                PurchaseOption::Spot => market.risk.of(&member.zone, instance_type),
                PurchaseOption::OnDemand => None,
            };
            let fits = spec.map(|spec| compat::fits_as(purchase, spec, launch, policy, candidate));
            let verdict = match (ranks.get(instance_type), fits, price) {
                (Some(rank), _, _) => Verdict::Asked { rank: *rank },
                (None, Some(Err(mismatches)), _) => Verdict::Mismatched(mismatches),
                (None, _, _) if offered.is_none_or(|types| !types.contains(instance_type)) => Verdict::NotOffered,
                (None, _, _) if in_budget.contains(instance_type) => match circuit {
                    Circuit::Open { until } => Verdict::Cooling { until },
                    Circuit::HalfOpen | Circuit::Closed => {
                        match market.risk.cools_until(&member.zone, instance_type, now) {
                            Some(until) => Verdict::Cooling { until },
                            None => Verdict::ProbedLater,
                        }
                    }
                },
                (None, _, _) if cheap.contains(instance_type) && held >= most => Verdict::OverBudget { held, most },
                (None, _, _) if cheap.contains(instance_type) => Verdict::SpreadElsewhere,
                (None, _, None) => Verdict::NoPrice,
                (None, _, Some(price)) if purchase == PurchaseOption::Spot && own.is_some_and(|own| price >= own) => {
                    Verdict::SoldOut
                }
                (None, _, Some(price)) => match &choice {
                    Ok(choice) if choice.is_cheap_enough(price) && choice.is_restless(&member.zone, instance_type) => {
                        Verdict::Interrupted { estimate: interruptions }
                    }
                    Ok(choice) if choice.is_cheap_enough(price) => Verdict::BeyondMost { most: cheap.len() },
                    Ok(choice) => Verdict::TooDear {
                        saving_percent: saving_percent(choice.on_demand(), price),
                        wanted_percent: if purchase == PurchaseOption::Spot { policy.min_saving_percent } else { 0 },
                    },
                    // Without the member's own price nothing can be compared.
                    Err(_) => Verdict::NoPrice,
                },
            };
            let instance_type = instance_type.clone();
            Candidate { instance_type, price, on_demand: own, held, circuit, interruptions, verdict }
        })
        .collect();
    candidates.sort_by_cached_key(|candidate| {
        let nearness = match candidate.verdict.standing() {
            Standing::Asked { rank } => (0, rank),
            Standing::Fits => (1, 0),
            Standing::Mismatched(mismatches) => (2, mismatches.len()),
        };
        (nearness, candidate.price.is_none(), candidate.price, candidate.instance_type.clone())
    });
    Explanation { purchase, model: model.clone(), on_demand, candidates, pools, payback }
}

fn names(pools: &Result<Pools, NoPool>) -> impl Iterator<Item = &InstanceType> {
    pools.iter().flat_map(Pools::iter).map(|pool| &pool.instance_type)
}

/// Rounded towards what it costs, so that no saving is shown that is not there.
fn saving_percent(on_demand: Price, price: Price) -> i64 {
    let saved = i128::from(on_demand.0) - i128::from(price.0);
    i64::try_from((saved * 100).div_euclid(i128::from(on_demand.0.max(1)))).unwrap_or(i64::MIN)
}
