//! The port on real Auto Scaling, EC2 and pricing: the only place that knows SDK types and error codes.
//!
//! Nothing is decided here: no price is compared, no wish is read. Looking is [`observe`](engine::Cloud::observe) and
//! [`market`](engine::Cloud::market), acting is one `match` in `apply.rs`.
#![warn(missing_docs)]

mod apply;
mod convert;
pub mod error;
mod history;
mod market;
mod observe;
pub mod probe;
mod queue;
mod template;
mod tidy;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_types::service_config::ServiceConfigKey;
use engine::inputs::Inputs;
use engine::{Cloud, CloudError, Scope};
use jiff::Timestamp;
use planner::action::Action;
use planner::market::Market;
use planner::model::{GroupName, Observation, Platform};
use planner::policy::Config;

pub use history::Ending;

/// A connection that is not there by then will not come.
const CONNECT: Duration = Duration::from_secs(5);
/// The slowest answer that we ask for is a full page of the price list.
const ATTEMPT: Duration = Duration::from_secs(30);
/// All attempts of one call together: several fit into one invocation.
const CALL: Duration = Duration::from_secs(75);

/// One client per service.
#[derive(Clone, Debug)]
pub struct Clients {
    /// EC2 Auto Scaling.
    pub autoscaling: aws_sdk_autoscaling::Client,
    /// EC2.
    pub ec2: aws_sdk_ec2::Client,
    /// Classic load balancers.
    pub load_balancing: aws_sdk_elasticloadbalancing::Client,
    /// Target groups.
    pub load_balancing_v2: aws_sdk_elasticloadbalancingv2::Client,
    /// Price list.
    pub pricing: aws_sdk_pricing::Client,
    /// Quotas of the account. Made into a client by whoever asks: the function never does, and so does not carry its code.
    pub quotas: aws_sdk_servicequotas::Config,
    /// Queue between the tick and the groups.
    pub sqs: aws_sdk_sqs::Client,
    /// Whose credentials these are.
    pub sts: aws_sdk_sts::Client,
}

/// A region of the account that the standard AWS configuration names.
#[derive(Debug)]
pub struct Aws {
    clients: Clients,
    config: Config,
    region: String,
    /// The Price List endpoint can be reached from here.
    has_price_list: bool,
    inputs: Inputs,
    memory: Mutex<observe::Memory>,
    shelf: Mutex<market::Shelf>,
    images: Mutex<HashMap<String, observe::KnownImage>>,
}

/// The standard AWS configuration names no region.
#[derive(Debug, thiserror::Error)]
#[error("no AWS region: set AWS_REGION, or a region in the profile")]
pub struct NoRegion;

impl Aws {
    /// From the standard AWS configuration: environment, profiles, container and instance roles, `AWS_REGION`,
    /// `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_MAX_ATTEMPTS`, `AWS_RETRY_MODE`. `region` overrides the
    /// region that it names.
    pub async fn connect(config: Config, region: Option<&str>) -> Result<Aws, NoRegion> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(CALL)
            .build();
        let loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
        let loader = match region {
            Some(region) => loader.region(Region::new(region.to_owned())),
            None => loader,
        };
        let sdk = loader.load().await;
        let region = sdk.region().ok_or(NoRegion)?.to_string();
        let prices = price_list(&region, has_own_endpoint(&sdk));
        let mut pricing = aws_sdk_pricing::config::Builder::from(&sdk);
        if let Some(PriceList { region }) = &prices {
            pricing = pricing.region(Region::new(region.clone()));
        }
        let clients = Clients {
            autoscaling: aws_sdk_autoscaling::Client::new(&sdk),
            ec2: aws_sdk_ec2::Client::new(&sdk),
            load_balancing: aws_sdk_elasticloadbalancing::Client::new(&sdk),
            load_balancing_v2: aws_sdk_elasticloadbalancingv2::Client::new(&sdk),
            pricing: aws_sdk_pricing::Client::from_conf(pricing.build()),
            quotas: aws_sdk_servicequotas::Config::new(&sdk),
            sqs: aws_sdk_sqs::Client::new(&sdk),
            sts: aws_sdk_sts::Client::new(&sdk),
        };
        Ok(Self { has_price_list: prices.is_some(), ..Self::with(clients, region, config) })
    }

    /// From clients that somebody else made.
    pub fn with(clients: Clients, region: String, config: Config) -> Aws {
        Aws {
            clients,
            config,
            region,
            has_price_list: true,
            inputs: Inputs::default(),
            memory: Mutex::default(),
            shelf: Mutex::default(),
            images: Mutex::default(),
        }
    }

    /// With what the owner gives beside AWS's answers: a price file, a Spot Advisor file.
    pub fn with_inputs(self, inputs: Inputs) -> Aws {
        Aws { inputs, ..self }
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Forgets slow facts of groups and facts of instances. To be called at the start of each invocation or run: within
    /// one they are read once. Types and prices stay.
    pub fn forget(&self) {
        *self.memory() = observe::Memory::default();
    }

    fn memory(&self) -> MutexGuard<'_, observe::Memory> {
        // Whoever panicked did so between two plain assignments: the data is good.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn images(&self) -> MutexGuard<'_, HashMap<String, observe::KnownImage>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shelf(&self) -> MutexGuard<'_, market::Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cloud for Aws {
    async fn observe(&self, scope: &Scope) -> Result<Vec<Observation>, CloudError> {
        match scope {
            Scope::Enabled => self.observe_enabled().await,
            Scope::Group { name, closer } => self.observe_group(name, closer.as_ref()).await,
            Scope::GroupOf(instance) => self.observe_group_of(instance).await,
            Scope::Notice(instance) => self.observe_in_haste(instance).await,
        }
    }

    async fn market(&self, platform: Platform) -> Result<Arc<Market>, CloudError> {
        self.market_of(platform).await
    }

    fn market_at_hand(&self, platform: Platform) -> Option<Arc<Market>> {
        self.shelf().fresh(platform, Timestamp::now())
    }

    async fn apply(&self, group: &GroupName, action: &Action) -> Result<(), CloudError> {
        // Whatever comes of it, what we remember of this group's activities is old now.
        self.memory().stir(group);
        self.perform(group, action).await
    }
}

/// Where the price list is read.
struct PriceList {
    region: String,
}

/// The Price List endpoints: one for the commercial regions is enough, China has its own, GovCloud has none.
fn price_list(region: &str, own_endpoint: bool) -> Option<PriceList> {
    let at = |region: &str| Some(PriceList { region: region.to_owned() });
    match region {
        // Whoever overrides the endpoint wants it asked as it is.
        _ if own_endpoint => at(region),
        _ if region.starts_with("cn-") => at("cn-northwest-1"),
        _ if region.starts_with("us-gov-") => None,
        _ => at("us-east-1"),
    }
}

/// `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_PRICING` or their counterparts in the profile are set.
fn has_own_endpoint(sdk: &SdkConfig) -> bool {
    let key = ServiceConfigKey::builder().service_id("Pricing").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let of_service = || sdk.service_config()?.load_config(key.ok()?);
    sdk.endpoint_url().is_some() || of_service().is_some()
}
