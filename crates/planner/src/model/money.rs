//! Prices as integers, so that two prices compare the same way everywhere.

use std::fmt;

/// Micro-dollars per hour (micro-yuan in China). A pool that is not offered has no price: `None`, never zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(pub u64);

impl Price {
    /// Parses AWS's decimal text (`"0.0960000000"`). `None` for text that is not a positive number: AWS lists
    /// zero prices for what cannot be bought.
    pub fn parse(text: &str) -> Option<Price> {
        let dollars: f64 = text.trim().parse().ok()?;
        (dollars.is_finite() && dollars > 0.0 && dollars < 1e9)
            .then(|| Price((dollars * 1e6).round() as u64))
            .filter(|price| price.0 > 0)
    }

    /// Dollars per hour, for people and JSON only.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// `percent` % of this price, rounded down.
    pub fn percent(self, percent: u32) -> Price {
        Price((u128::from(self.0) * u128::from(percent) / 100) as u64)
    }

    /// How much cheaper this price is than `other`, in whole percent rounded down; zero if it is not cheaper.
    pub fn saving_percent(self, other: Price) -> u32 {
        if other.0 == 0 || self >= other {
            return 0;
        }
        (u128::from(other.0 - self.0) * 100 / u128::from(other.0)) as u32
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${:.4}/h", self.dollars())
    }
}

impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
