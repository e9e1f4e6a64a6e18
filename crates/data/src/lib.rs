//! Instance types and prices from files: what spotward ships, and what its user adds.
//!
//! What the shipped files are, where they come from and under which licenses is told in `data/README.md`. Whatever is
//! answered here says from when it is: prices of different years must not pass for one another.
#![warn(missing_docs)]

mod file;
mod read;
mod shipped;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use planner::bids::TypeFacts;
use planner::model::{InstanceType, Platform, Price, Zone};
use planner::stats::{InterruptionFrequency, PriceHistory};

pub use file::DataError;
pub use read::Advice;
use read::{Content, Records};

/// Everything that the files say.
#[derive(Clone, Debug, Default)]
pub struct Library {
    types: BTreeMap<InstanceType, TypeFacts>,
    offerings: BTreeMap<String, BTreeMap<InstanceType, BTreeSet<Zone>>>,
    on_demand: BTreeMap<(String, Platform, InstanceType), Vec<Listed>>,
    spans: Vec<Span>,
    advisors: Vec<Advisor>,
    sources: Vec<Source>,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name: a path, or the name under which it is shipped.
    pub name: String,
    /// What it holds, and from when it is.
    pub about: String,
    /// It came with the program.
    pub shipped: bool,
}

/// An on-demand price and the day of the list that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Day of the list; `None` for a list that does not say: it counts as the newest.
    pub date: Option<Date>,
    /// The price; `None` = gone from the list since then.
    pub price: Option<Price>,
}

/// A recording of spot prices without holes: one file, or several that overlap.
#[derive(Clone, Debug)]
struct Span {
    region: String,
    platform: Platform,
    /// First record of anything in it.
    start: Timestamp,
    /// Last record of anything in it: every price holds until then.
    end: Timestamp,
    records: BTreeMap<(InstanceType, Zone), Vec<(Timestamp, Price)>>,
    /// Places in [`Library::sources`].
    sources: BTreeSet<usize>,
}

#[derive(Clone, Debug)]
struct Advisor {
    date: Option<Date>,
    by_market: BTreeMap<(String, Platform, InstanceType), Advice>,
}

/// The recorded prices of one type in one region.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// By zone, as far as they lie in the range that was asked for.
    pub zones: BTreeMap<Zone, PriceHistory>,
    /// Begin and end of what is in `zones`.
    pub window: (Timestamp, Timestamp),
    /// Files that it is from.
    pub sources: Vec<String>,
    /// Other recordings of the same type: begin and end.
    pub others: Vec<(Timestamp, Timestamp)>,
}

/// Why there are no recorded prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRecord {
    /// None of this type in this region for this platform; the regions that have any.
    Nowhere {
        /// Regions with a recording of the type for the platform.
        regions: BTreeSet<String>,
        /// Types with a recording in the region for the platform.
        types: BTreeSet<InstanceType>,
    },
    /// There are some, at other times: begin and end of each.
    NotThen(Vec<(Timestamp, Timestamp)>),
}

impl Library {
    /// What the program ships.
    pub fn shipped() -> Result<Library, DataError> {
        let mut library = Library::default();
        for (name, bytes) in shipped::FILES {
            let text = file::unpack(name, bytes)?;
            match read::content(name, &text)? {
                Some(content) => library.add(name, true, content),
                None => unreachable!("{name} is one of the kinds that are read"),
            }
        }
        library.merge();
        Ok(library)
    }

    /// The same with the files of a directory (and those under it), or with one file: what it says counts before what
    /// was there. Returns the names of the files that hold nothing that is known here.
    pub fn read(&mut self, path: &Path) -> Result<Vec<String>, DataError> {
        let mut ignored = Vec::new();
        let mut known = 0;
        for path in file::list(path)? {
            let (name, bytes) = (path.display().to_string(), file::bytes(&path)?);
            match read::content(&name, &file::unpack(&name, &bytes)?)? {
                Some(content) => {
                    known += 1;
                    self.add(&name, false, content);
                }
                None => ignored.push(name),
            }
        }
        if known == 0 {
            return Err(DataError::NothingKnown { path: path.display().to_string() });
        }
        self.merge();
        Ok(ignored)
    }

    /// Reads one Spot Advisor document, which then counts before the others.
    pub fn read_advisor(&mut self, path: &Path) -> Result<(), DataError> {
        let name = path.display().to_string();
        let text = file::unpack(&name, &file::bytes(path)?)?;
        match read::content(&name, &text)? {
            Some(content @ Content::Advisor(_)) => {
                self.add(&name, false, content);
                Ok(())
            }
            Some(_) | None => {
                Err(DataError::Malformed { file: name, what: "it is not the Spot Advisor's document".to_owned() })
            }
        }
    }

    fn add(&mut self, name: &str, shipped: bool, content: Content) {
        let source = self.sources.len();
        let date = read::date_in(name);
        let dated = |what: &str| match date {
            Some(date) => format!("{what}, {date}"),
            None => what.to_owned(),
        };
        let about = match content {
            Content::Types(types) => {
                let about = dated("instance types");
                self.types.extend(types);
                about
            }
            Content::Offerings(offerings) => {
                self.offerings.extend(offerings);
                dated("types by zone")
            }
            Content::OnDemand(rows) => {
                for row in rows {
                    let listed = Listed { date: row.date.or(date), price: row.price };
                    self.on_demand.entry((row.region, row.platform, row.instance_type)).or_default().push(listed);
                }
                dated("on-demand prices")
            }
            Content::Advisor(by_market) => {
                self.advisors.push(Advisor { date, by_market });
                dated("Spot Advisor")
            }
            Content::Records(Records { rows, more }) => {
                let mut whole: Option<(Timestamp, Timestamp)> = None;
                for ((region, platform), records) in rows {
                    let times = records.values().flatten().map(|(at, _)| *at);
                    let (Some(start), Some(end)) = (times.clone().min(), times.max()) else { continue };
                    whole = Some(whole.map_or((start, end), |(a, b)| (a.min(start), b.max(end))));
                    let sources = BTreeSet::from([source]);
                    self.spans.push(Span { region, platform, start, end, records, sources });
                }
                let window = whole.map_or("none".to_owned(), |(start, end)| format!("{} to {}", day(start), day(end)));
                format!("spot prices, {window}{}", if more { " (one page of several: it has a NextToken)" } else { "" })
            }
        };
        self.sources.push(Source { name: name.to_owned(), about, shipped });
    }

    /// Recordings that overlap are one; lists go by date.
    fn merge(&mut self) {
        for listed in self.on_demand.values_mut() {
            // A list without a date counts as the newest. Of one date the file that was read last counts: stable sort.
            listed.sort_by_key(|listed| (listed.date.is_none(), listed.date));
        }
        self.spans.sort_by(|a, b| (&a.region, a.platform, a.start).cmp(&(&b.region, b.platform, b.start)));
        let mut merged: Vec<Span> = Vec::new();
        for span in std::mem::take(&mut self.spans) {
            match merged.iter_mut().rev().find(|earlier| earlier.goes_on_in(&span)) {
                Some(earlier) => {
                    earlier.end = earlier.end.max(span.end);
                    earlier.sources.extend(span.sources);
                    for (key, records) in span.records {
                        earlier.records.entry(key).or_default().extend(records);
                    }
                }
                None => merged.push(span),
            }
        }
        self.spans = merged;
    }

    /// Files that were read, the shipped ones first.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Every region of which anything is known.
    pub fn regions(&self) -> BTreeSet<&str> {
        let priced = self.on_demand.keys().map(|(region, _, _)| region);
        let recorded = self.spans.iter().map(|span| &span.region);
        self.offerings.keys().chain(priced).chain(recorded).map(String::as_str).collect()
    }

    /// Every type that is known, today's and retired ones.
    pub fn types(&self) -> &BTreeMap<InstanceType, TypeFacts> {
        &self.types
    }

    /// Types that a region offers, with their zones. Empty where nothing is known.
    pub fn offered(&self, region: &str) -> impl Iterator<Item = (&InstanceType, &BTreeSet<Zone>)> {
        self.offerings.get(region).into_iter().flatten()
    }

    /// The on-demand price: of the newest list, or of the last one before `at` (else the first after it).
    pub fn on_demand(
        &self,
        region: &str,
        platform: Platform,
        instance_type: &InstanceType,
        at: Option<Timestamp>,
    ) -> Option<Listed> {
        let listed = self.on_demand.get(&(region.to_owned(), platform, instance_type.clone()))?;
        let Some(at) = at.map(day) else { return listed.last().copied().filter(|listed| listed.price.is_some()) };
        let priced = || listed.iter().filter(|listed| listed.price.is_some());
        let before = priced().rfind(|listed| listed.date.is_some_and(|date| date <= at));
        before.or_else(|| priced().next()).copied()
    }

    /// What the newest Spot Advisor document says of a type. Interruptions are about capacity, which all platforms share
    /// (a pool is a zone and a type), so that Red Hat and SUSE have those of Linux; savings are about prices.
    pub fn advice(
        &self,
        region: &str,
        platform: Platform,
        instance_type: &InstanceType,
    ) -> Option<(Advice, Option<Date>)> {
        let of = |platform: Platform| {
            let key = (region.to_owned(), platform, instance_type.clone());
            // The one that was read last, unless both have a date.
            let newest = self
                .advisors
                .iter()
                .enumerate()
                .max_by_key(|(at, advisor)| (advisor.date.is_none(), advisor.date, *at));
            newest.and_then(|(_, advisor)| Some((*advisor.by_market.get(&key)?, advisor.date)))
        };
        match platform {
            Platform::Linux | Platform::Windows => of(platform),
            Platform::Rhel | Platform::Suse => {
                of(Platform::Linux).map(|(advice, date)| (Advice { saving_percent: None, ..advice }, date))
            }
        }
    }

    /// How often a type is interrupted.
    pub fn frequency(&self, region: &str, platform: Platform, name: &InstanceType) -> Option<InterruptionFrequency> {
        self.advice(region, platform, name)?.0.frequency
    }

    /// Recorded spot prices of a type: of all recordings that touch the range the newest one.
    pub fn recorded(
        &self,
        region: &str,
        platform: Platform,
        instance_type: &InstanceType,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Recorded, NoRecord> {
        let has = |span: &&Span| span.platform == platform && span.zones_of(instance_type).next().is_some();
        let spans: Vec<&Span> = self.spans.iter().filter(has).filter(|span| span.region == region).collect();
        if spans.is_empty() {
            let regions = self.spans.iter().filter(has).map(|span| span.region.clone()).collect();
            let here = self.spans.iter().filter(|span| span.region == region && span.platform == platform);
            let types = here.flat_map(|span| span.records.keys().map(|(name, _)| name.clone())).collect();
            return Err(NoRecord::Nowhere { regions, types });
        }
        let found = spans
            .iter()
            .enumerate()
            .filter_map(|(at, span)| Some((span.end, at, span.cut(instance_type, from, until)?)));
        let Some((_, at, zones)) = found.max_by_key(|(end, at, _)| (*end, *at)) else {
            return Err(NoRecord::NotThen(spans.iter().map(|span| (span.start, span.end)).collect()));
        };
        let span = spans[at];
        let start = zones.values().map(PriceHistory::since).min().unwrap_or(span.start);
        let end = zones.values().map(PriceHistory::until).max().unwrap_or(span.end);
        let others = spans.iter().filter(|other| !std::ptr::eq(**other, span)).map(|other| (other.start, other.end));
        Ok(Recorded {
            zones,
            window: (start, end),
            sources: span.sources.iter().map(|source| self.sources[*source].name.clone()).collect(),
            others: others.collect(),
        })
    }
}

impl Span {
    /// Whether another recording, which begins later, is part of this one. Files about different types that happen to
    /// overlap in time stay apart: the end of one says nothing about prices in the other.
    fn goes_on_in(&self, later: &Span) -> bool {
        let types = |span: &Span| span.records.keys().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>();
        (&self.region, self.platform) == (&later.region, later.platform)
            && later.start <= self.end
            && !types(self).is_disjoint(&types(later))
    }

    fn zones_of<'a>(
        &'a self,
        instance_type: &'a InstanceType,
    ) -> impl Iterator<Item = (&'a Zone, &'a [(Timestamp, Price)])> {
        let of_type = self.records.iter().filter(move |((name, _), _)| name == instance_type);
        of_type.map(|((_, zone), records)| (zone, records.as_slice()))
    }

    /// `None` if no zone has a price in the range.
    fn cut(
        &self,
        instance_type: &InstanceType,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Option<BTreeMap<Zone, PriceHistory>> {
        // The last record of a file may be this zone's own: it holds for that second at least.
        let end = self.end.checked_add(jiff::SignedDuration::from_secs(1)).unwrap_or(self.end);
        let (from, until) = (from.unwrap_or(self.start), until.unwrap_or(end));
        let zones: BTreeMap<Zone, PriceHistory> = self
            .zones_of(instance_type)
            .filter_map(|(zone, records)| {
                let history = PriceHistory::new(records.iter().copied(), end)?.between(from, until)?;
                Some((zone.clone(), history))
            })
            .collect();
        (!zones.is_empty()).then_some(zones)
    }
}

/// The day in UTC.
pub fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// The region of a zone: `us-east-1` of `us-east-1a`, `us-west-2` of the local zone `us-west-2-lax-1a`. `None` for what
/// is no zone's name.
pub fn region_of(zone: &str) -> Option<String> {
    let mut region = Vec::new();
    for part in zone.split('-') {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            region.push(&part[..digits]);
            return (region.len() >= 3).then(|| region.join("-"));
        }
        region.push(part);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_zones() {
        let cases = [
            ("us-east-1a", Some("us-east-1")),
            ("us-gov-west-1b", Some("us-gov-west-1")),
            ("us-west-2-lax-1a", Some("us-west-2")),
            ("us-east-1-wl1-bos-wlz-1", Some("us-east-1")),
            ("ap-northeast-1d", Some("ap-northeast-1")),
            ("moon", None),
            ("1a", None),
        ];
        for (zone, region) in cases {
            assert_eq!(region_of(zone).as_deref(), region, "{zone}");
        }
    }
}
