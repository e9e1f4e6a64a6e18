//! Money for people: per hour as AWS lists it, per month as it is billed.

use planner::model::Price;
use planner::savings::Saving;

/// AWS's own convention for a month.
pub const HOURS_PER_MONTH: i64 = 730;

/// The sign of the region's price list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Currency(&'static str);

impl Currency {
    pub fn of(region: &str) -> Self {
        if region.starts_with("cn-") { Self("¥") } else { Self("$") }
    }

    pub fn code(self) -> &'static str {
        if self.0 == "¥" { "CNY" } else { "USD" }
    }

    /// `$`
    pub fn sign(self) -> &'static str {
        self.0
    }

    /// `$0.0960`, for columns whose head says that it is per hour.
    pub fn price(self, price: Price) -> String {
        self.amount(i64::try_from(price.0).unwrap_or(i64::MAX), 4)
    }

    /// `$0.0960/h`
    pub fn per_hour(self, micros: i64) -> String {
        format!("{}/h", self.amount(micros, 4))
    }

    /// `$70` a month; cents where they matter.
    pub fn per_month(self, micros_per_hour: i64) -> String {
        let micros = micros_per_hour.saturating_mul(HOURS_PER_MONTH);
        let digits = if micros.abs() < 10_000_000 { 2 } else { 0 };
        format!("{}/month", self.amount(micros, digits))
    }

    /// `$0.0561 to $0.0612/h ($41 to $45/month)`
    pub fn saving(self, saving: Saving) -> String {
        format!("{} ({})", self.range(saving, Self::per_hour), self.range_per_month(saving))
    }

    /// `$41 to $45/month`
    pub fn range_per_month(self, saving: Saving) -> String {
        self.range(saving, Self::per_month)
    }

    fn range(self, Saving { least, most }: Saving, per: fn(Self, i64) -> String) -> String {
        let (low, high) = (per(self, least), per(self, most));
        if low == high { high } else { format!("{} to {high}", low.split('/').next().unwrap_or(&low)) }
    }

    /// `$1,234.50`: a sum, not a price. Of sums below ten cents the fourth digit is worth reading.
    pub fn sum(self, micros: i64) -> String {
        let digits = if micros != 0 && micros.abs() < 100_000 { 4 } else { 2 };
        self.amount(micros, digits)
    }

    fn amount(self, micros: i64, digits: usize) -> String {
        let sign = if micros < 0 { "-" } else { "" };
        let amount = format!("{:.digits$}", micros.unsigned_abs() as f64 / 1e6);
        let (whole, rest) = amount.split_once('.').map_or((amount.as_str(), None), |(whole, rest)| (whole, Some(rest)));
        let mut grouped = String::new();
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        match rest {
            Some(rest) => format!("{sign}{}{grouped}.{rest}", self.0),
            None => format!("{sign}{}{grouped}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_people_write_them() {
        let dollars = Currency::of("us-east-1");
        assert_eq!(dollars.per_hour(96_000), "$0.0960/h");
        assert_eq!(dollars.per_month(96_000), "$70/month");
        assert_eq!(dollars.per_month(9_600), "$7.01/month");
        assert_eq!(dollars.per_month(-96_000), "-$70/month");
        assert_eq!(dollars.per_month(96_000_000), "$70,080/month");
        assert_eq!(Currency::of("cn-north-1").per_hour(96_000), "¥0.0960/h");
    }

    #[test]
    fn a_range_without_width_is_one_amount() {
        let dollars = Currency::of("us-east-1");
        assert_eq!(dollars.saving(Saving { least: 50_000, most: 60_000 }), "$0.0500 to $0.0600/h ($36 to $44/month)");
        assert_eq!(dollars.saving(Saving { least: 50_000, most: 50_000 }), "$0.0500/h ($36/month)");
    }
}
