//! `spotward report`: what was saved, from the lines that the function wrote and the prices of the past.
//!
//! Nothing is estimated here: the ledger adds up, this shows it.

mod log;
mod page;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use aws::Aws;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use ledger::keeper::Place;
use ledger::{Account, Book, Keeper, PoolKey, Prices, Record, account};
use planner::model::InstanceType;
use planner::policy::Config;

use crate::failure::{Exit, Failure};
use crate::money::Currency;
use crate::output::Output;
use crate::{args, aws_cli};

const EXAMPLES: &str = "\
Examples:
  spotward report                                        of the last thirty days, as a table
  spotward report --since 90d --html savings.html        one page that needs no network
  spotward report --region eu-west-1 --region us-east-1  of both
  spotward report --since 2026-10-01 --csv > groups.csv  a row for each group
  spotward report --since 90d --save ledger.json         keep the lines and prices …
  spotward report --from ledger.json --offline           … and read them without an account

Without --from, the lines are read from the log group /aws/lambda/STACK by the AWS CLI (`aws`),
which has to be installed, with your credentials: logs:FilterLogEvents. With --from, what the AWS
CLI and Logs Insights export (text, JSON, CSV) is understood as it is. Prices come from EC2's price
history, which reaches back ninety days.

Exit status:
  0  done
  1  a mistake of the caller: no lines of the ledger, no such deployment, no AWS CLI, wrong flag
  3  AWS refused: no credentials, no permission, throttled, unreachable";

/// Show what was saved, from the function's log lines and the price history
///
/// Counts every instance of the enabled groups from launch to end: what was paid, and what the same work would have cost
/// on demand. Overlaps and failed attempts count against the saving. What is not known is listed, never guessed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Exported log lines instead of the function's log group: what the AWS CLI or Logs Insights give; `-` for standard
    /// input
    #[arg(long, value_name = "FILE")]
    pub from: Vec<PathBuf>,
    /// Region of the function, instead of the one that the AWS configuration names; may be repeated
    #[arg(long = "region", value_name = "REGION", value_parser = args::region, conflicts_with = "from")]
    pub regions: Vec<String>,
    /// Count from then on: `30d`, `2026-10-01` or a time (default: of the log thirty days, of files all that is there)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Moment>,
    /// Count until then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Moment>,
    /// Look at the groups now, too: without, the last hour may be missing
    #[arg(long, conflicts_with = "offline")]
    pub look: bool,
    /// Ask AWS for nothing: hours whose prices are not in the files are listed, not counted
    #[arg(long, requires = "from")]
    pub offline: bool,
    /// Keep the lines and all prices used, to be read without an account
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// One JSON document on stdout (docs/schema/report.schema.json)
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// A row for each group, as CSV on stdout
    #[arg(long)]
    pub csv: bool,
    /// One self-contained page
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "csv"])]
    pub html: Option<PathBuf>,
}

/// A report of the log that says no beginning reaches back so far.
const LOOKS_BACK: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A time that somebody wrote: absolute, or so long ago.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment {
    At(Timestamp),
    Ago(SignedDuration),
}

impl Moment {
    fn seen_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }
}

fn moment(text: &str) -> Result<Moment, String> {
    let days =
        text.strip_suffix('d').and_then(|days| days.parse::<i64>().ok()).filter(|days| (0..=36_500).contains(days));
    if let Some(days) = days {
        return Ok(Moment::Ago(SignedDuration::from_hours(24 * days)));
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Moment::At(at));
    }
    if let Ok(date) = text.parse::<Date>()
        && text.len() == 10
        && let Ok(midnight) = date.to_zoned(TimeZone::UTC)
    {
        return Ok(Moment::At(midnight.timestamp()));
    }
    args::duration(text)
        .ok()
        .and_then(|ago| SignedDuration::try_from(ago).ok())
        .map(Moment::Ago)
        .ok_or_else(|| "allowed are 30d, 12h, 2026-10-01 (UTC) and 2026-10-01T12:00:00Z".to_owned())
}

/// What is shown, with what has to be said about it.
pub struct Report<'a> {
    pub account: &'a Account,
    pub currency: Currency,
    pub regions: Vec<String>,
    pub stacks: Vec<String>,
    pub notes: Vec<String>,
    pub now: Timestamp,
}

/// The command.
pub async fn command(args: Args, config: &Config) -> Result<Exit, Failure> {
    let out = Output::new();
    let now = Timestamp::now();
    let until = args.until.map(|at| at.seen_from(now));
    let since = beginning(&args, until, now);
    if since.zip(until).is_some_and(|(since, until)| since >= until) {
        return Err(Failure::user("--since is not before --until", "say for instance --since 60d --until 30d"));
    }
    let mut cells = Cells::default();
    let (mut records, mut notes) = match since.filter(|_| args.from.is_empty()) {
        Some(since) => from_the_log(&args, config, &mut cells, &out, since, until.unwrap_or(now)).await?,
        None => read(&args.from)?,
    };
    if args.look {
        let regions: BTreeSet<String> =
            records.iter().filter_map(|record| region_of(record).map(str::to_owned)).collect();
        for region in regions {
            out.waiting_for(format!("looking at {region}"));
            let aws = cells.get(config, &region).await?;
            let looks = engine::survey(aws, config).await.map_err(|error| Failure::aws(&error))?;
            let place = Place { region: &region, stack: &config.stack };
            records.extend(Keeper::default().look(&looks, place, |id| aws.platform_of(id)));
        }
    }
    let book = Book::of(records.iter().cloned());
    let Some((first, last)) = book.span() else {
        return Err(nothing(&args.from));
    };
    if since.is_some_and(|since| since >= last) || until.is_some_and(|until| until <= first) {
        return Err(Failure::user(
            format!(
                "the ledger knows the time from {} to {}, and none of what was asked for",
                show::minute(first),
                show::minute(last)
            ),
            if args.from.is_empty() {
                "ask for another time"
            } else {
                "export more of the log, or ask for another time"
            },
        ));
    }
    let mut prices = book.prices.clone();
    let wanted = book.wanted();
    let missing =
        prices.missing(wanted.iter().map(|(pool, from)| (pool, since.map_or(*from, |since| since.max(*from)))));
    if !args.offline && !missing.is_empty() {
        fetch(&out, config, &mut cells, &mut prices, &missing, since.unwrap_or(first).max(first), last, now).await?;
    }
    out.done();
    let account = account(&book, &prices, since, until);
    notes.extend(gaps(&account, &prices, args.offline));
    if let Some(path) = &args.save {
        save(path, &records, &prices)?;
        out.remark(&format!("saved the lines and prices: {}", path.display()));
    }
    let regions: BTreeSet<String> = account.groups.iter().map(|group| group.key.0.clone()).collect();
    let stacks: BTreeSet<String> = book.latest.values().map(|members| members.stack.clone()).collect();
    let report = Report {
        currency: Currency::of(regions.first().map_or("", String::as_str)),
        account: &account,
        regions: regions.into_iter().collect(),
        stacks: stacks.into_iter().collect(),
        notes,
        now,
    };
    match &args.html {
        Some(path) => {
            write(path, &page::page(&report))?;
            out.remark(&format!("wrote {}", path.display()));
        }
        None if args.json => out.print(&format!("{}\n", show::json(&report))),
        None if args.csv => out.print(&show::csv(&report)),
        None => out.print(&show::text(&report, &out)),
    }
    Ok(Exit::Nothing)
}

/// The log is as long as its retention, so a beginning is chosen for it; files are read to their ends.
fn beginning(args: &Args, until: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let chosen = || Moment::Ago(LOOKS_BACK).seen_from(until.unwrap_or(now));
    args.since.map(|at| at.seen_from(now)).or_else(|| args.from.is_empty().then(chosen))
}

/// All records of the log groups of these regions, for a time that is longer than the report's at both ends.
async fn from_the_log(
    args: &Args,
    config: &Config,
    cells: &mut Cells,
    out: &Output,
    since: Timestamp,
    until: Timestamp,
) -> Result<(Vec<Record>, Vec<String>), Failure> {
    let mut regions: Vec<String> = Vec::new();
    for region in &args.regions {
        if !regions.contains(region) {
            regions.push(region.clone());
        }
    }
    if regions.is_empty() {
        regions.push(cells.configured(config).await?);
    }
    let (mut records, mut notes) = (Vec::new(), Vec::new());
    for region in &regions {
        out.waiting_for(format!("reading {} in {region}", log::group(&config.stack)));
        let wanted = log::Wanted { region, stack: &config.stack, since, until };
        let text = log::lines(aws_cli::PROGRAM, wanted).map_err(|no| log::failure(no, wanted))?;
        let (more, remarks) = understood(region, &text);
        records.extend(more);
        notes.extend(remarks);
    }
    if !speaks_of_instances(&records) {
        return Err(log::nothing(&regions, &config.stack, since, until));
    }
    Ok((records, notes))
}

/// All records of the files.
fn read(paths: &[PathBuf]) -> Result<(Vec<Record>, Vec<String>), Failure> {
    let (mut records, mut notes) = (Vec::new(), Vec::new());
    for path in paths {
        let shown = path.display().to_string();
        let hint = "without --from, the lines are read from the function's log group";
        let text = if path == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(path)
        };
        let text = text.map_err(|error| Failure::user(format!("{shown}: {error}"), hint))?;
        let (more, remarks) = understood(&shown, &text);
        records.extend(more);
        notes.extend(remarks);
    }
    if !speaks_of_instances(&records) {
        return Err(nothing(paths));
    }
    Ok((records, notes))
}

/// The records in a text; what could not be read is told, and is no reason to keep the rest back.
fn understood(shown: &str, text: &str) -> (Vec<Record>, Option<String>) {
    let found = ledger::read::read(text);
    let remark = found.unread.first().map(|(line, why)| {
        let at = if *line > 0 { format!("line {line}") } else { "one entry".to_owned() };
        let count = found.unread.len();
        format!("{shown}: {count} of the ledger's lines cannot be read and are not counted; the first is {at}: {why}")
    });
    (found.records, remark)
}

/// Prices alone are no ledger.
fn speaks_of_instances(records: &[Record]) -> bool {
    records.iter().any(|record| !matches!(record, Record::Price(_)))
}

fn nothing(paths: &[PathBuf]) -> Failure {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    Failure::user(
        format!("{}: no lines of the ledger (\"spotward\":\"ledger\") in it", names.join(", ")),
        "the function writes them from its first tick on; without --from, they are read from its log group",
    )
}

fn region_of(record: &Record) -> Option<&str> {
    match record {
        Record::Members(members) => Some(&members.region),
        Record::Ended(ended) => Some(&ended.region),
        Record::Swap(swap) => Some(&swap.region),
        Record::Price(_) => None,
    }
}

/// One connection for each region.
#[derive(Default)]
struct Cells(BTreeMap<String, Aws>);

impl Cells {
    /// The region that the AWS configuration names.
    async fn configured(&mut self, config: &Config) -> Result<String, Failure> {
        let aws = Aws::connect(config.clone(), None).await;
        let aws = aws.map_err(|error| Failure::user(error.to_string(), "say --region us-east-1, or --from FILE"))?;
        let region = aws.region().to_owned();
        self.0.insert(region.clone(), aws);
        Ok(region)
    }

    async fn get(&mut self, config: &Config, region: &str) -> Result<&Aws, Failure> {
        if !self.0.contains_key(region) {
            let aws = Aws::connect(config.clone(), Some(region)).await;
            let aws =
                aws.map_err(|error| Failure::user(error.to_string(), "set AWS_REGION, or a region in the profile"))?;
            self.0.insert(region.to_owned(), aws);
        }
        Ok(&self.0[region])
    }
}

/// The prices that are missing: list prices by platform, histories by platform for all types at once.
async fn fetch(
    out: &Output,
    config: &Config,
    cells: &mut Cells,
    prices: &mut Prices,
    missing: &BTreeSet<PoolKey>,
    from: Timestamp,
    until: Timestamp,
    now: Timestamp,
) -> Result<(), Failure> {
    let refused = |error: &engine::CloudError| {
        let mut failure = Failure::aws(error);
        failure.hint.push_str("; or --offline: count only what has its price in the files");
        failure
    };
    let mut products: BTreeMap<(&str, &str), Vec<&PoolKey>> = BTreeMap::new();
    for pool in missing {
        products.entry((&pool.region, &pool.platform)).or_default().push(pool);
    }
    for ((region, platform), pools) in products {
        out.waiting_for(format!("reading prices of {platform} in {region}"));
        let aws = cells.get(config, region).await?;
        if pools.iter().any(|pool| pool.zone.is_none()) {
            let listed = aws.list_prices(platform).await.map_err(|error| refused(&error))?;
            for pool in pools.iter().filter(|pool| pool.zone.is_none()) {
                if let Some(price) = listed.get(pool.kind.as_str()) {
                    prices.add((*pool).clone(), now, *price);
                }
            }
        }
        let types: BTreeSet<&str> =
            pools.iter().filter(|pool| pool.zone.is_some()).map(|pool| pool.kind.as_str()).collect();
        if types.is_empty() {
            continue;
        }
        let types: Vec<InstanceType> = types.into_iter().map(InstanceType::new).collect();
        let rows = aws.spot_history(platform, &types, from, until.max(now)).await.map_err(|error| refused(&error))?;
        for (zone, kind, at, price) in rows {
            let key = PoolKey {
                region: region.to_owned(),
                platform: platform.to_owned(),
                kind: kind.to_string(),
                zone: Some(zone.to_string()),
            };
            // The region has hundreds of pools, the groups have a few.
            if missing.contains(&key) {
                prices.add(key, at, price);
            }
        }
    }
    Ok(())
}

/// What the account could not count, in sentences.
fn gaps(account: &Account, prices: &Prices, offline: bool) -> Vec<String> {
    let mut notes = Vec::new();
    let (unseen, millis) = account.unsure;
    if unseen > 0 {
        let minutes = (millis as f64 / 60_000.0).ceil();
        notes.push(format!(
            "{unseen} instances ended unseen: they are counted until they were last seen, {minutes} minutes may be missing."
        ));
    }
    if account.total.unpriced_ms > 0 {
        let first = account.unpriced.first().map_or(String::new(), |pool| format!(", the first {}", show::pool(pool)));
        let known = account.unpriced.iter().filter(|pool| !prices.steps(pool).is_empty()).count();
        let why = match (offline, known) {
            (true, _) => "the files have no price",
            (false, 0) => "AWS lists no price",
            (false, _) => "the price history does not reach back",
        };
        notes.push(format!(
            "{:.1} instance hours are in none of the sums of money: {why} for {} pools{first}.",
            ledger::account::hours(account.total.unpriced_ms),
            account.unpriced.len(),
        ));
    }
    notes
}

fn save(path: &Path, records: &[Record], prices: &Prices) -> Result<(), Failure> {
    let own = records.iter().filter(|record| !matches!(record, Record::Price(_))).map(Record::line);
    let priced = prices.records().into_iter().map(|price| Record::Price(price).line());
    let mut text = String::new();
    for line in own.chain(priced) {
        text.push_str(&line.to_string());
        text.push('\n');
    }
    write(path, &text)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let told = |error: std::io::Error| {
        Failure::user(format!("{}: {error}", path.display()), "choose a file that can be written")
    };
    std::fs::write(path, text).map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_read_thirty_days_back_and_files_to_their_ends() {
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
        let from = |line: &str| {
            let Line { args } = clap::Parser::try_parse_from(line.split(' ')).expect("a command line");
            let until = args.until.map(|at| at.seen_from(now));
            beginning(&args, until, now).map(|at| at.to_string())
        };
        assert_eq!(from("report").as_deref(), Some("2026-10-23T12:00:00Z"));
        assert_eq!(from("report --until 2026-11-01").as_deref(), Some("2026-10-02T00:00:00Z"));
        assert_eq!(from("report --since 12h").as_deref(), Some("2026-11-22T00:00:00Z"));
        assert_eq!(from("report --from ledger.json"), None);
        assert_eq!(from("report --from ledger.json --since 1d").as_deref(), Some("2026-11-21T12:00:00Z"));
    }

    #[test]
    fn times_are_written_in_four_ways() {
        let at = |text: &str| Ok(Moment::At(text.parse().expect("a time")));
        assert_eq!(moment("30d"), Ok(Moment::Ago(SignedDuration::from_hours(720))));
        assert_eq!(moment("90m"), Ok(Moment::Ago(SignedDuration::from_mins(90))));
        assert_eq!(moment("2026-10-01"), at("2026-10-01T00:00:00Z"));
        assert_eq!(moment("2026-10-01T12:00:00+02:00"), at("2026-10-01T10:00:00Z"));
        for bad in ["", "d", "-3d", "yesterday", "2026-13-01", "2026-10-01T25:00:00Z", "99999d"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }
}
