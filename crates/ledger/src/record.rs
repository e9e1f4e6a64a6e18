//! The lines: one JSON object each, recognised by `"spotward":"ledger"`.

use jiff::Timestamp;
use planner::model::{Platform, Price, PurchaseOption};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

/// Version of the lines' format.
pub const VERSION: u64 = 1;

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Record {
    /// Who is there: written when it changes, and once an hour.
    Members(Members),
    /// An instance is gone, and why.
    Ended(Ended),
    /// A swap has removed the instance that it replaces.
    Swap(Swapped),
    /// A price from a time on: never written by the function, but into files that a report saves.
    Price(PriceAt),
}

/// The billed instances of a group: its members, and ours beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Members {
    /// When we looked.
    #[serde(with = "time")]
    pub at: Timestamp,
    /// Region.
    pub region: String,
    /// Deployment.
    pub stack: String,
    /// The group.
    pub group: String,
    /// The previous look of the same process, which still saw what its line before says; `None` if there was none.
    #[serde(default, with = "maybe_time", skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
    /// Spot members, for queries.
    pub spot: u32,
    /// On-demand members, for queries.
    pub on_demand: u32,
    /// Each.
    pub members: Vec<Instance>,
}

/// An instance, as far as its bill depends on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// `i-…`
    pub id: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Availability Zone.
    pub zone: String,
    /// How it is paid for.
    pub bought: Bought,
    /// When EC2 launched it.
    #[serde(with = "time")]
    pub launched: Timestamp,
    /// What it is billed as (`Linux/UNIX`, `Windows`, …).
    #[serde(default = "linux", skip_serializing_if = "is_linux")]
    pub platform: String,
    /// Not a member (yet, or any more).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outside: bool,
    /// We launched it, in place of this instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub victim: Option<String>,
    /// The type of that instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_for: Option<String>,
    /// The cap on its spot price, if it has one of its own, per hour.
    #[serde(default, with = "maybe_price", skip_serializing_if = "Option::is_none")]
    pub bid: Option<Price>,
}

fn linux() -> String {
    Platform::Linux.spot_product().to_owned()
}

fn is_linux(platform: &str) -> bool {
    platform == Platform::Linux.spot_product()
}

/// How an instance is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bought {
    /// At the list price.
    OnDemand,
    /// At the price of its pool.
    Spot,
}

impl From<PurchaseOption> for Bought {
    fn from(purchase: PurchaseOption) -> Self {
        match purchase {
            PurchaseOption::OnDemand => Self::OnDemand,
            PurchaseOption::Spot => Self::Spot,
        }
    }
}

/// An instance is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// When it was missed.
    #[serde(with = "time")]
    pub at: Timestamp,
    /// Region.
    pub region: String,
    /// Deployment.
    pub stack: String,
    /// The group that it was in, or meant for.
    pub group: String,
    /// It.
    pub instance: Instance,
    /// When it stopped costing; `None`: EC2 does not say, some time between `seen` and `at`.
    #[serde(default, with = "maybe_time", skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// When it was there for the last time.
    #[serde(with = "time")]
    pub seen: Timestamp,
    /// Why.
    pub why: Why,
}

/// Why an instance is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// EC2 took the capacity back.
    Interrupted,
    /// Somebody ended it: the group, its owner, or we.
    Terminated,
    /// It lives, outside the group.
    Left,
    /// EC2 does not know it any more.
    Unknown,
}

/// A swap has removed the instance that it replaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Swapped {
    /// When.
    #[serde(with = "time")]
    pub at: Timestamp,
    /// Region.
    pub region: String,
    /// Deployment.
    pub stack: String,
    /// The group.
    pub group: String,
    /// The journal's id.
    pub swap: String,
    /// Who leaves.
    pub victim: Instance,
    /// Who stays.
    pub replica: Instance,
    /// Both were paid for so long, up to now.
    pub overlap_minutes: f64,
    /// EC2 had announced the end of the one that leaves: it was taken back, though the group ended it first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub notice: bool,
    /// Price of the one that leaves, per hour, if it was at hand.
    #[serde(default, with = "maybe_price", skip_serializing_if = "Option::is_none")]
    pub victim_price: Option<Price>,
    /// Price of the one that stays.
    #[serde(default, with = "maybe_price", skip_serializing_if = "Option::is_none")]
    pub replica_price: Option<Price>,
    /// The difference, per hour; negative on the way back to on-demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saves: Option<f64>,
}

/// A price that holds from a time on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PriceAt {
    /// Region.
    pub region: String,
    /// What is billed (`Linux/UNIX`, …).
    pub platform: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Zone of the pool; `None`: the on-demand price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// From then on.
    #[serde(with = "time")]
    pub from: Timestamp,
    /// Per hour.
    #[serde(with = "price")]
    pub price: Price,
}

impl Record {
    /// The line.
    pub fn line(&self) -> Value {
        let mut line = json!({ "spotward": "ledger", "v": VERSION });
        // Strings, numbers and lists only: nothing of it can fail.
        if let (Value::Object(line), Ok(Value::Object(fields))) = (&mut line, serde_json::to_value(self)) {
            line.extend(fields);
        }
        line
    }

    /// Reads a line. `None`: not one of ours. `Err`: ours, and not to be understood.
    pub fn parse(line: &Value) -> Option<Result<Record, String>> {
        if line.get("spotward").and_then(Value::as_str) != Some("ledger") {
            return None;
        }
        let version = line.get("v").and_then(Value::as_u64).unwrap_or(0);
        if version != VERSION {
            return Some(Err(format!("version {version} of the ledger's lines is not known here")));
        }
        Some(Record::deserialize(line).map_err(|error| error.to_string()))
    }

    /// When it was written; of a price, when it begins.
    pub fn at(&self) -> Timestamp {
        match self {
            Record::Members(Members { at, .. })
            | Record::Ended(Ended { at, .. })
            | Record::Swap(Swapped { at, .. })
            | Record::Price(PriceAt { from: at, .. }) => *at,
        }
    }
}

mod time {
    use super::{Deserialize, Deserializer, Serializer, Timestamp};

    pub fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(time)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

mod maybe_time {
    use super::{Deserialize, Deserializer, Serializer, Timestamp};

    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => to.collect_str(time),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
    }
}

/// Money in lines is decimal, for queries; micro-dollars survive the way there and back.
mod price {
    use super::{Deserialize, Deserializer, Price, Serializer};

    pub fn serialize<S: Serializer>(price: &Price, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(price.dollars())
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Price, D::Error> {
        of(f64::deserialize(from)?).ok_or_else(|| serde::de::Error::custom("a price per hour is positive"))
    }

    pub fn of(dollars: f64) -> Option<Price> {
        let micros = (dollars * 1e6).round();
        (micros.is_finite() && (1.0..1e15).contains(&micros)).then_some(Price(micros as u64))
    }
}

mod maybe_price {
    use super::{Deserialize, Deserializer, Price, Serializer, price};

    pub fn serialize<S: Serializer>(price: &Option<Price>, to: S) -> Result<S::Ok, S::Error> {
        match price {
            Some(price) => to.serialize_f64(price.dollars()),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Option<Price>, D::Error> {
        let dollars = Option::<f64>::deserialize(from)?;
        dollars
            .map(|dollars| price::of(dollars).ok_or_else(|| serde::de::Error::custom("a price per hour is positive")))
            .transpose()
    }
}
