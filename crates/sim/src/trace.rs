//! Words for the trace.

use std::fmt::Write as _;

use planner::model::{GroupName, tag};

use crate::region::Region;

/// A group as it is, not as somebody sees it.
pub fn group(region: &Region, name: &GroupName) -> String {
    let Some(group) = region.group(name) else { return format!("{name} is gone") };
    let mut line = format!("{name} is at desired {} of {}..{}:", group.desired, group.min, group.max);
    for seat in &group.seats {
        let purchase = region.ec2(&seat.id).map(|ec2| ec2.purchase.to_string()).unwrap_or_default();
        let _ = write!(line, " {} {purchase} {}", seat.id, seat.lifecycle);
        let serves = region.serves(group, seat);
        line.push_str(if serves { "," } else { " (not serving)," });
    }
    if group.tags.contains_key(tag::SWAP) {
        line.push_str(" journal");
    }
    line
}
