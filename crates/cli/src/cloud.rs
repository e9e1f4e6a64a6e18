//! Where the world comes from: AWS, or a saved look at it. The only place that knows which.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use aws::Aws;
use aws::probe::{NamePages, Which};
use clap::Args;
use engine::inputs::{Advisor, Inputs, PriceFile};
use engine::snapshot::{Snapshot, SnapshotError};
use engine::tidy::{Reach, Tidy};
use engine::{Cloud, CloudError, Scope};
use futures_util::Stream;
use jiff::Timestamp;
use planner::action::Action;
use planner::market::Market;
use planner::model::{GroupName, InstanceId, Observation, Platform};
use planner::policy::{Config, enabled};
use planner::traces::{Removal, TaggedGroup, Traces, Whereabouts};
use tokio::sync::Mutex;

use crate::failure::Failure;

/// What a snapshot says to whoever would change it.
const UNCHANGEABLE: &str = "a snapshot cannot be changed";

/// Files that stand beside AWS's answers, the same for every command.
#[derive(Clone, Debug, Args)]
pub struct Files {
    /// On-demand prices of the region, where AWS has no price list for it (GovCloud): docs/price-files.md
    #[arg(long, global = true, env = "SPOTWARD_PRICES", value_name = "FILE", hide_env_values = true)]
    pub prices: Option<PathBuf>,
    /// AWS's Spot Advisor document, for how often types are interrupted; nothing happens if it is not there
    #[arg(long, global = true, env = "SPOTWARD_ADVISOR", value_name = "FILE", hide_env_values = true)]
    pub advisor: Option<PathBuf>,
}

/// What the command line said: one answer for the whole process, as it has one environment.
static FILES: OnceLock<Files> = OnceLock::new();

/// To be called once, before any world is made.
pub fn give(files: Files) {
    let _ = FILES.set(files);
}

impl Files {
    fn read(&self, region: &str) -> Result<Inputs, Failure> {
        let prices = match &self.prices {
            None => None,
            Some(path) => {
                let failure = |why: String| {
                    Failure::user(
                        format!("{}: {why}", path.display()),
                        "docs/price-files.md shows what a price file looks like",
                    )
                };
                let text = std::fs::read_to_string(path).map_err(|error| failure(error.to_string()))?;
                Some(PriceFile::parse(&text).map_err(failure)?)
            }
        };
        let text = self.advisor.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        Ok(Inputs { prices, advisor: text.and_then(|text| Advisor::parse(&text, region).ok()) })
    }
}

/// A region, live or saved.
pub enum World {
    Live(Box<Live>),
    Saved(SnapshotCloud),
}

/// AWS, asked by several looks side by side.
pub struct Live {
    aws: Aws,
    /// Types and prices are read once, not once by each look that comes before the first answer.
    reads_market: Mutex<()>,
}

impl World {
    /// The region that the flag or the AWS configuration names.
    pub async fn live(config: &Config, region: Option<&str>) -> Result<World, Failure> {
        let aws = Aws::connect(config.clone(), region).await.map_err(|error| no_region(&error))?;
        let inputs = FILES.get().map_or_else(|| Ok(Inputs::default()), |files| files.read(aws.region()))?;
        Ok(World::Live(Box::new(Live { aws: aws.with_inputs(inputs), reads_market: Mutex::new(()) })))
    }

    /// The account itself, for what only a live region can answer.
    pub fn aws(&self) -> Option<&Aws> {
        match self {
            World::Live(live) => Some(&live.aws),
            World::Saved(_) => None,
        }
    }

    /// Every region that is enabled for the account.
    pub async fn regions(config: &Config) -> Result<Vec<String>, Failure> {
        // Any region of the partition knows them all.
        let home = Aws::connect(config.clone(), None).await;
        let home = match home {
            Ok(aws) => aws,
            Err(_) => Aws::connect(config.clone(), Some("us-east-1")).await.map_err(|error| no_region(&error))?,
        };
        home.regions().await.map_err(|error| Failure::aws(&error))
    }

    /// A saved look.
    pub fn saved(path: &Path, config: &Config) -> Result<World, Failure> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::user(format!("{shown}: {error}"), "save one with `spotward plan --save-snapshot FILE`")
        })?;
        let snapshot = Snapshot::parse(&text).map_err(|error| {
            let hint = match &error {
                SnapshotError::HalfWritten { .. } => "it was not saved to its end: save it again",
                SnapshotError::NotJson(_) | SnapshotError::Malformed(_) => {
                    "only files of `spotward plan --save-snapshot FILE` can be read"
                }
                SnapshotError::Version { .. } => "save it again with this version of spotward",
            };
            Failure::user(format!("{shown}: {error}"), hint)
        })?;
        Ok(World::Saved(SnapshotCloud::new(snapshot, config.clone())))
    }

    /// Forgets slow facts: hooks, refreshes, templates. The function does so at the start of each invocation.
    pub fn forget(&self) {
        match self {
            World::Live(live) => live.aws.forget(),
            World::Saved(_) => {}
        }
    }

    pub fn region(&self) -> &str {
        match self {
            World::Live(live) => live.aws.region(),
            World::Saved(saved) => &saved.region,
        }
    }

    /// When it was seen, if it is a saved look: the oldest of its groups.
    pub fn saved_at(&self) -> Option<Timestamp> {
        match self {
            World::Live(_) => None,
            World::Saved(saved) => saved.groups.values().map(|seen| seen.now).min(),
        }
    }

    /// Names of groups as they are found, some more than once: all, or those that are enabled or have something of ours
    /// about them. Whoever waits for the last page of a large region before the first look keeps people waiting.
    pub fn names(&self, all: bool) -> impl Stream<Item = Result<Vec<GroupName>, CloudError>> {
        let sources = match all {
            true => VecDeque::from([Source::Pages(Which::All)]),
            false => VecDeque::from([
                Source::Pages(Which::Enabled),
                Source::Pages(Which::Journalled),
                Source::InstancesOfOurs,
            ]),
        };
        futures_util::stream::unfold((sources, None::<NamePages>), move |(mut sources, pages)| async move {
            let World::Live(live) = self else {
                // A file has one page.
                sources.pop_front()?;
                let names = if all { Ok(self.all_saved()) } else { self.enabled_names().await };
                return Some((names, (VecDeque::new(), None)));
            };
            let mut open = pages;
            loop {
                if let Some(mut pages) = open.take()
                    && let Some(page) = pages.next().await
                {
                    // Whoever is refused once would be refused by the other sources for the same reason.
                    return Some(match page {
                        Ok(names) => (Ok(names), (sources, Some(pages))),
                        Err(error) => (Err(error), (VecDeque::new(), None)),
                    });
                }
                match sources.pop_front()? {
                    Source::Pages(which) => open = Some(live.aws.group_name_pages(which)),
                    Source::InstancesOfOurs => return Some((live.aws.names_of_ours().await, (sources, None))),
                }
            }
        })
    }

    fn all_saved(&self) -> Vec<GroupName> {
        match self {
            World::Live(_) => Vec::new(),
            World::Saved(saved) => saved.groups.keys().cloned().collect(),
        }
    }

    /// Names of the groups that are enabled, or that carry our journal.
    pub async fn enabled_names(&self) -> Result<Vec<GroupName>, CloudError> {
        let seen = self.observe(&Scope::Enabled).await?;
        let mut names: Vec<GroupName> = seen.into_iter().map(|observation| observation.group.name).collect();
        names.sort();
        Ok(names)
    }

    /// Every group with its tags.
    pub async fn groups_with_tags(&self) -> Result<Vec<TaggedGroup>, CloudError> {
        let tagged = |seen: &Observation| TaggedGroup { name: seen.group.name.clone(), tags: seen.group.tags.clone() };
        match self {
            World::Live(live) => live.aws.groups_with_tags().await,
            World::Saved(saved) => Ok(saved.groups.values().map(tagged).collect()),
        }
    }

    /// Writes a tag of an owner on his group.
    pub async fn set_setting(&self, group: &GroupName, key: &str, value: &str) -> Result<(), CloudError> {
        match self {
            World::Live(live) => live.aws.set_setting(group, key, value).await,
            World::Saved(_) => Err(CloudError::Rejected(UNCHANGEABLE.to_owned())),
        }
    }

    /// What this world's "no" means for the caller: a snapshot that lacks something is a file, not AWS.
    pub fn failure(&self, error: &CloudError) -> Failure {
        match (self, error) {
            (World::Saved(_), CloudError::NotFound(what)) => {
                Failure::user(what.clone(), "save the snapshot again with this group in it")
            }
            (World::Saved(_) | World::Live(_), _) => Failure::aws(error),
        }
    }
}

impl Cloud for World {
    async fn observe(&self, scope: &Scope) -> Result<Vec<Observation>, CloudError> {
        match self {
            World::Live(live) => live.aws.observe(scope).await,
            World::Saved(saved) => saved.observe(scope).await,
        }
    }

    async fn market(&self, platform: Platform) -> Result<Arc<Market>, CloudError> {
        match self {
            World::Live(live) => {
                let _turn = live.reads_market.lock().await;
                live.aws.market(platform).await
            }
            World::Saved(saved) => saved.market(platform).await,
        }
    }

    async fn apply(&self, group: &GroupName, action: &Action) -> Result<(), CloudError> {
        match self {
            World::Live(live) => live.aws.apply(group, action).await,
            World::Saved(saved) => saved.apply(group, action).await,
        }
    }
}

impl Tidy for World {
    async fn traces(&self, reach: Reach) -> Result<Traces, CloudError> {
        match self {
            World::Live(live) => live.aws.traces(reach).await,
            World::Saved(_) => Err(CloudError::Rejected("a snapshot does not hold all of a region".to_owned())),
        }
    }

    async fn whereabouts(&self, instances: &[InstanceId], groups: &[GroupName]) -> Result<Whereabouts, CloudError> {
        match self {
            World::Live(live) => live.aws.whereabouts(instances, groups).await,
            World::Saved(_) => Err(CloudError::Rejected("a snapshot does not hold all of a region".to_owned())),
        }
    }

    async fn remove(&self, removal: &Removal) -> Result<(), CloudError> {
        match self {
            World::Live(live) => live.aws.remove(removal).await,
            World::Saved(_) => Err(CloudError::Rejected(UNCHANGEABLE.to_owned())),
        }
    }
}

fn no_region(error: &aws::NoRegion) -> Failure {
    Failure::user(error.to_string(), "say --region us-east-1, or set AWS_REGION, or a region in the profile")
}

/// Where names come from.
enum Source {
    Pages(Which),
    InstancesOfOurs,
}

/// A saved look, answering as AWS answered then. It can be looked at, never changed.
pub struct SnapshotCloud {
    region: String,
    config: Config,
    groups: BTreeMap<GroupName, Observation>,
    markets: Vec<Arc<Market>>,
}

impl SnapshotCloud {
    fn new(snapshot: Snapshot, config: Config) -> Self {
        let by_name = |observation: Observation| (observation.group.name.clone(), observation);
        Self {
            region: snapshot.region,
            config,
            groups: snapshot.groups.into_iter().map(by_name).collect(),
            markets: snapshot.markets.into_iter().map(Arc::new).collect(),
        }
    }

    /// One group in full detail, if the file has it so.
    fn full(&self, name: &GroupName, closer: Option<&InstanceId>) -> Result<Vec<Observation>, CloudError> {
        let Some(observation) = self.groups.get(name) else { return Ok(Vec::new()) };
        if observation.group.details.is_none() {
            return Err(CloudError::NotFound(format!("the snapshot has {name} only from a look in bulk")));
        }
        let member = closer.and_then(|id| observation.group.member(id));
        if let Some(member) = member
            && member.ec2.as_ref().is_some_and(|ec2| ec2.termination_protected.is_none())
        {
            let what = format!("the snapshot does not say whether {} has EC2 termination protection", member.id);
            return Err(CloudError::NotFound(what));
        }
        Ok(vec![observation.clone()])
    }
}

impl Cloud for SnapshotCloud {
    async fn observe(&self, scope: &Scope) -> Result<Vec<Observation>, CloudError> {
        match scope {
            Scope::Enabled => {
                let in_scope = |seen: &&Observation| {
                    enabled(&seen.group, &self.config).is_some() || seen.group.journal().is_some()
                };
                let mut bulk: Vec<Observation> = self.groups.values().filter(in_scope).cloned().collect();
                bulk.iter_mut().for_each(|seen| seen.group.details = None);
                Ok(bulk)
            }
            Scope::Group { name, closer } => self.full(name, closer.as_ref()),
            Scope::GroupOf(instance) | Scope::Notice(instance) => {
                let has = |seen: &&Observation| {
                    seen.group.member(instance).is_some() || seen.group.replica(instance).is_some()
                };
                match self.groups.values().find(has) {
                    Some(seen) => self.full(&seen.group.name, None),
                    None => Ok(Vec::new()),
                }
            }
        }
    }

    async fn market(&self, platform: Platform) -> Result<Arc<Market>, CloudError> {
        let market = self.markets.iter().find(|market| market.platform == platform);
        market.cloned().ok_or_else(|| CloudError::NotFound(format!("the snapshot has no prices for {platform}")))
    }

    async fn apply(&self, _group: &GroupName, _action: &Action) -> Result<(), CloudError> {
        Err(CloudError::Rejected(UNCHANGEABLE.to_owned()))
    }
}

/// The same world, in which every group carries the enabling tag: what would happen if its owner asked. Reads only.
pub struct AsIfEnabled<'a> {
    pub world: &'a World,
    pub config: &'a Config,
}

impl Cloud for AsIfEnabled<'_> {
    async fn observe(&self, scope: &Scope) -> Result<Vec<Observation>, CloudError> {
        let mut seen = self.world.observe(scope).await?;
        for observation in &mut seen {
            let Config { enable_key, enable_value, .. } = self.config;
            observation.group.tags.insert(enable_key.clone(), enable_value.clone());
        }
        Ok(seen)
    }

    async fn market(&self, platform: Platform) -> Result<Arc<Market>, CloudError> {
        self.world.market(platform).await
    }

    async fn apply(&self, _group: &GroupName, _action: &Action) -> Result<(), CloudError> {
        Err(CloudError::Rejected("nothing is done in a world that is not so".to_owned()))
    }
}
