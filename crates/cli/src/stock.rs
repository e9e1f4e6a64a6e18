//! Where prices come from that people look at: the account, what is shipped, or the caller's own files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data::{DataError, Library};
use engine::CloudError;
use jiff::{SignedDuration, Timestamp};
use planner::model::{InstanceType, Platform, Price, Zone};
use planner::policy::{Config, TypePatterns};
use planner::stats::PriceHistory;

use crate::args;
use crate::cloud::World;
use crate::failure::Failure;
use crate::output::Output;

/// Where nothing names a region and no account does.
const USUAL_REGION: &str = "us-east-1";
/// EC2 remembers so many days.
pub const HISTORY_DAYS_MAX: i64 = 90;

/// What both commands understand.
#[derive(Debug, clap::Args)]
pub struct Where {
    /// Region, instead of the one that the AWS configuration names
    #[arg(long, value_name = "REGION", value_parser = args::region)]
    pub region: Option<String>,
    /// What runs on the instances: linux, windows, rhel or suse
    #[arg(long, value_name = "PLATFORM", default_value = "linux", value_parser = platform)]
    pub platform: Platform,
    /// Ask nobody: read what is shipped with spotward
    #[arg(long)]
    pub offline: bool,
    /// Ask nobody: read this directory or file, and what it lacks from what is shipped (docs/prices.md)
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// A newer copy of the Spot Advisor's document
    #[arg(long, value_name = "FILE")]
    pub advisor: Option<PathBuf>,
}

fn platform(text: &str) -> Result<Platform, String> {
    match text {
        "linux" => Ok(Platform::Linux),
        "windows" => Ok(Platform::Windows),
        "rhel" => Ok(Platform::Rhel),
        "suse" => Ok(Platform::Suse),
        _ => Platform::ALL
            .into_iter()
            .find(|platform| platform.spot_product() == text)
            .ok_or_else(|| "allowed is one of linux, windows, rhel, suse".to_owned()),
    }
}

/// Patterns of instance types; a name without `*` or `?` is itself.
pub fn pattern(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-*?".contains(&byte);
    let sound = !text.is_empty() && text.bytes().all(allowed);
    if sound { Ok(text.to_owned()) } else { Err("allowed is a name like m6i.large or m6*, in lower case".to_owned()) }
}

/// Files that were read, and the account if there is one to ask.
pub struct Stock {
    pub library: Library,
    pub region: String,
    pub live: Option<World>,
    /// Why nobody is asked, if that was not the caller's wish.
    pub fallback: Option<String>,
}

impl Stock {
    pub async fn open(from: &Where, config: &Config, out: &Output) -> Result<Stock, Failure> {
        let mut library = Library::shipped().map_err(|error| failure(&error))?;
        if let Some(path) = &from.data {
            read(&mut library, path, out)?;
        }
        if let Some(path) = &from.advisor {
            library.read_advisor(path).map_err(|error| failure(&error))?;
        }
        let named = from.region.clone().or_else(region_of_environment);
        let (live, fallback) = match from.offline || from.data.is_some() {
            true => (None, None),
            false => match World::live(config, from.region.as_deref()).await {
                Ok(world) => (Some(world), None),
                Err(_) => (None, Some("no AWS region is configured".to_owned())),
            },
        };
        let region = match &live {
            Some(world) => world.region().to_owned(),
            None => named.unwrap_or_else(|| USUAL_REGION.to_owned()),
        };
        Ok(Stock { library, region, live, fallback })
    }

    /// What an error of the account means: without credentials the files answer, everything else is an error.
    pub fn without_account(&mut self, error: &CloudError) -> Result<(), Failure> {
        if !has_no_credentials(error) {
            let mut failure = Failure::aws(error);
            failure.hint.push_str("; or --offline, which asks nobody");
            return Err(failure);
        }
        self.live = None;
        self.fallback = Some("no AWS credentials were found".to_owned());
        Ok(())
    }

    /// A region of which the files say nothing is a typo, or needs the caller's own files.
    pub fn check_region(&self) -> Result<(), Failure> {
        let regions = self.library.regions();
        if regions.contains(self.region.as_str()) {
            return Ok(());
        }
        let near = nearest(&self.region, regions.iter().copied());
        let hint = match near {
            Some(near) => format!("did you mean {near}?"),
            None => "ask an account that has it, or give files of it with --data (docs/prices.md)".to_owned(),
        };
        Err(Failure::user(format!("nothing is known of the region {}", self.region), hint))
    }

    /// A name that no type has is a typo.
    pub fn check_type(&self, name: &InstanceType) -> Result<(), Failure> {
        if self.library.types().contains_key(name) {
            return Ok(());
        }
        let near = nearest(name.as_str(), self.library.types().keys().map(InstanceType::as_str));
        let hint = match near {
            Some(near) => format!("did you mean {near}? A type newer than this program can be given with --data"),
            None => "names are like m6i.large; a type newer than this program can be given with --data".to_owned(),
        };
        Err(Failure::user(format!("no such instance type: {name}"), hint))
    }

    /// One line for people: from when and where the figures are.
    pub fn told(&self) -> String {
        match (&self.live, &self.fallback) {
            (Some(_), _) => "asked now".to_owned(),
            (None, None) => "from files, nobody was asked".to_owned(),
            (None, Some(why)) => format!("from files: {why}, so nobody was asked"),
        }
    }
}

/// The provider's own word for "there are none", whatever it tried.
fn has_no_credentials(error: &CloudError) -> bool {
    matches!(error, CloudError::Denied(what) if what.contains("the credential provider was not enabled"))
}

fn region_of_environment() -> Option<String> {
    let named = |name: &str| std::env::var(name).ok().filter(|region| !region.is_empty());
    named("AWS_REGION").or_else(|| named("AWS_DEFAULT_REGION"))
}

fn read(library: &mut Library, path: &Path, out: &Output) -> Result<(), Failure> {
    let ignored = library.read(path).map_err(|error| failure(&error))?;
    const NAMED: usize = 3;
    if !ignored.is_empty() {
        let named: Vec<&str> = ignored.iter().take(NAMED).map(String::as_str).collect();
        let more = ignored.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        out.remark(&format!("not read, of no kind that is known: {}{more}", named.join(", ")));
    }
    Ok(())
}

/// What the reader of a file can do about it.
pub fn failure(error: &DataError) -> Failure {
    let hint = match error {
        DataError::Unreadable { .. } => "name a directory or a file that can be read",
        DataError::HalfWritten { .. } => "it was not saved to its end: save it again",
        DataError::Malformed { .. } => "docs/prices.md says what is read; correct the file, or take it away",
        DataError::TooLarge { .. } => "ask EC2 for fewer types or days",
        DataError::NothingKnown { .. } => {
            "what `aws ec2 describe-spot-price-history` prints can be read as it is; docs/prices.md has the rest"
        }
    };
    Failure::user(error.to_string(), hint)
}

/// The one that a typo was probably meant to be.
fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.8;
    let scored = names.map(|name| (strsim::jaro_winkler(wrong, name), name)).filter(|(score, _)| *score >= ALIKE);
    scored.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

/// What EC2 remembers of some types, by type and zone, within a window. Zones without a price in it are missing.
pub async fn histories(
    aws: &aws::Aws,
    platform: Platform,
    types: &[InstanceType],
    from: Timestamp,
    until: Timestamp,
) -> Result<BTreeMap<(InstanceType, Zone), PriceHistory>, CloudError> {
    let mut records: BTreeMap<(InstanceType, Zone), Vec<(Timestamp, Price)>> = BTreeMap::new();
    for (zone, name, at, price) in aws.spot_history(platform.spot_product(), types, from, until).await? {
        records.entry((name, zone)).or_default().push((at, price));
    }
    // EC2 also sends the change before the window, which says what held when it began.
    let within = |records| PriceHistory::new(records, until)?.between(from, until);
    Ok(records.into_iter().filter_map(|(pool, records)| Some((pool, within(records)?))).collect())
}

/// One moment of `--from` and `--until`: a day, or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Day(jiff::civil::Date),
    At(Timestamp),
}

impl Moment {
    pub fn parse(text: &str) -> Result<Moment, String> {
        let time = || text.parse().map(Moment::At);
        text.parse::<jiff::civil::Date>()
            .ok()
            .filter(|_| text.len() == "2026-01-31".len())
            .map(Moment::Day)
            .map_or_else(time, Ok)
            .map_err(|_| "allowed is a day like 2026-01-31, or a time like 2026-01-31T12:00:00Z".to_owned())
    }

    /// The first moment of a day in UTC.
    pub fn begin(self) -> Timestamp {
        match self {
            Moment::Day(date) => start_of(date),
            Moment::At(at) => at,
        }
    }

    /// The last moment: a day is meant to its end.
    pub fn end(self) -> Timestamp {
        match self {
            Moment::Day(date) => start_of(date.tomorrow().unwrap_or(date)),
            Moment::At(at) => at,
        }
    }
}

fn start_of(date: jiff::civil::Date) -> Timestamp {
    date.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp()).unwrap_or(Timestamp::MIN)
}

/// Some days back from a moment.
pub fn days_before(end: Timestamp, days: i64) -> Timestamp {
    end.checked_sub(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MIN)
}

/// Patterns as the planner knows them; none asked for takes all.
pub fn patterns(types: &[String]) -> Option<TypePatterns> {
    (!types.is_empty()).then(|| TypePatterns(types.to_vec()))
}

/// A zone within its region: `a` of `us-east-1a`, `lax-1a` of `us-west-2-lax-1a`.
pub fn short_zone<'a>(zone: &'a str, region: &str) -> &'a str {
    zone.strip_prefix(region).map_or(zone, |rest| rest.trim_start_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_days_to_their_end_or_times() {
        let day = Moment::parse("2026-01-31").expect("a day");
        assert_eq!(day.begin().to_string(), "2026-01-31T00:00:00Z");
        assert_eq!(day.end().to_string(), "2026-02-01T00:00:00Z");
        let time = Moment::parse("2026-01-31T12:00:00+01:00").expect("a time");
        assert_eq!(time.end().to_string(), "2026-01-31T11:00:00Z");
        for wrong in ["", "yesterday", "2026-02-30", "2026-1-1", "31.01.2026", "2026-01-31T12:00"] {
            assert!(Moment::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn typos_find_what_was_meant() {
        let names = ["m5.large", "c5.large", "m6i.2xlarge"];
        assert_eq!(nearest("m5.lrage", names.into_iter()), Some("m5.large"));
        assert_eq!(nearest("quux", names.into_iter()), None);
    }

    #[test]
    fn zones_are_short_within_their_region() {
        assert_eq!(short_zone("us-east-1a", "us-east-1"), "a");
        assert_eq!(short_zone("us-west-2-lax-1a", "us-west-2"), "lax-1a");
        assert_eq!(short_zone("eu-west-1a", "us-east-1"), "eu-west-1a");
    }
}
