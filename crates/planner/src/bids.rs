//! The bid advisor: which types meet a need, what each costs as spot, and how often a bid would have held.
//!
//! For people who choose a type, not for swaps: [`choose`](crate::choose) decides what stands in for a victim.

use std::cmp::Reverse;

use jiff::Timestamp;

use crate::market::InstanceSpec;
use crate::model::{InstanceType, Price, Zone};
use crate::policy::TypePatterns;
use crate::stats::{InterruptionFrequency, PriceHistory};

/// The bids whose availability is shown, in percent of the on-demand price.
pub const BIDS_PERCENT: [u32; 3] = [25, 50, 100];

/// What a need is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeFacts {
    /// Default vCPUs.
    pub vcpus: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// `x86_64`, `arm64`, …
    pub architectures: Vec<String>,
    /// Can be bought as spot.
    pub spot: bool,
}

impl From<&InstanceSpec> for TypeFacts {
    fn from(spec: &InstanceSpec) -> TypeFacts {
        TypeFacts {
            vcpus: spec.vcpus,
            memory_mib: spec.memory_mib,
            architectures: spec.architectures.clone(),
            spot: spec.spot,
        }
    }
}

/// What somebody looks for.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// At least so many vCPUs.
    pub vcpus: u32,
    /// At least so much memory, MiB.
    pub memory_mib: u64,
    /// This architecture; `None` takes any.
    pub architecture: Option<String>,
    /// Names with `*` and `?`; `None` takes any.
    pub types: Option<TypePatterns>,
}

impl Needs {
    /// Whether a type meets them, and can be bought as spot at all.
    pub fn met_by(&self, instance_type: &InstanceType, facts: &TypeFacts) -> bool {
        let architecture = |wanted: &String| facts.architectures.contains(wanted);
        let named = |patterns: &TypePatterns| patterns.matches(instance_type.as_str(), instance_type.as_str());
        facts.spot
            && facts.vcpus >= self.vcpus
            && facts.memory_mib >= self.memory_mib
            && self.architecture.as_ref().is_none_or(architecture)
            && self.types.as_ref().is_none_or(named)
    }
}

/// What is known of one capacity pool, or of a type in the whole region.
#[derive(Clone, Debug)]
pub struct Quote {
    /// The zone; `None` for a figure about the region.
    pub zone: Option<Zone>,
    /// The latest spot price that is known.
    pub spot: Option<Price>,
    /// The on-demand price at the time of that price.
    pub on_demand: Option<Price>,
    /// The saving in percent, where only that is known.
    pub saving_percent: Option<i64>,
    /// When that was so.
    pub as_of: Option<Timestamp>,
    /// Prices of the window that is looked at.
    pub history: Option<PriceHistory>,
}

/// A quote with what follows from it.
#[derive(Clone, Debug)]
pub struct Bid {
    /// What was known.
    pub quote: Quote,
    /// At or above the on-demand price: there is none to be had.
    pub sold_out: bool,
    /// What spot saves over on-demand, in whole percent rounded down; negative where spot is dearer.
    pub saving_percent: Option<i64>,
    /// Share of the window in which a bid of [`BIDS_PERCENT`] of on-demand would have held.
    pub availability: Option<[f64; 3]>,
}

impl Bid {
    /// Judges a quote.
    pub fn of(quote: Quote) -> Bid {
        let both = quote.spot.zip(quote.on_demand);
        let saving = |(spot, on_demand): (Price, Price)| {
            (i128::from(on_demand.0) - i128::from(spot.0)) * 100 / i128::from(on_demand.0.max(1))
        };
        let availability = quote.history.as_ref().zip(quote.on_demand).map(|(history, on_demand)| {
            BIDS_PERCENT.map(|percent| history.availability_at_percent(percent, on_demand))
        });
        Bid {
            sold_out: both.is_some_and(|(spot, on_demand)| spot >= on_demand),
            saving_percent: quote.saving_percent.or_else(|| i64::try_from(saving(both?)).ok()),
            availability,
            quote,
        }
    }

    /// The price that can be had.
    pub fn price(&self) -> Option<Price> {
        self.quote.spot.filter(|_| !self.sold_out)
    }
}

/// A type that meets the needs.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The type.
    pub instance_type: InstanceType,
    /// Its size.
    pub facts: TypeFacts,
    /// On-demand price, as of the newest list.
    pub on_demand: Option<Price>,
    /// How often it is interrupted, if the advisor says so.
    pub frequency: Option<InterruptionFrequency>,
    /// Zone by zone, the cheapest that can be had first.
    pub bids: Vec<Bid>,
}

impl Offer {
    /// From quotes in any order.
    pub fn new(
        instance_type: InstanceType,
        facts: TypeFacts,
        on_demand: Option<Price>,
        frequency: Option<InterruptionFrequency>,
        quotes: Vec<Quote>,
    ) -> Offer {
        let mut bids: Vec<Bid> = quotes.into_iter().map(Bid::of).collect();
        bids.sort_by(|a, b| {
            // The newest first: an old record of a zone must not pass for today's best price.
            let key = |bid: &Bid| (Reverse(bid.quote.as_of.map(day)), bid.price().is_none(), bid.price());
            key(a).cmp(&key(b)).then_with(|| a.quote.zone.cmp(&b.quote.zone))
        });
        Offer { instance_type, facts, on_demand, frequency, bids }
    }

    /// The zone to look at first.
    pub fn best(&self) -> Option<&Bid> {
        self.bids.first()
    }

    /// Lowest price that can be had.
    pub fn price(&self) -> Option<Price> {
        self.best()?.price()
    }

    /// The best zone's saving, if there is anything to be had there.
    pub fn saving_percent(&self) -> Option<i64> {
        self.best().filter(|bid| !bid.sold_out)?.saving_percent
    }

    /// The best availability of a bid in any zone, by the middle one of the bids, then the others.
    fn availability(&self) -> Option<[u64; 3]> {
        // Availabilities are in [0, 1]: as parts of a billion they have a total order.
        let ranked = |[low, middle, high]: [f64; 3]| [middle, high, low].map(|share| (share * 1e9) as u64);
        self.bids.iter().filter_map(|bid| bid.availability).map(ranked).max()
    }
}

fn day(at: Timestamp) -> i64 {
    at.as_second().div_euclid(86_400)
}

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// The lowest spot price.
    #[default]
    Price,
    /// The largest saving in percent.
    Saving,
    /// The bid of half the on-demand price that would have held longest.
    Availability,
    /// The fewest interruptions, then the price.
    Interruptions,
    /// The name.
    Type,
}

/// Puts offers in order; what is not known comes last, and equals are in order of price and name. Independent of the
/// order before.
pub fn sort(offers: &mut [Offer], by: SortBy) {
    offers.sort_by(|a, b| a.instance_type.cmp(&b.instance_type));
    if by == SortBy::Type {
        return;
    }
    offers.sort_by_key(|offer| (offer.price().is_none(), offer.price()));
    match by {
        SortBy::Price | SortBy::Type => {}
        SortBy::Saving => offers.sort_by_key(|offer| Reverse(offer.saving_percent())),
        SortBy::Availability => offers.sort_by_key(|offer| Reverse(offer.availability())),
        SortBy::Interruptions => offers.sort_by_key(|offer| (offer.frequency.is_none(), offer.frequency)),
    }
}
