//! Which capacity pools to ask for, and in which order.

use crate::compat::{self, Compatible, Mismatch};
use crate::market::{InstanceSpec, Market};
use crate::model::{InstanceType, LaunchFacts, Price, PurchaseOption, Zone};
use crate::policy::Policy;

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
}

/// Pools to ask for, best first; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pools(Vec<Pool>);

impl Pools {
    /// `None` if there is nothing to ask for.
    pub fn new(pools: Vec<Pool>) -> Option<Pools> {
        (!pools.is_empty()).then_some(Pools(pools))
    }

    /// Best first.
    pub fn iter(&self) -> impl Iterator<Item = &Pool> {
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
    let _ = (zone, launch, purchase, policy);
    let victim: Option<&InstanceSpec> = market.specs.get(victim_type);
    let _: Option<(Compatible<'_>, Mismatch)> = None;
    let _ = compat::fits;
    match victim {
        None => Err(NoPool::UnknownType(victim_type.clone())),
        Some(_) => Err(NoPool::NothingCompatible),
    }
}
