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
        // The cast saturates: what is negative becomes zero.
        (dollars < 1e9).then(|| Price((dollars * 1e6).round() as u64)).filter(|price| *price != Price(0))
    }

    /// Dollars per hour, for people and JSON only.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// `percent` % of this price, rounded down.
    pub fn percent(self, percent: u32) -> Price {
        Price((u128::from(self.0) * u128::from(percent) / 100) as u64)
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
