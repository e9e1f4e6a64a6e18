//! What a file holds, told by what it says, not by what it is called.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use planner::bids::TypeFacts;
use planner::model::{InstanceType, Platform, Price, Zone};
use planner::stats::InterruptionFrequency;
use serde::Deserialize;

use crate::file::DataError;
use crate::region_of;

/// Records by market: region and platform, then type and zone.
type Rows = BTreeMap<(String, Platform), BTreeMap<(InstanceType, Zone), Vec<(Timestamp, Price)>>>;

/// What one file holds.
#[derive(Debug)]
pub(crate) enum Content {
    Types(BTreeMap<InstanceType, TypeFacts>),
    Offerings(BTreeMap<String, BTreeMap<InstanceType, BTreeSet<Zone>>>),
    OnDemand(Vec<OnDemandRow>),
    Records(Records),
    Advisor(BTreeMap<(String, Platform, InstanceType), Advice>),
}

/// Spot prices.
#[derive(Debug)]
pub(crate) struct Records {
    pub rows: Rows,
    /// The file says that there is another page.
    pub more: bool,
}

#[derive(Debug)]
pub(crate) struct OnDemandRow {
    pub region: String,
    pub platform: Platform,
    pub instance_type: InstanceType,
    /// The row's own date, before that of the file.
    pub date: Option<Date>,
    pub price: Option<Price>,
}

/// What the Spot Advisor says of a type in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// How often it was interrupted in the month before.
    pub frequency: Option<InterruptionFrequency>,
    /// What spot saved over on-demand in the month before, percent.
    pub saving_percent: Option<i64>,
}

/// Reads a text. `None` if it is of no kind that is known.
pub(crate) fn content(name: &str, text: &str) -> Result<Option<Content>, DataError> {
    let file = File { name, text };
    match text.trim_start().bytes().next() {
        Some(b'{' | b'[') => file.json(),
        Some(_) => file.table(),
        None => Err(DataError::HalfWritten { file: name.to_owned(), place: "it is empty".to_owned() }),
    }
}

/// The day in a file's name: `prices_2026-07-20.csv` is of 20 July 2026, `…_2026-10.json` of 1 October 2026.
pub(crate) fn date_in(name: &str) -> Option<Date> {
    let name = name.rsplit(['/', '\\']).next()?;
    let is =
        |range: std::ops::Range<usize>| name.get(range).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    (0..name.len()).find_map(|at| {
        let starts = at == 0 || !name.as_bytes()[at - 1].is_ascii_digit();
        let year: i16 = is(at..at + 4).filter(|_| starts)?.parse().ok()?;
        let month: i8 = is(at + 5..at + 7).filter(|_| name.as_bytes()[at + 4] == b'-')?.parse().ok()?;
        let day = is(at + 8..at + 10).filter(|_| name.as_bytes()[at + 7] == b'-').and_then(|day| day.parse().ok());
        Date::new(year, month, day.unwrap_or(1)).ok().filter(|_| year >= 2006)
    })
}

/// EC2's product descriptions; those of instances outside a VPC were of the same price. `None` for others.
fn platform(text: &str) -> Option<Platform> {
    let text = text.strip_suffix(" (Amazon VPC)").unwrap_or(text);
    match text {
        "linux" | "Linux" => Some(Platform::Linux),
        "windows" => Some(Platform::Windows),
        "rhel" => Some(Platform::Rhel),
        "sles" | "suse" => Some(Platform::Suse),
        text => Platform::ALL.into_iter().find(|platform| platform.spot_product() == text),
    }
}

struct File<'a> {
    name: &'a str,
    text: &'a str,
}

impl File<'_> {
    fn malformed(&self, what: impl Into<String>) -> DataError {
        DataError::Malformed { file: self.name.to_owned(), what: what.into() }
    }

    // ---- JSON: what the AWS CLI prints, and the Spot Advisor's document ----

    fn json(&self) -> Result<Option<Content>, DataError> {
        if self.text.trim_start().starts_with('[') {
            return match self.parse::<Vec<Head>>() {
                // The list inside `describe-instance-types`, without its head.
                Ok(rows) if rows.iter().all(|row| row.instance_type.is_some()) && !rows.is_empty() => {
                    Ok(Some(Content::Types(types(self.parse()?))))
                }
                Ok(_) => Ok(None),
                Err(error @ DataError::HalfWritten { .. }) => Err(error),
                Err(_) => Ok(None),
            };
        }
        let head: Head = self.parse()?;
        if head.spot_price_history.is_some() {
            return self.records(self.parse()?).map(Some);
        }
        if head.instance_types.is_some() {
            let page: InstanceTypes = self.parse()?;
            return Ok(Some(Content::Types(types(page.instance_types))));
        }
        if head.instance_type_offerings.is_some() {
            return self.offerings(self.parse()?).map(Some);
        }
        if head.price_list.is_some() {
            return self.price_list(self.parse()?).map(Some);
        }
        if head.spot_advisor.is_some() {
            return Ok(Some(Content::Advisor(advisor(self.parse()?))));
        }
        Ok(None)
    }

    fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, DataError> {
        serde_json::from_str(self.text).map_err(|error| match error.classify() {
            serde_json::error::Category::Eof => DataError::HalfWritten {
                file: self.name.to_owned(),
                place: format!("line {}, column {}", error.line(), error.column()),
            },
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
                self.malformed(format!("not JSON: {error}"))
            }
            serde_json::error::Category::Data => self.malformed(error.to_string()),
        })
    }

    fn records(&self, page: SpotPriceHistory) -> Result<Content, DataError> {
        let more = page.next_token.is_some_and(|token| !token.is_empty());
        let mut rows = Rows::new();
        for (at, row) in page.spot_price_history.into_iter().enumerate() {
            let wrong = |what: String| self.malformed(format!("SpotPriceHistory[{at}]: {what}"));
            let Some(platform) = platform(&row.product_description) else { continue };
            let time = row.timestamp.parse().map_err(|_| wrong(format!("{:?} is not a time", row.timestamp)))?;
            let zone = row.availability_zone;
            let region = region_of(&zone).ok_or_else(|| wrong(format!("{zone:?} is not an Availability Zone")))?;
            let price =
                Price::parse(&row.spot_price).ok_or_else(|| wrong(format!("{:?} is not a price", row.spot_price)))?;
            let key = (InstanceType::new(row.instance_type), Zone::new(zone));
            rows.entry((region, platform)).or_default().entry(key).or_default().push((time, price));
        }
        Ok(Content::Records(Records { rows, more }))
    }

    fn offerings(&self, page: Offerings) -> Result<Content, DataError> {
        let mut offerings: BTreeMap<String, BTreeMap<InstanceType, BTreeSet<Zone>>> = BTreeMap::new();
        for (at, row) in page.instance_type_offerings.into_iter().enumerate() {
            let wrong = || {
                let hint = "ask with --location-type availability-zone";
                self.malformed(format!(
                    "InstanceTypeOfferings[{at}]: {:?} is not an Availability Zone: {hint}",
                    row.location
                ))
            };
            let region = region_of(&row.location).filter(|region| *region != row.location).ok_or_else(wrong)?;
            let types = offerings.entry(region).or_default();
            types.entry(InstanceType::new(&row.instance_type)).or_default().insert(Zone::new(&row.location));
        }
        Ok(Content::Offerings(offerings))
    }

    /// Each entry is a document in a text, as the service sends it.
    fn price_list(&self, page: PriceList) -> Result<Content, DataError> {
        let mut rows = Vec::new();
        for (at, text) in page.price_list.iter().enumerate() {
            let entry: PriceListEntry = serde_json::from_str(text)
                .map_err(|error| self.malformed(format!("PriceList[{at}]: not a product: {error}")))?;
            let product = entry.product.attributes;
            let whole = |value: &Option<String>, wanted: &str| value.as_deref().is_none_or(|value| value == wanted);
            let ordinary = whole(&product.tenancy, "Shared")
                && whole(&product.capacitystatus, "Used")
                && whole(&product.marketoption, "OnDemand");
            let (Some(instance_type), Some(region), Some(operation)) =
                (product.instance_type, product.region_code, product.operation)
            else {
                continue;
            };
            let Some(platform) = Platform::from_usage_operation(&operation).filter(|_| ordinary) else { continue };
            let terms = entry.terms.on_demand.values().flat_map(|offer| offer.price_dimensions.values());
            // Dollars, or yuan in China.
            let price =
                terms.flat_map(|dimension| dimension.price_per_unit.values()).find_map(|text| Price::parse(text));
            if price.is_some() {
                rows.push(OnDemandRow {
                    region,
                    platform,
                    instance_type: instance_type.as_str().into(),
                    date: None,
                    price,
                });
            }
        }
        if rows.is_empty() {
            return Err(self.malformed("no on-demand price of an instance in it"));
        }
        Ok(Content::OnDemand(rows))
    }

    // ---- tables ----

    fn table(&self) -> Result<Option<Content>, DataError> {
        let mut rows = self.text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let Some(head) = rows.next().and_then(|(_, line)| cells(line)) else { return Ok(None) };
        let has = |names: &[&str]| names.iter().all(|name| head.iter().any(|column| column == name));
        let known = has(&["ts", "az", "instance_type", "os", "price"])
            || has(&["instance_type", "vcpu", "memory_mib", "arch", "usage_classes"])
            || has(&["region", "instance_type", "azs"])
            || (has(&["instance_type"]) && (has(&["usd_per_hour"]) || has(&["linux", "windows", "rhel", "sles"])));
        if !known {
            return Ok(None);
        }
        let width = head.len();
        let mut table = Table { file: self, head, rows: Vec::new() };
        for (at, line) in rows {
            let line_number = at + 1;
            let cells = cells(line)
                .ok_or_else(|| self.malformed(format!("line {line_number}: a quote that nothing closes")))?;
            if cells.len() != width {
                return Err(self.wrong_width(line_number, cells.len(), width));
            }
            table.rows.push(Row { line: line_number, cells });
        }
        let has = |name: &str| table.optional(name).is_some();
        let content = if has("ts") {
            table.records()?
        } else if has("vcpu") {
            table.types()?
        } else if has("azs") {
            table.offerings()?
        } else {
            table.on_demand()?
        };
        Ok(Some(content))
    }

    fn wrong_width(&self, line: usize, found: usize, wanted: usize) -> DataError {
        let last = self.text.lines().count();
        // A last line without an end, and too short: the file was cut.
        if line == last && found < wanted && !self.text.ends_with('\n') {
            return DataError::HalfWritten {
                file: self.name.to_owned(),
                place: format!("line {line}, {found} columns"),
            };
        }
        self.malformed(format!("line {line}: {found} columns where the head has {wanted}"))
    }
}

/// Cells of one line, trimmed: with commas and doubled quotes inside of quotes, without line breaks. `None` if a quote is
/// not closed.
fn cells(line: &str) -> Option<Vec<String>> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut signs = line.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '"' if quoted && signs.peek() == Some(&'"') => {
                signs.next();
                cells.last_mut()?.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            sign => cells.last_mut()?.push(sign),
        }
    }
    let trimmed = cells.into_iter().map(|cell| cell.trim().to_owned());
    (!quoted).then(|| trimmed.collect())
}

/// A row of a table, with its line.
struct Row {
    line: usize,
    cells: Vec<String>,
}

impl std::ops::Index<usize> for Row {
    type Output = str;

    fn index(&self, column: usize) -> &str {
        &self.cells[column]
    }
}

struct Table<'a> {
    file: &'a File<'a>,
    head: Vec<String>,
    rows: Vec<Row>,
}

impl Table<'_> {
    fn optional(&self, name: &str) -> Option<usize> {
        self.head.iter().position(|column| column == name)
    }

    fn column(&self, name: &str) -> usize {
        self.optional(name).expect("the head was looked at")
    }

    /// A row that is wrong: with its line, and what should stand there.
    fn wrong(&self, row: &Row, text: &str, what: &str) -> DataError {
        let line = row.line;
        self.file.malformed(format!("line {line}: {text:?} is not {what}"))
    }

    fn records(&self) -> Result<Content, DataError> {
        let [ts, az, name, os, price] = ["ts", "az", "instance_type", "os", "price"].map(|name| self.column(name));
        let mut rows = Rows::new();
        for row in &self.rows {
            let seconds: Option<Timestamp> =
                row[ts].parse().ok().and_then(|second| Timestamp::from_second(second).ok());
            let time = seconds.or_else(|| row[ts].parse().ok());
            let time =
                time.ok_or_else(|| self.wrong(row, &row[ts], "a time: Unix seconds, or 2026-01-31T12:00:00Z"))?;
            let platform = platform(&row[os])
                .ok_or_else(|| self.wrong(row, &row[os], "linux, windows, rhel, sles or AWS's name of one of them"))?;
            let region = region_of(&row[az]).ok_or_else(|| self.wrong(row, &row[az], "an Availability Zone"))?;
            let price = Price::parse(&row[price]).ok_or_else(|| self.wrong(row, &row[price], "a price"))?;
            let key = (InstanceType::new(&row[name]), Zone::new(&row[az]));
            rows.entry((region, platform)).or_default().entry(key).or_default().push((time, price));
        }
        Ok(Content::Records(Records { rows, more: false }))
    }

    fn types(&self) -> Result<Content, DataError> {
        let [name, vcpu, memory, arch, usage] =
            ["instance_type", "vcpu", "memory_mib", "arch", "usage_classes"].map(|name| self.column(name));
        let mut types = BTreeMap::new();
        for row in &self.rows {
            let vcpus = row[vcpu].parse().map_err(|_| self.wrong(row, &row[vcpu], "a number of vCPUs"))?;
            let memory_mib = row[memory].parse().map_err(|_| self.wrong(row, &row[memory], "memory in MiB"))?;
            let facts = TypeFacts {
                vcpus,
                memory_mib,
                architectures: row[arch].split(' ').map(str::to_owned).collect(),
                spot: row[usage].split(' ').any(|class| class == "spot"),
            };
            types.insert(InstanceType::new(&row[name]), facts);
        }
        Ok(Content::Types(types))
    }

    fn offerings(&self) -> Result<Content, DataError> {
        let [region, name, azs] = ["region", "instance_type", "azs"].map(|name| self.column(name));
        let mut offerings: BTreeMap<String, BTreeMap<InstanceType, BTreeSet<Zone>>> = BTreeMap::new();
        for row in &self.rows {
            let zones = row[azs].split(' ').filter(|zone| !zone.is_empty()).map(Zone::new);
            let types = offerings.entry(row[region].to_owned()).or_default();
            types.entry(InstanceType::new(&row[name])).or_default().extend(zones);
        }
        Ok(Content::Offerings(offerings))
    }

    fn on_demand(&self) -> Result<Content, DataError> {
        let optional = |name: &str| self.optional(name);
        let (region, date, name) = (optional("region"), optional("date"), self.column("instance_type"));
        let of_file = self.file.name.rsplit(['/', '\\']).next().unwrap_or_default();
        let of_file = of_file.split('_').next().filter(|start| region_of(start).as_deref() == Some(start));
        if region.is_none() && of_file.is_none() {
            let hint = "add a column `region`, or begin the file's name with the region (`us-east-1_prices.csv`)";
            return Err(self.file.malformed(format!("it does not say of which region the prices are: {hint}")));
        }
        let prices: Vec<(usize, Platform)> = [
            ("usd_per_hour", Platform::Linux),
            ("linux", Platform::Linux),
            ("windows", Platform::Windows),
            ("rhel", Platform::Rhel),
            ("sles", Platform::Suse),
        ]
        .into_iter()
        .filter_map(|(name, platform)| Some((optional(name)?, platform)))
        .collect();
        let mut rows = Vec::new();
        for row in &self.rows {
            let region = region.map(|region| &row[region]).or(of_file).unwrap_or_default().to_owned();
            let date = match date.map(|date| &row[date]) {
                Some(text) => Some(text.parse().map_err(|_| self.wrong(row, text, "a day like 2026-01-31"))?),
                None => None,
            };
            for (column, platform) in &prices {
                let text = &row[*column];
                let price = match Price::parse(text) {
                    None if !text.is_empty() => return Err(self.wrong(row, text, "a price")),
                    price => price,
                };
                // An empty cell is "not known"; with dates it is "gone since then".
                if price.is_none() && date.is_none() {
                    continue;
                }
                let (region, platform) = (region.clone(), *platform);
                rows.push(OnDemandRow { region, platform, instance_type: InstanceType::new(&row[name]), date, price });
            }
        }
        Ok(Content::OnDemand(rows))
    }
}

fn types(rows: Vec<InstanceTypeInfo>) -> BTreeMap<InstanceType, TypeFacts> {
    let facts = |row: InstanceTypeInfo| {
        let facts = TypeFacts {
            vcpus: row.v_cpu_info.default_v_cpus,
            memory_mib: row.memory_info.size_in_mi_b,
            architectures: row.processor_info.supported_architectures,
            spot: row.supported_usage_classes.iter().any(|class| class == "spot"),
        };
        (InstanceType::new(row.instance_type), facts)
    };
    rows.into_iter().map(facts).collect()
}

fn advisor(document: AdvisorDocument) -> BTreeMap<(String, Platform, InstanceType), Advice> {
    let mut advice = BTreeMap::new();
    for (region, systems) in document.spot_advisor {
        for (system, types) in systems {
            let Some(platform) = platform(if system == "Windows" { "windows" } else { &system }) else { continue };
            for (name, entry) in types {
                let frequency = entry.r.and_then(InterruptionFrequency::from_bucket);
                let saving_percent = entry.s;
                advice
                    .insert((region.clone(), platform, InstanceType::new(name)), Advice { frequency, saving_percent });
            }
        }
    }
    advice
}

// ---- the documents, as far as they are read ----

/// Which document it is, without reading it.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "SpotPriceHistory")]
    spot_price_history: Option<serde::de::IgnoredAny>,
    #[serde(rename = "InstanceTypes")]
    instance_types: Option<serde::de::IgnoredAny>,
    #[serde(rename = "InstanceTypeOfferings")]
    instance_type_offerings: Option<serde::de::IgnoredAny>,
    #[serde(rename = "PriceList")]
    price_list: Option<serde::de::IgnoredAny>,
    spot_advisor: Option<serde::de::IgnoredAny>,
    #[serde(rename = "InstanceType")]
    instance_type: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SpotPriceHistory {
    spot_price_history: Vec<SpotPrice>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SpotPrice {
    availability_zone: String,
    instance_type: String,
    product_description: String,
    spot_price: String,
    timestamp: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceTypes {
    instance_types: Vec<InstanceTypeInfo>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceTypeInfo {
    instance_type: String,
    #[serde(default)]
    supported_usage_classes: Vec<String>,
    processor_info: ProcessorInfo,
    memory_info: MemoryInfo,
    #[serde(rename = "VCpuInfo")]
    v_cpu_info: VCpuInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ProcessorInfo {
    supported_architectures: Vec<String>,
}

#[derive(Deserialize)]
struct MemoryInfo {
    #[serde(rename = "SizeInMiB")]
    size_in_mi_b: u64,
}

#[derive(Deserialize)]
struct VCpuInfo {
    #[serde(rename = "DefaultVCpus")]
    default_v_cpus: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Offerings {
    instance_type_offerings: Vec<Offering>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Offering {
    instance_type: String,
    location: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PriceList {
    price_list: Vec<String>,
}

#[derive(Deserialize)]
struct PriceListEntry {
    product: Product,
    terms: Terms,
}

#[derive(Deserialize)]
struct Product {
    attributes: Attributes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attributes {
    instance_type: Option<String>,
    region_code: Option<String>,
    operation: Option<String>,
    tenancy: Option<String>,
    capacitystatus: Option<String>,
    marketoption: Option<String>,
}

#[derive(Default, Deserialize)]
struct Terms {
    #[serde(rename = "OnDemand", default)]
    on_demand: BTreeMap<String, Offer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Offer {
    price_dimensions: BTreeMap<String, Dimension>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dimension {
    price_per_unit: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct AdvisorDocument {
    spot_advisor: BTreeMap<String, BTreeMap<String, BTreeMap<String, AdvisorEntry>>>,
}

#[derive(Deserialize)]
struct AdvisorEntry {
    r: Option<u64>,
    s: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_may_be_quoted() {
        let of = |line: &str| cells(line).map(|cells| cells.join("|"));
        assert_eq!(of("a,b , c").as_deref(), Some("a|b|c"));
        assert_eq!(of(r#""a,b","say ""hi""",,"#).as_deref(), Some(r#"a,b|say "hi"||"#));
        assert_eq!(of(r#"a,"b"#), None);
    }

    #[test]
    fn a_date_in_a_name_is_read_and_other_numbers_are_not() {
        let of = |name: &str| date_in(name).map(|date| date.to_string());
        assert_eq!(of("prices/us-east-1_linux_2026-07-20.csv").as_deref(), Some("2026-07-20"));
        assert_eq!(of("describe_instance_types_2026-10.json.gz").as_deref(), Some("2026-10-01"));
        for name in ["a.csv", "2026-01-01/a.csv", "us-east-1_12345.csv", "9999999-01.csv", "x_2026-13-40.csv", "é2026"]
        {
            assert_eq!(of(name), None, "{name}");
        }
    }
}
