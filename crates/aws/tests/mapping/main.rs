//! What goes over the wire for each action and each look, and what comes of each answer. One binary: it links the SDK.

mod apply;
mod errors;
mod look;
mod market;
mod probe;
#[macro_use]
mod region;
