//! Where the world comes from: AWS, or a saved look at it. The only place that knows which.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use aws::Aws;
use clap::Args;
use engine::inputs::{Advisor, Inputs, PriceFile};
use engine::snapshot::{Snapshot, SnapshotError};
use engine::{Cloud, CloudError, Scope};
use planner::action::Action;
use planner::market::Market;
use planner::model::{GroupName, InstanceId, Observation, Platform};
use planner::policy::{Config, enabled};

use crate::failure::Failure;

/// Files that stand beside AWS's answers, the same for every command.
#[derive(Clone, Debug, Args)]
pub struct Files {
    /// On-demand prices of the region, where AWS has no price list for it (GovCloud): docs/prices.md
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
                        "docs/prices.md shows what a price file looks like",
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
    Live(Box<Aws>),
    Saved(SnapshotCloud),
}

impl World {
    /// The region that the flag or the AWS configuration names.
    pub async fn live(config: &Config, region: Option<&str>) -> Result<World, Failure> {
        let aws = Aws::connect(config.clone(), region).await.map_err(|error| {
            Failure::user(error.to_string(), "say --region us-east-1, or set AWS_REGION, or a region in the profile")
        })?;
        let inputs = FILES.get().map_or_else(|| Ok(Inputs::default()), |files| files.read(aws.region()))?;
        Ok(World::Live(Box::new(aws.with_inputs(inputs))))
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
            World::Live(aws) => aws.forget(),
            World::Saved(_) => {}
        }
    }

    pub fn region(&self) -> &str {
        match self {
            World::Live(aws) => aws.region(),
            World::Saved(saved) => &saved.region,
        }
    }

    /// Names of all groups, enabled or not.
    pub async fn group_names(&self) -> Result<Vec<GroupName>, CloudError> {
        match self {
            World::Live(aws) => aws.group_names().await,
            World::Saved(saved) => Ok(saved.groups.keys().cloned().collect()),
        }
    }

    /// Names of the groups that are enabled, or that carry our journal.
    pub async fn enabled_names(&self) -> Result<Vec<GroupName>, CloudError> {
        let seen = self.observe(&Scope::Enabled).await?;
        let mut names: Vec<GroupName> = seen.into_iter().map(|observation| observation.group.name).collect();
        names.sort();
        Ok(names)
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
            World::Live(aws) => aws.observe(scope).await,
            World::Saved(saved) => saved.observe(scope).await,
        }
    }

    async fn market(&self, platform: Platform) -> Result<Arc<Market>, CloudError> {
        match self {
            World::Live(aws) => aws.market(platform).await,
            World::Saved(saved) => saved.market(platform).await,
        }
    }

    async fn apply(&self, group: &GroupName, action: &Action) -> Result<(), CloudError> {
        match self {
            World::Live(aws) => aws.apply(group, action).await,
            World::Saved(saved) => saved.apply(group, action).await,
        }
    }
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
        Err(CloudError::Rejected("a snapshot cannot be changed".to_owned()))
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
