//! The nouns: what there is on AWS, without any decision about it.

mod group;
mod ids;
mod instance;
mod money;

pub use group::*;
pub use ids::*;
pub use instance::*;
pub use money::Price;
