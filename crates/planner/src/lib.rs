//! Decides what should change in an Auto Scaling group, and why; never does it.
//!
//! Everything here is a function from data to data: time, prices and wishes are arguments. [`plan`](plan::plan) is the
//! way in; [`guard`] is the second opinion on one action.
#![warn(missing_docs)]

pub mod action;
pub mod advise;
pub mod backoff;
pub mod bids;
pub mod budget;
pub mod choose;
pub mod compat;
pub mod explain;
pub mod guard;
pub mod journal;
pub mod market;
pub mod model;
pub mod pace;
pub mod payback;
pub mod plan;
pub mod policy;
pub mod predecessor;
pub mod preflight;
pub mod reason;
pub mod rescue;
pub mod risk;
pub mod savings;
pub mod stats;
pub mod swap;
pub mod traces;
