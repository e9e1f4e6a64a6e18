//! Which capacity pools to ask for, and in which order.
//!
//! To spot: types that fit the victim, that its zone offers, whose spot price is below their own on-demand price
//! (else they are sold out) and low enough against the victim's on-demand price; the cheapest first.
//!
//! Back to on-demand: a spot member's own size is an accident of the market, not a wish of the owner. What has to fit
//! is the type that the group launches by itself, and nothing is taken that costs more than that type does: the way
//! back ends where the owner began, and going to and fro cannot make a group grow. Only where the template names no
//! type does the spot member's type stand in for it. The cheapest goes first, as EC2 itself does with on-demand
//! capacity; the group's own type always passes, so that the way back is never without an answer.
//!
//! What an allocation strategy means here, beside being sent to EC2 as it is:
//!
//! | strategy | which pools | in which order |
//! |---|---|---|
//! | `price-capacity-optimized`, `capacity-optimized` | all; EC2 looks at depth itself and takes no order from us | price |
//! | `capacity-optimized-prioritized` | all | the owner's: by the first pattern of `allowed-types` that matches, then price; sent as priorities |
//! | `diversified` | all; pools at or above on-demand never (EC2 refuses them too) | price; [`within`](crate::budget::within) then keeps the least used, since a request for one instance has nothing to spread |
//! | `lowest-price` | the `pools-to-use` cheapest, a hard cap; the next cheapest of those when one has no capacity; with a number of pools, [`within`](crate::budget::within) keeps the least used | price |

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::compat;
use crate::market::Market;
use crate::model::{Image, ImageId, InstanceType, LaunchFacts, Price, PurchaseOption, Zone};
use crate::policy::{AllocationStrategy, Policy, Saving};
use crate::reason::Code;
use crate::risk::Estimate;

/// Most pools in one request. EC2 has no limit for instant fleets; beyond the sixty cheapest a pool neither wins on
/// price nor adds anything to the depth that EC2 can choose from, but makes every request longer and lets
/// `capacity-optimized`, which is blind to prices, choose the dearest.
pub const POOLS_MAX: usize = 60;

/// One capacity pool that a launch may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Type.
    pub instance_type: InstanceType,
    /// Zone.
    pub zone: Zone,
    /// Price now: spot, or on-demand on the way back.
    pub price: Price,
    /// Cap on the spot price, if the owner wants one.
    pub max_price: Option<Price>,
    /// How often it is interrupted, if anybody has said; never on the way back.
    pub risk: Option<Estimate>,
}

/// Pools to ask for, best first; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pools(Arc<[Pool]>);

impl Pools {
    /// `None` if there is nothing to ask for.
    pub fn new(pools: Vec<Pool>) -> Option<Pools> {
        (!pools.is_empty()).then(|| Pools(pools.into()))
    }

    /// Best first.
    pub fn iter(&self) -> std::slice::Iter<'_, Pool> {
        self.0.iter()
    }

    /// The first choice.
    pub fn best(&self) -> &Pool {
        &self.0[0]
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Those that `keep` wants, in the same order; `None` if it wants none.
    pub fn only(&self, keep: impl Fn(&Pool) -> bool) -> Option<Pools> {
        if self.0.iter().all(&keep) {
            return Some(self.clone());
        }
        Pools::new(self.0.iter().filter(|pool| keep(pool)).cloned().collect())
    }
}

/// Why there is nothing to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPool {
    /// The victim's type is not in the region's list of types.
    UnknownType(InstanceType),
    /// The price list has no on-demand price for the victim's type.
    NoOnDemandPrice(InstanceType),
    /// No type of the zone fits.
    NothingCompatible,
    /// Types fit, none is cheap enough.
    NothingCheaper {
        /// On-demand price of the victim.
        on_demand: Price,
        /// The cheapest that fits, if any has a price.
        best: Option<(InstanceType, Price)>,
    },
    /// Every pool that is cheap enough is interrupted more often than the owner wants.
    Interrupted {
        /// The most, of a hundred instances in a month.
        most_percent: u32,
        /// Pools that are cheap enough.
        pools: usize,
        /// The calmest of them, and how often.
        calmest: (InstanceType, Estimate),
    },
    /// Every pool that could be asked for holds as many instances of the group as one pool may.
    BudgetSpent {
        /// The most instances of the group in one pool.
        most: u32,
        /// Pools that could be asked for.
        pools: usize,
    },
    /// Every pool that could be asked for has failed lately.
    Cooling {
        /// The first of them may be tried again then.
        until: Timestamp,
        /// Pools that could be asked for.
        pools: usize,
    },
}

/// The pools of `zone` that a stand-in for a victim of `victim_type` may be launched in.
pub fn choose(
    victim_type: &InstanceType,
    zone: &Zone,
    launch: &LaunchFacts,
    purchase: PurchaseOption,
    market: &Market,
    policy: &Policy,
) -> Result<Pools, NoPool> {
    Choice::new(victim_type, launch, purchase, market, policy)?.pools(zone)
}

/// Choices that were made already: groups that launch the same thing and want the same thing share them.
#[derive(Debug)]
pub struct Choices<'a> {
    market: &'a Market,
    made: Vec<Made<'a>>,
    /// Places in `made`, by the victim's type.
    by_type: BTreeMap<InstanceType, Vec<usize>>,
}

/// One choice, with its answers by zone.
#[derive(Debug)]
struct Made<'a> {
    purchase: PurchaseOption,
    launch: LaunchFacts,
    policy: Arc<Policy>,
    choice: Result<Choice<'a>, NoPool>,
    pools: BTreeMap<Zone, Result<Pools, NoPool>>,
}

/// Names a choice among [`Choices`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen(usize);

impl<'a> Choices<'a> {
    /// None yet.
    pub fn new(market: &'a Market) -> Choices<'a> {
        Choices { market, made: Vec::new(), by_type: BTreeMap::new() }
    }

    /// The market that they are made in.
    pub fn market(&self) -> &'a Market {
        self.market
    }

    /// The choice for a victim of that type, made now if nobody has asked the same before.
    pub fn of(
        &mut self,
        victim_type: &InstanceType,
        launch: &LaunchFacts,
        purchase: PurchaseOption,
        policy: &Arc<Policy>,
    ) -> Chosen {
        let known = self.by_type.get(victim_type).into_iter().flatten().find(|at| {
            let made = &self.made[**at];
            made.purchase == purchase
                && (Arc::ptr_eq(&made.policy, policy) || made.policy == *policy)
                && is_same_work(&made.launch, launch)
        });
        if let Some(at) = known {
            return Chosen(*at);
        }
        let choice = Choice::new(victim_type, launch, purchase, self.market, policy);
        let (launch, policy) = (launch.clone(), Arc::clone(policy));
        let at = self.made.len();
        self.made.push(Made { purchase, launch, policy, choice, pools: BTreeMap::new() });
        self.by_type.entry(victim_type.clone()).or_default().push(at);
        Chosen(at)
    }

    /// The pools of one zone, best first.
    pub fn pools(&mut self, Chosen(at): Chosen, zone: &Zone) -> Result<Pools, NoPool> {
        let made = &mut self.made[at];
        let choice = made.choice.as_ref().map_err(Clone::clone)?;
        if let Some(pools) = made.pools.get(zone) {
            return pools.clone();
        }
        let pools = choice.pools(zone);
        made.pools.insert(zone.clone(), pools.clone());
        pools
    }

    /// What is paid for the victim on demand, if that is known.
    pub fn on_demand(&self, Chosen(at): Chosen) -> Option<Price> {
        self.made[at].choice.as_ref().ok().map(Choice::on_demand)
    }
}

/// Whether two templates ask the same of a type: which image it is, and in which version, does not matter.
fn is_same_work(a: &LaunchFacts, b: &LaunchFacts) -> bool {
    let blank = |facts: &LaunchFacts| {
        let image = Image { id: ImageId::new(""), ..facts.image.clone() };
        LaunchFacts { version: None, image, ..facts.clone() }
    };
    a == b || blank(a) == blank(b)
}

/// The types that may stand in for a victim, whatever its zone: the dear half of a choice. Victims of one type in one
/// group share it.
#[derive(Clone, Debug)]
pub struct Choice<'a> {
    candidates: Vec<Candidate<'a>>,
    purchase: PurchaseOption,
    market: &'a Market,
    limit: Limit,
    max_interruptions_percent: Option<u32>,
    pools_max: usize,
}

/// A type that fits.
#[derive(Clone, Copy, Debug)]
struct Candidate<'a> {
    instance_type: &'a InstanceType,
    /// Place in the owner's list.
    priority: usize,
    on_demand: Option<Price>,
}

impl<'a> Choice<'a> {
    /// Judges every type of the region.
    pub fn new(
        victim_type: &InstanceType,
        launch: &LaunchFacts,
        purchase: PurchaseOption,
        market: &'a Market,
        policy: &Policy,
    ) -> Result<Choice<'a>, NoPool> {
        let model_type = model_type(victim_type, launch, purchase, policy);
        let model = market.specs.get(model_type).ok_or_else(|| NoPool::UnknownType(model_type.clone()))?;
        let paid_type = match purchase {
            PurchaseOption::Spot => victim_type,
            PurchaseOption::OnDemand => model_type,
        };
        let on_demand = *market.on_demand.get(paid_type).ok_or_else(|| NoPool::NoOnDemandPrice(paid_type.clone()))?;
        let candidates = market
            .specs
            .values()
            .filter_map(|candidate| compat::fits_at_all(purchase, model, launch, policy, candidate))
            .map(|compatible| &compatible.spec().instance_type)
            .map(|instance_type| Candidate {
                instance_type,
                priority: priority(instance_type, model_type, policy),
                on_demand: market.on_demand.get(instance_type).copied(),
            })
            .collect();
        let limit = Limit::new(on_demand, purchase, policy);
        let max_interruptions_percent = policy.max_interruptions_percent;
        Ok(Choice {
            candidates,
            purchase,
            market,
            limit,
            max_interruptions_percent,
            pools_max: pools_max(purchase, policy),
        })
    }

    /// What is paid for the victim on demand.
    pub fn on_demand(&self) -> Price {
        self.limit.on_demand
    }

    /// Whether the owner would pay this price for a stand-in.
    pub fn is_cheap_enough(&self, price: Price) -> bool {
        self.limit.allows(price)
    }

    /// The pools of one zone, best first.
    pub fn pools(&self, zone: &Zone) -> Result<Pools, NoPool> {
        let offered = self.offered(zone);
        if offered.is_empty() {
            return Err(NoPool::NothingCompatible);
        }
        let priced: Vec<(Price, &Candidate<'_>)> =
            offered.iter().filter_map(|candidate| Some((self.price(zone, candidate)?, *candidate))).collect();
        let mut ranked: Vec<(usize, Price, &InstanceType)> = priced
            .iter()
            .filter(|(price, _)| self.limit.allows(*price))
            .map(|(price, candidate)| (candidate.priority, *price, candidate.instance_type))
            .collect();
        self.keep_calm(&mut ranked, zone)?;
        // Type names differ, so the order is total: it does not depend on the order in which AWS listed the types.
        ranked.sort_unstable();
        ranked.truncate(self.pools_max);

        let pools = ranked
            .into_iter()
            .map(|(_, price, instance_type)| Pool {
                instance_type: instance_type.clone(),
                zone: zone.clone(),
                price,
                max_price: self.limit.max_price,
                risk: self.risk(zone, instance_type),
            })
            .collect();
        Pools::new(pools).ok_or_else(|| NoPool::NothingCheaper {
            on_demand: self.limit.on_demand,
            best: priced
                .iter()
                .map(|(price, candidate)| (*price, candidate.instance_type))
                .min()
                .map(|(price, instance_type)| (instance_type.clone(), price)),
        })
    }

    fn risk(&self, zone: &Zone, instance_type: &InstanceType) -> Option<Estimate> {
        match self.purchase {
            PurchaseOption::Spot => self.market.risk.of(zone, instance_type),
            PurchaseOption::OnDemand => None,
        }
    }

    /// Whether a pool is interrupted more often than the owner wants.
    pub fn is_restless(&self, zone: &Zone, instance_type: &InstanceType) -> bool {
        let estimate = self.risk(zone, instance_type);
        let most = self.max_interruptions_percent.map(u64::from);
        most.is_some_and(|most| estimate.is_some_and(|estimate| estimate.percent_per_month > most))
    }

    /// Drops what is interrupted more often than the owner wants. A pool of which nobody says anything stays: without
    /// the advisor's file, and without losses, the wish has no effect.
    fn keep_calm(&self, ranked: &mut Vec<(usize, Price, &InstanceType)>, zone: &Zone) -> Result<(), NoPool> {
        let Some(most_percent) = self.max_interruptions_percent else { return Ok(()) };
        let all = ranked.len();
        let mut calmest: Option<(InstanceType, Estimate)> = None;
        ranked.retain(|(_, _, instance_type)| {
            let Some(estimate) = self.risk(zone, instance_type).filter(|_| self.is_restless(zone, instance_type))
            else {
                return true;
            };
            if calmest.as_ref().is_none_or(|(_, known)| estimate.percent_per_month < known.percent_per_month) {
                calmest = Some(((*instance_type).clone(), estimate));
            }
            false
        });
        match calmest {
            Some(calmest) if ranked.is_empty() => Err(NoPool::Interrupted { most_percent, pools: all, calmest }),
            Some(_) | None => Ok(()),
        }
    }

    fn offered(&self, zone: &Zone) -> Vec<&Candidate<'a>> {
        match self.market.offerings.get(zone) {
            Some(types) => self.candidates.iter().filter(|candidate| types.contains(candidate.instance_type)).collect(),
            None => Vec::new(),
        }
    }

    /// A spot price at or above on-demand is no price: the pool is sold out.
    fn price(&self, zone: &Zone, candidate: &Candidate<'_>) -> Option<Price> {
        match self.purchase {
            PurchaseOption::Spot => {
                let spot = *self.market.spot.get(zone)?.get(candidate.instance_type)?;
                candidate.on_demand.is_none_or(|on_demand| spot < on_demand).then_some(spot)
            }
            PurchaseOption::OnDemand => candidate.on_demand,
        }
    }
}

/// The type whose work has to be done. To spot: the victim's; with `roll-forward` the one that the group launches now,
/// since the owner wants members replaced by what the template says today. Back to on-demand: the group's own.
pub(crate) fn model_type<'a>(
    victim_type: &'a InstanceType,
    launch: &'a LaunchFacts,
    purchase: PurchaseOption,
    policy: &Policy,
) -> &'a InstanceType {
    match purchase {
        PurchaseOption::Spot if !policy.roll_forward => victim_type,
        PurchaseOption::Spot | PurchaseOption::OnDemand => launch.instance_type.as_ref().unwrap_or(victim_type),
    }
}

/// What a pool may cost.
#[derive(Clone, Copy, Debug)]
struct Limit {
    on_demand: Price,
    min_saving_percent: u32,
    min_saving: Saving,
    max_price: Option<Price>,
}

impl Limit {
    fn new(on_demand: Price, purchase: PurchaseOption, policy: &Policy) -> Limit {
        match purchase {
            PurchaseOption::Spot => Limit {
                on_demand,
                min_saving_percent: policy.min_saving_percent,
                min_saving: policy.min_saving_per_hour,
                max_price: policy.max_price_percent.map(|percent| on_demand.percent(percent)),
            },
            PurchaseOption::OnDemand => {
                Limit { on_demand, min_saving_percent: 0, min_saving: Saving(0), max_price: None }
            }
        }
    }

    /// Multiplied out, not divided: a market at twice the prices gets the same answer. A pool above the cap could only
    /// answer `SpotMaxPriceTooLow`.
    fn allows(&self, price: Price) -> bool {
        let most_percent = 100 - self.min_saving_percent.min(100);
        u128::from(price.0) * 100 <= u128::from(self.on_demand.0) * u128::from(most_percent)
            && price.0.saturating_add(self.min_saving.0) <= self.on_demand.0
            && self.max_price.is_none_or(|max_price| price <= max_price)
    }
}

/// Place of a type in the owner's list: the first pattern that matches. The same for all where order is not asked for.
fn priority(instance_type: &InstanceType, victim_type: &InstanceType, policy: &Policy) -> usize {
    match policy.strategy {
        AllocationStrategy::CapacityOptimizedPrioritized => {
            policy.allowed_types.position(instance_type.as_str(), victim_type.as_str()).unwrap_or(usize::MAX)
        }
        AllocationStrategy::PriceCapacityOptimized
        | AllocationStrategy::CapacityOptimized
        | AllocationStrategy::Diversified
        | AllocationStrategy::LowestPrice => 0,
    }
}

fn pools_max(purchase: PurchaseOption, policy: &Policy) -> usize {
    match (purchase, policy.pools_to_use) {
        (PurchaseOption::Spot, Some(pools)) => (pools as usize).min(POOLS_MAX),
        (PurchaseOption::Spot, None) | (PurchaseOption::OnDemand, _) => POOLS_MAX,
    }
}

impl fmt::Display for NoPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType(instance_type) => write!(f, "{instance_type} is not among the region's instance types"),
            Self::NoOnDemandPrice(instance_type) => write!(f, "no on-demand price is known for {instance_type}"),
            Self::NothingCompatible => f.write_str("no type of the zone fits"),
            Self::NothingCheaper { on_demand, best: Some((instance_type, price)) } => write!(
                f,
                "nothing that fits is cheap enough: the cheapest is {instance_type} at {price}, on-demand is {on_demand}"
            ),
            Self::NothingCheaper { on_demand, best: None } => {
                write!(f, "nothing that fits has a price now, on-demand is {on_demand}")
            }
            Self::Interrupted { most_percent, pools, calmest: (instance_type, estimate) } => write!(
                f,
                "each of the {pools} pools that are cheap enough loses more than {most_percent} of 100 instances a month; the calmest is {instance_type}: {estimate}"
            ),
            Self::BudgetSpent { most, pools } => write!(
                f,
                "each of the {pools} pools to ask for holds {most} of the group already, the most that one pool may"
            ),
            Self::Cooling { until, pools } => {
                write!(f, "each of the {pools} pools to ask for has failed lately, until {until}")
            }
        }
    }
}

impl Code for NoPool {
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownType(_) => "unknown-type",
            Self::NoOnDemandPrice(_) => "no-on-demand-price",
            Self::NothingCompatible => "nothing-compatible",
            Self::NothingCheaper { .. } => "nothing-cheaper",
            Self::Interrupted { .. } => "interrupted-too-often",
            Self::BudgetSpent { .. } => "pool-budget-spent",
            Self::Cooling { .. } => "pools-cooling",
        }
    }
}
