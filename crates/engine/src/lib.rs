//! Makes it so: look, plan, guard, apply. Owns the port, the event formats and the JSON that we promise.
#![warn(missing_docs)]

mod cloud;

pub use cloud::{Cloud, CloudError, Scope};
