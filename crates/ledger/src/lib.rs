//! What was paid, and what would have been: from log lines and prices to an account of savings.
//!
//! The function writes [records](record) as lines of its log, and only when something has changed or an hour is over:
//! who is in a group, who ended and why, which swap was finished. They say nothing of money but what was at hand. A
//! report reads them back, makes a [life](book) of each instance, lays the [price history](prices) over it and
//! [adds up](account). What is not known is not guessed: it is listed.
//!
//! **Invariant**: functions from data to data; no clock, files, network, async.
#![warn(missing_docs)]

pub mod account;
pub mod book;
pub mod keeper;
pub mod prices;
pub mod read;
pub mod record;

pub use account::{Account, Sums, account};
pub use book::{Book, End, Life};
pub use keeper::{Keeper, finished_swap};
pub use prices::{PoolKey, Prices};
pub use record::{Bought, Ended, Instance, Members, PriceAt, Record, Swapped, Why};
