//! Pictures of a group in, plans as text out. One `check` calls the code; the cases do not care how.
//!
//! A picture names only what its case is about; everything else has the value of an ordinary, healthy, enabled group:
//!
//! ```text
//! group web  desired 2  max 3  bulk             words: min, grace, load-balanced, not-enabled, deleting, mixed, …
//!   i-1  on-demand  zone b  age 2h  protected   a member
//!   i-9  spot  unattached  replaces i-1         a replica outside the group
//!   journal  i-9 for i-1  desired 2  max 2>3    on the group, and copied on the replica
//!   set  min-on-demand=1                        a wish of the owner
//!   activity  i-1  started 3m  shrank 3>2       newest first; times are ages
//!   template  version 3 · suspended AZRebalance · hooks launch H · refresh InProgress · scheduled +5m
//! ```
// Each test file compiles this module for itself and uses a part of it.
#![allow(dead_code, unused_imports)]

mod calm;
mod picture;
mod print;

pub use calm::Calm;
pub use picture::{Picture, picture};
pub use print::{action, plan_text, short_times};

use expect_test::Expect;
use planner::guard;
use planner::plan::{plan, plan_again};
use planner::policy::Policies;

/// What the planner wants for the group of the picture; and what the guard says if it objects, which it never should.
pub fn check(text: &str, expected: Expect) {
    expected.assert_eq(&planned(text));
}

/// The plan for a picture, as text.
pub fn planned(text: &str) -> String {
    let Picture { observation, market, config } = picture(text);
    let plan = plan(&observation, market.as_ref(), &config);
    let mut policies = Policies::default();
    for _ in 0..2 {
        let again = plan_again(&observation, market.as_ref(), &config, &mut policies);
        assert_eq!(format!("{again:?}"), format!("{plan:?}"), "what is remembered changes nothing");
    }
    let mut lines = plan_text(&plan);
    if let Some(action) = &plan.action
        && let Err(refusal) = guard::check(&observation, action, &config)
    {
        lines.push_str(&format!("  GUARD REFUSES {refusal}\n"));
    }
    lines
}
