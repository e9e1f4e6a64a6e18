//! Real data: instance types, offerings, on-demand and spot prices. Where each figure comes from is in `tests/data/README.md`.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::xml::Element;

/// The platforms that have a spot price of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Platform {
    Linux,
    Windows,
    Rhel,
    Suse,
}

impl Platform {
    pub const ALL: [Platform; 4] = [Platform::Linux, Platform::Windows, Platform::Rhel, Platform::Suse];

    /// The spot price history's name.
    pub fn product(self) -> &'static str {
        match self {
            Platform::Linux => "Linux/UNIX",
            Platform::Windows => "Windows",
            Platform::Rhel => "Red Hat Enterprise Linux",
            Platform::Suse => "SUSE Linux",
        }
    }

    /// The billing code of an image, which is also the `operation` of its products.
    pub fn usage_operation(self) -> &'static str {
        match self {
            Platform::Linux => "RunInstances",
            Platform::Windows => "RunInstances:0002",
            Platform::Rhel => "RunInstances:0010",
            Platform::Suse => "RunInstances:000g",
        }
    }

    /// The price list's name.
    pub fn operating_system(self) -> &'static str {
        match self {
            Platform::Linux => "Linux",
            Platform::Windows => "Windows",
            Platform::Rhel => "RHEL",
            Platform::Suse => "SUSE",
        }
    }

    /// `Linux/UNIX` and `Linux/UNIX (Amazon VPC)` name the same thing today.
    pub fn of_product(product: &str) -> Option<Platform> {
        let plain = product.trim_end_matches(" (Amazon VPC)");
        Platform::ALL.into_iter().find(|platform| platform.product() == plain)
    }
}

/// One instance type: AWS's own description, as JSON and as EC2's XML.
pub struct TypeInfo {
    pub json: Value,
    pub xml: Element,
    pub vcpus: u32,
    pub memory_mib: u64,
    pub is_metal: bool,
    pub has_spot: bool,
}

/// One row of the spot price history.
#[derive(Clone, Debug, PartialEq)]
pub struct SpotPrice {
    pub at: i64,
    pub usd: f64,
}

/// Everything that is known of the regions.
pub struct Market {
    pub types: BTreeMap<String, TypeInfo>,
    /// Region, then type, then the zones that offer it.
    offerings: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    linux_us_east_1: HashMap<String, f64>,
    /// What another platform costs on top of Linux, per type, where it is known.
    surcharges: HashMap<(String, Platform), f64>,
    region_factors: HashMap<String, f64>,
    /// Saving in percent over on-demand: (region, is Windows, type).
    savings: HashMap<(String, bool, String), f64>,
    /// Real step functions, as (seconds since start, price over mean price).
    shapes: Vec<Shape>,
}

struct Shape {
    steps: Vec<(i64, f64)>,
    length: i64,
}

impl Market {
    /// Reads the data directory.
    pub fn load(dir: &Path) -> Result<Market, String> {
        let documents: Vec<Value> = serde_json::from_str(&unzip(dir, "describe_instance_types_2026-10.json.gz")?)
            .map_err(|error| error.to_string())?;
        let types = documents
            .into_iter()
            .filter_map(|json| Some((json["InstanceType"].as_str()?.to_owned(), type_info(json))))
            .collect();

        let mut offerings: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
        for row in rows(&unzip(dir, "offerings_by_az.csv.gz")?) {
            let zones = row[2].split(' ').map(str::to_owned).collect();
            offerings.entry(row[0].clone()).or_default().insert(row[1].clone(), zones);
        }

        let linux_us_east_1 = rows(&read(dir, "us-east-1_linux_2026-07-20.csv")?)
            .into_iter()
            .filter_map(|row| Some((row[0].clone(), row[1].parse().ok()?)))
            .collect();

        let mut surcharges = HashMap::new();
        for row in rows(&read(dir, "us-east-1_os_2023-08-30.csv")?) {
            let Ok(linux) = row[1].parse::<f64>() else { continue };
            for (column, platform) in [(2, Platform::Windows), (3, Platform::Rhel), (4, Platform::Suse)] {
                if let Ok(price) = row[column].parse::<f64>() {
                    surcharges.insert((row[0].clone(), platform), price - linux);
                }
            }
        }

        let advisor: Value =
            serde_json::from_str(&unzip(dir, "spot_advisor_2025-06-28.json.gz")?).map_err(|error| error.to_string())?;
        let mut savings = HashMap::new();
        for (region, systems) in advisor["spot_advisor"].as_object().into_iter().flatten() {
            for (system, types) in systems.as_object().into_iter().flatten() {
                for (name, figures) in types.as_object().into_iter().flatten() {
                    if let Some(saving) = figures["s"].as_f64() {
                        savings.insert((region.clone(), system == "Windows", name.clone()), saving);
                    }
                }
            }
        }

        let mut shapes = shapes(&read(dir, "az_m5.large_us-east-1_2021-01.csv")?);
        shapes.extend(self::shapes(&read(dir, "az_c5a.2xlarge_us-east-1_2023-11.csv")?));

        let region_factors = region_factors(&unzip(dir, "all_regions_os_2019-04-05.csv.gz")?);
        Ok(Market { types, offerings, linux_us_east_1, surcharges, region_factors, savings, shapes })
    }

    /// The types offered in a region, with their zones, in order of name.
    pub fn offered(&self, region: &str) -> impl Iterator<Item = (&str, &[String])> {
        self.offerings.get(region).into_iter().flatten().map(|(name, zones)| (name.as_str(), zones.as_slice()))
    }

    pub fn is_offered(&self, region: &str, instance_type: &str, zone: &str) -> bool {
        let zones = self.offerings.get(region).and_then(|types| types.get(instance_type));
        zones.is_some_and(|zones| zones.iter().any(|known| known == zone))
    }

    /// The on-demand price per hour. Outside us-east-1 it is us-east-1's, times the region's factor of 2019.
    pub fn on_demand(&self, region: &str, instance_type: &str, platform: Platform) -> Option<f64> {
        // What a region costs that did not exist in 2019: the middle of those that came last.
        const YOUNG_REGION: f64 = 1.12;
        let factor =
            if region == "us-east-1" { 1.0 } else { self.region_factors.get(region).copied().unwrap_or(YOUNG_REGION) };
        let linux = self.linux_us_east_1.get(instance_type)? * factor;
        let surcharge = match platform {
            Platform::Linux => 0.0,
            Platform::Windows | Platform::Rhel | Platform::Suse => self.surcharge(instance_type, platform)?,
        };
        Some(round(linux + surcharge, 4))
    }

    fn surcharge(&self, instance_type: &str, platform: Platform) -> Option<f64> {
        if let Some(known) = self.surcharges.get(&(instance_type.to_owned(), platform)) {
            return Some(*known);
        }
        let info = self.types.get(instance_type)?;
        let is_x86 =
            info.json["ProcessorInfo"]["SupportedArchitectures"].as_array()?.iter().any(|name| name == "x86_64");
        match platform {
            Platform::Linux => Some(0.0),
            Platform::Windows => is_x86.then_some(0.046 * f64::from(info.vcpus)),
            Platform::Rhel => Some(if info.vcpus <= 4 { 0.06 } else { 0.13 }),
            Platform::Suse => Some(if info.vcpus <= 1 { 0.056 } else { 0.125 }),
        }
    }

    /// The spot price in one zone at one time: the last change before it. `None`: no such capacity pool.
    pub fn spot(
        &self,
        region: &str,
        zone: &str,
        instance_type: &str,
        platform: Platform,
        at: i64,
    ) -> Option<SpotPrice> {
        self.spot_history(region, zone, instance_type, platform, at, at).pop()
    }

    /// Every change in `from..=to`, newest first, and last the price that was valid at `from`.
    pub fn spot_history(
        &self,
        region: &str,
        zone: &str,
        instance_type: &str,
        platform: Platform,
        from: i64,
        to: i64,
    ) -> Vec<SpotPrice> {
        let Some(mean) = self.mean_spot(region, zone, instance_type, platform) else { return Vec::new() };
        let Some(on_demand) = self.on_demand(region, instance_type, platform) else { return Vec::new() };
        let seed = hash(&format!("{region} {zone} {instance_type}"));
        let shape = &self.shapes[(seed % self.shapes.len() as u64) as usize];
        let phase = (seed >> 8) as i64 % shape.length;
        // AWS lets no spot price rise above on-demand.
        let usd = |ratio: f64| round((mean * ratio).min(on_demand), 4);
        shape.changes(phase, from, to).into_iter().map(|(at, ratio)| SpotPrice { at, usd: usd(ratio) }).collect()
    }

    /// The mean of a pool: on-demand less the region's saving, a little different in each zone.
    fn mean_spot(&self, region: &str, zone: &str, instance_type: &str, platform: Platform) -> Option<f64> {
        if !self.is_offered(region, instance_type, zone) || !self.types.get(instance_type)?.has_spot {
            return None;
        }
        let is_windows = platform == Platform::Windows;
        let saving = self.savings.get(&(region.to_owned(), is_windows, instance_type.to_owned())).copied()?;
        let zone_factor = 0.93 + 0.14 * ((hash(&format!("{zone} {instance_type}")) % 1000) as f64 / 1000.0);
        Some(self.on_demand(region, instance_type, platform)? * (1.0 - saving / 100.0) * zone_factor)
    }
}

impl Shape {
    /// Newest first: the changes within `from..=to`, then the last one before `from`.
    fn changes(&self, phase: i64, from: i64, to: i64) -> Vec<(i64, f64)> {
        let mut found = Vec::new();
        let mut round = (to + phase).div_euclid(self.length);
        loop {
            let start = round * self.length - phase;
            for (offset, ratio) in self.steps.iter().rev() {
                let at = start + offset;
                if at > to {
                    continue;
                }
                found.push((at, *ratio));
                if at <= from {
                    return found;
                }
            }
            round -= 1;
        }
    }
}

/// A stable hash, so that a market looks the same on every run.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

fn read(dir: &Path, name: &str) -> Result<String, String> {
    std::fs::read_to_string(dir.join(name)).map_err(|error| format!("{name}: {error}"))
}

fn unzip(dir: &Path, name: &str) -> Result<String, String> {
    let file = std::fs::File::open(dir.join(name)).map_err(|error| format!("{name}: {error}"))?;
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).map_err(|error| format!("{name}: {error}"))?;
    Ok(text)
}

/// The rows of a CSV file without quotes, less the header.
fn rows(text: &str) -> Vec<Vec<String>> {
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// The price of a region over that of us-east-1: the median over all types of 2019.
fn region_factors(text: &str) -> HashMap<String, f64> {
    let mut by_region: HashMap<String, HashMap<String, f64>> = HashMap::new();
    for row in rows(text) {
        if let Ok(price) = row[2].parse() {
            by_region.entry(row[0].clone()).or_default().insert(row[1].clone(), price);
        }
    }
    let Some(base) = by_region.get("us-east-1").cloned() else { return HashMap::new() };
    by_region
        .into_iter()
        .filter_map(|(region, prices)| {
            let mut ratios: Vec<f64> =
                prices.iter().filter_map(|(name, price)| Some(price / base.get(name)?)).collect();
            ratios.sort_by(f64::total_cmp);
            Some((region, *ratios.get(ratios.len() / 2)?))
        })
        .collect()
}

/// One shape per zone of a price history file.
fn shapes(text: &str) -> Vec<Shape> {
    let mut by_zone: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    for row in rows(text) {
        if let (Ok(at), Ok(price)) = (row[0].parse(), row[4].parse()) {
            by_zone.entry(row[1].clone()).or_default().push((at, price));
        }
    }
    by_zone.into_values().filter_map(shape).collect()
}

fn shape(mut records: Vec<(i64, f64)>) -> Option<Shape> {
    records.sort_by_key(|(at, _)| *at);
    records.dedup_by(|later, earlier| later.1 == earlier.1);
    let (start, end) = (records.first()?.0, records.last()?.0);
    let length = end - start;
    if length <= 0 {
        return None;
    }
    let weighted: f64 = records.windows(2).map(|pair| pair[0].1 * (pair[1].0 - pair[0].0) as f64).sum();
    let mean = weighted / length as f64;
    // The last record begins the next round, so the series can be repeated for ever.
    records.pop();
    Some(Shape { steps: records.into_iter().map(|(at, price)| (at - start, price / mean)).collect(), length })
}

fn type_info(json: Value) -> TypeInfo {
    TypeInfo {
        xml: to_xml("item", &json).render(),
        vcpus: json["VCpuInfo"]["DefaultVCpus"].as_u64().unwrap_or(0) as u32,
        memory_mib: json["MemoryInfo"]["SizeInMiB"].as_u64().unwrap_or(0),
        is_metal: json["BareMetal"].as_bool().unwrap_or(false),
        has_spot: json["SupportedUsageClasses"]
            .as_array()
            .is_some_and(|classes| classes.iter().any(|class| class == "spot")),
        json,
    }
}

/// The API's JSON in EC2's XML: names start in lower case, lists hold `item`s; three names are special in AWS's own model.
fn to_xml(name: &str, value: &Value) -> Element {
    let mut element = Element::new(name);
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let name = match key.as_str() {
                    "EbsCards" => "ebsCardSet".to_owned(),
                    "InterfaceTypes" => "interfaceTypeSet".to_owned(),
                    "Workloads" => "workloadSet".to_owned(),
                    _ => key[..1].to_ascii_lowercase() + &key[1..],
                };
                element.children.push(to_xml(&name, inner));
            }
        }
        Value::Array(items) => element.children.extend(items.iter().map(|item| to_xml("item", item))),
        Value::String(text) => element.text = text.clone(),
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => element.text = value.to_string(),
    }
    element
}

#[cfg(test)]
mod tests {
    use super::{Market, Platform};

    fn market() -> Market {
        Market::load(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../data")))
            .expect("the data files are there")
    }

    #[test]
    fn every_spot_price_is_positive_and_at_most_on_demand() {
        let market = market();
        let mut pools = 0;
        for (name, zones) in market.offered("us-east-1") {
            for zone in zones {
                let Some(price) = market.spot("us-east-1", zone, name, Platform::Linux, 1_790_000_000) else {
                    continue;
                };
                let on_demand =
                    market.on_demand("us-east-1", name, Platform::Linux).expect("a pool with a spot price has one");
                assert!(price.usd > 0.0 && price.usd <= on_demand, "{name} {zone}: {} of {on_demand}", price.usd);
                pools += 1;
            }
        }
        assert!(pools > 3000, "only {pools} pools");
    }

    #[test]
    fn the_history_of_a_pool_is_what_its_price_was() {
        let market = market();
        let (from, to) = (1_790_000_000, 1_790_000_000 + 10 * 86_400);
        let history = market.spot_history("us-east-1", "us-east-1a", "m5.large", Platform::Linux, from, to);
        assert!(history.len() > 1, "no change in ten days");
        assert!(history.windows(2).all(|pair| pair[0].at > pair[1].at));
        assert!(history.last().expect("not empty").at <= from);
        for change in &history {
            let then = market
                .spot("us-east-1", "us-east-1a", "m5.large", Platform::Linux, change.at.max(from))
                .expect("a price");
            assert_eq!(then.usd, change.usd);
        }
    }
}
