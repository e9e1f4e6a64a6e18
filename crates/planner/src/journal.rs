//! The one tag that a swap leaves on its group: written before the effects it accounts for, dropped last.
//!
//! `v1;id=1a2b3c4d;in=i-…;out=i-…;d=12;max=12>13;az=1;t=1790000000;by=spotward` (well under the 256 characters of a
//! tag value). `in` is the replica, `out` the victim, `d` the desired capacity right before the attach, `max` is
//! there only if we raise MaxSize, `az` only if we suspend AZRebalance, `t` the time of writing, `by` the deployment.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use crate::model::InstanceId;

/// Our clock and Auto Scaling's may differ by so much.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(2);
/// MaxSize is raised and AZRebalance suspended within so long of the writing, or not at all: whoever drops the journal
/// must know that no read is too old to show it.
const PREPARED_WITHIN: SignedDuration = SignedDuration::from_secs(45);
/// Settle time of a group whose owner's wishes we do not know (any more).
pub(crate) const SETTLE_SECONDS: u32 = 30;

/// Durable note of a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Eight hex digits, for people who search logs.
    pub id: String,
    /// The replica.
    pub replica: InstanceId,
    /// The member that leaves.
    pub victim: InstanceId,
    /// DesiredCapacity right before the attach.
    pub desired: u32,
    /// MaxSize before and after we raise it.
    pub raised_max: Option<RaisedMax>,
    /// We suspend AZRebalance.
    pub suspends_az_rebalance: bool,
    /// When it was written.
    pub written_at: Timestamp,
    /// Deployment that owns the swap.
    pub stack: String,
}

impl Journal {
    /// An activity that began from then on may have come after it.
    pub fn since(&self) -> Timestamp {
        self.written_at - CLOCK_SKEW
    }

    /// The last moment at which MaxSize may be raised and AZRebalance suspended by it.
    pub fn prepared_until(&self) -> Timestamp {
        self.written_at + PREPARED_WITHIN
    }
}

/// MaxSize before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaisedMax {
    /// The owner's value.
    pub original: u32,
    /// Ours.
    pub raised: u32,
}

/// A journal that cannot be read. The group is left alone until somebody looks at it: we do not know what to undo.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("journal tag {text:?}: {field} is missing or malformed")]
pub struct JournalError {
    /// The tag's value.
    pub text: String,
    /// The first field that is wrong.
    pub field: &'static str,
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1;id={};in={};out={};d={}", self.id, self.replica, self.victim, self.desired)?;
        if let Some(max) = self.raised_max {
            write!(f, ";max={}>{}", max.original, max.raised)?;
        }
        if self.suspends_az_rebalance {
            f.write_str(";az=1")?;
        }
        write!(f, ";t={};by={}", self.written_at.as_second(), self.stack)
    }
}

impl FromStr for Journal {
    type Err = JournalError;

    fn from_str(text: &str) -> Result<Self, JournalError> {
        let wrong = |field| JournalError { text: text.to_owned(), field };
        let mut parts = text.split(';');
        if parts.next() != Some("v1") {
            return Err(wrong("v1"));
        }
        let fields: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
        let field = |name: &'static str| fields.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let required = |name: &'static str| field(name).filter(|value| !value.is_empty()).ok_or_else(|| wrong(name));
        let raised_max = match field("max") {
            None => None,
            Some(value) => {
                let (original, raised) = value.split_once('>').ok_or_else(|| wrong("max"))?;
                let (original, raised) = (size(original), size(raised));
                // We never raise by more: what somebody has written there must not shrink a group.
                let by_one = |original: u32| raised == Some(original + 1);
                let original = original.filter(|original| by_one(*original)).ok_or_else(|| wrong("max"))?;
                Some(RaisedMax { original, raised: original + 1 })
            }
        };
        let written_at = required("t")?.parse().ok().and_then(plausible_time).ok_or_else(|| wrong("t"))?;
        Ok(Journal {
            id: required("id")?.to_owned(),
            replica: InstanceId::new(required("in")?),
            victim: InstanceId::new(required("out")?),
            desired: size(required("d")?).ok_or_else(|| wrong("d"))?,
            raised_max,
            suspends_az_rebalance: field("az") == Some("1"),
            written_at,
            stack: required("by")?.to_owned(),
        })
    }
}

/// A number of instances: digits only, and far from where adding one overflows.
fn size(text: &str) -> Option<u32> {
    const MOST: u32 = 1_000_000;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten().filter(|size| *size <= MOST)
}

/// Unix seconds from 2001 to 2255: with any other, adding a deadline might overflow.
pub(crate) fn plausible_time(seconds: i64) -> Option<Timestamp> {
    (1_000_000_000..9_000_000_000).contains(&seconds).then(|| Timestamp::from_second(seconds).ok()).flatten()
}
