//! A region of AWS in memory, with weather and an oracle: the proof that the promises hold.
//!
//! [`run`] plays one scenario from one seed: passes of the real engine against the simulated region while the weather
//! does what it likes, then calm until everything is at rest. The oracle judges every change. Nothing here asks the
//! clock or the operating system for anything: the same scenario and seed give the same run on every machine.

mod bill;
mod market;
mod oracle;
mod port;
mod region;
mod rng;
mod run;
mod scenario;
mod tidy;
mod trace;
mod weather;
mod world;

pub use bill::{Bill, Line, Metered};
pub use oracle::{Promise, Violation};
pub use region::Unknowns;
pub use run::{Aftermath, Finale, Options, RunReport, Storm, run, run_with_each};
pub use scenario::{SCENARIOS, Scenario, named};
pub use weather::{Kind, Weather};
pub use world::Blow;
