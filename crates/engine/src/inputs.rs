//! What an owner may give beside AWS's answers: on-demand prices in a file, and AWS's Spot Advisor document.
//!
//! Texts in, values out: who reads the files is the entry point.

use std::collections::BTreeMap;

use planner::model::{InstanceType, Platform, Price};
use planner::stats::InterruptionFrequency;
use serde_json::Value;

/// Both are optional.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// On-demand prices, instead of the Price List service: some partitions have none.
    pub prices: Option<PriceFile>,
    /// How often AWS says that types are interrupted.
    pub advisor: Option<Advisor>,
}

/// On-demand prices of one region, by platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceFile(BTreeMap<Platform, BTreeMap<InstanceType, Price>>);

impl PriceFile {
    /// Comma-separated values with a header: `instance_type` and one or more of `linux` (or `usd_per_hour`), `windows`,
    /// `rhel`, `suse` (or `sles`). Prices are per hour in the currency of the region's bill; an empty cell is not known;
    /// empty lines and lines that begin with `#` do not count. `Err` names the line and what is wrong with it.
    pub fn parse(text: &str) -> Result<PriceFile, String> {
        let mut lines = text
            .lines()
            .zip(1..)
            .map(|(line, number)| (line.trim(), number))
            .filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
        let (header, _) = lines.next().ok_or("there is no header line, as in `instance_type,linux`")?;
        let columns: Vec<Column> = header.split(',').map(|name| column(name.trim())).collect::<Result<_, _>>()?;
        let named = columns.iter().filter(|column| matches!(column, Column::Type)).count();
        if named != 1 || columns.len() < 2 {
            return Err(format!("header {header:?}: needed are instance_type, once, and a column of prices"));
        }
        let mut prices: BTreeMap<Platform, BTreeMap<InstanceType, Price>> = BTreeMap::new();
        for (line, number) in lines {
            let cells: Vec<&str> = line.split(',').map(str::trim).collect();
            if cells.len() != columns.len() {
                return Err(format!("line {number}: {} cells, the header has {}", cells.len(), columns.len()));
            }
            let of_type = columns.iter().position(|column| matches!(column, Column::Type)).unwrap_or(0);
            let name = cells[of_type];
            if !name.contains('.') {
                return Err(format!("line {number}: {name:?} is no instance type, as in m5.large"));
            }
            for (column, cell) in columns.iter().zip(&cells) {
                let Column::Price(platform) = column else { continue };
                if cell.is_empty() {
                    continue;
                }
                let price = Price::parse(cell)
                    .ok_or_else(|| format!("line {number}: {cell:?} is no price per hour, as in 0.096"))?;
                if prices.entry(*platform).or_default().insert(InstanceType::new(name), price).is_some() {
                    return Err(format!("line {number}: {name} is there twice"));
                }
            }
        }
        if prices.is_empty() {
            return Err("there is no price in it".to_owned());
        }
        Ok(PriceFile(prices))
    }

    /// The prices of one platform; empty if the file has none.
    pub fn of(&self, platform: Platform) -> BTreeMap<InstanceType, Price> {
        self.0.get(&platform).cloned().unwrap_or_default()
    }
}

/// What a column of a price file holds.
enum Column {
    Type,
    Price(Platform),
}

fn column(name: &str) -> Result<Column, String> {
    Ok(match name {
        "instance_type" => Column::Type,
        "linux" | "usd_per_hour" => Column::Price(Platform::Linux),
        "windows" => Column::Price(Platform::Windows),
        "rhel" => Column::Price(Platform::Rhel),
        "suse" | "sles" => Column::Price(Platform::Suse),
        other => {
            return Err(format!("column {other:?}: allowed are instance_type, linux, windows, rhel and suse"));
        }
    })
}

/// What AWS's Spot Advisor says of one region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advisor {
    linux: BTreeMap<InstanceType, InterruptionFrequency>,
    windows: BTreeMap<InstanceType, InterruptionFrequency>,
}

impl Advisor {
    /// AWS's document (`spot-advisor-data.json`), as far as it is about `region`; a region that it does not know has
    /// nothing. `Err` if it is another document. AWS promises nothing about its form: entries that cannot be read are
    /// passed over.
    pub fn parse(text: &str, region: &str) -> Result<Advisor, String> {
        let document: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let regions = document["spot_advisor"].as_object().ok_or("there is no `spot_advisor` in it")?;
        let of = |system: &str| {
            let types = regions.get(region).and_then(|systems| systems[system].as_object());
            let types = types.into_iter().flatten();
            types.filter_map(|(name, entry)| Some((InstanceType::new(name), bucket(entry)?))).collect()
        };
        Ok(Advisor { linux: of("Linux"), windows: of("Windows") })
    }

    /// By type. All Linux platforms share their capacity.
    pub fn of(&self, platform: Platform) -> BTreeMap<InstanceType, InterruptionFrequency> {
        match platform {
            Platform::Linux | Platform::Rhel | Platform::Suse => self.linux.clone(),
            Platform::Windows => self.windows.clone(),
        }
    }
}

fn bucket(entry: &Value) -> Option<InterruptionFrequency> {
    InterruptionFrequency::from_bucket(entry["r"].as_u64()?)
}
