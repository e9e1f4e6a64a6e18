//! What has been: ends of instances, prices of the past. Beside the port: only the books ask.

use std::collections::BTreeMap;

use aws_sdk_ec2::types as ec2;
use engine::CloudError;
use jiff::Timestamp;
use planner::model::{InstanceId, InstanceType, Platform, Price, RunState, Zone};

use crate::Aws;
use crate::convert;
use crate::error::{Service, refused};

/// Values of one filter.
const IDS_PER_FILTER: usize = 200;
/// Types in one question for prices.
const TYPES_PER_CALL: usize = 50;
const ROWS_PER_PAGE: i32 = 1000;

/// What EC2 says about an instance that is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// It runs: it has only left its group.
    pub alive: bool,
    /// EC2 took the capacity back.
    pub interrupted: bool,
    /// When it was told to end, where EC2 says so.
    pub at: Option<Timestamp>,
}

impl Aws {
    /// What EC2 says about these; whom it has forgotten is not in the answer.
    pub async fn endings(&self, ids: &[InstanceId]) -> Result<BTreeMap<InstanceId, Ending>, CloudError> {
        let mut endings = BTreeMap::new();
        for ids in ids.chunks(IDS_PER_FILTER) {
            // A filter, since an id that EC2 does not know any more is no error there.
            let values = ids.iter().map(InstanceId::to_string).collect();
            let filter = ec2::Filter::builder().name("instance-id").set_values(Some(values)).build();
            let mut pages = self.clients.ec2.describe_instances().filters(filter).into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(refused(Service::Ec2, "DescribeInstances"))?;
                let instances = page.reservations().iter().flat_map(|reservation| reservation.instances());
                endings
                    .extend(instances.filter_map(|found| Some((InstanceId::new(found.instance_id()?), ending(found)))));
            }
        }
        Ok(endings)
    }

    /// What an instance of the last look is billed as, in the words of the spot price history.
    pub fn platform_of(&self, id: &InstanceId) -> Option<String> {
        self.memory().platforms.get(id).cloned()
    }

    /// A price that was read for something else, however old; `zone` for the pool's, none for the list's. No call.
    pub fn price_at_hand(&self, platform: &str, instance_type: &InstanceType, zone: Option<&Zone>) -> Option<Price> {
        let market = self.shelf().peek(named(platform)?)?;
        match zone {
            Some(zone) => market.spot.get(zone)?.get(instance_type).copied(),
            None => market.on_demand.get(instance_type).copied(),
        }
    }

    /// Today's on-demand prices of a platform; none for one that has no list of its own.
    pub async fn list_prices(&self, platform: &str) -> Result<BTreeMap<InstanceType, Price>, CloudError> {
        match named(platform) {
            Some(platform) => self.read_on_demand(platform).await,
            None => Ok(BTreeMap::new()),
        }
    }

    /// Every change of the spot prices of these types, with the last one before `from`; in no order. EC2 keeps ninety
    /// days.
    pub async fn spot_history(
        &self,
        platform: &str,
        types: &[InstanceType],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(Zone, InstanceType, Timestamp, Price)>, CloudError> {
        let Some(product) = named(platform).map(Platform::spot_product) else { return Ok(Vec::new()) };
        let mut rows = Vec::new();
        for types in types.chunks(TYPES_PER_CALL) {
            let mut pages = self
                .clients
                .ec2
                .describe_spot_price_history()
                .start_time(convert::sdk_time(from))
                .end_time(convert::sdk_time(until))
                .set_instance_types(Some(types.iter().map(|name| name.as_str().into()).collect()))
                .product_descriptions(product)
                .product_descriptions(format!("{product} (Amazon VPC)"))
                .max_results(ROWS_PER_PAGE)
                .into_paginator()
                .send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(refused(Service::Ec2, "DescribeSpotPriceHistory"))?;
                rows.extend(page.spot_price_history().iter().filter_map(|row| {
                    let zone = Zone::new(row.availability_zone()?);
                    let name = InstanceType::new(row.instance_type()?.as_str());
                    Some((zone, name, convert::time(row.timestamp())?, row.spot_price().and_then(Price::parse)?))
                }));
            }
        }
        Ok(rows)
    }
}

fn named(platform: &str) -> Option<Platform> {
    Platform::ALL.into_iter().find(|known| known.spot_product() == platform)
}

fn ending(instance: &ec2::Instance) -> Ending {
    let state = instance.state().and_then(|state| state.name()).map_or("", |name| name.as_str());
    let code = instance.state_reason().and_then(|reason| reason.code()).unwrap_or("");
    Ending {
        alive: !matches!(RunState::parse(state), RunState::ShuttingDown | RunState::Terminated),
        // <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html>
        interrupted: matches!(code, "Server.SpotInstanceTermination" | "Server.SpotInstanceShutdown"),
        at: instance.state_transition_reason().and_then(told_at),
    }
}

/// `User initiated (2026-10-21 17:45:26 GMT)`; other reasons come without a time.
fn told_at(reason: &str) -> Option<Timestamp> {
    let (_, rest) = reason.split_once('(')?;
    let mut words = rest.trim_end_matches(')').split(' ');
    let (day, time, zone) = (words.next()?, words.next()?, words.next()?);
    matches!(zone, "GMT" | "UTC").then(|| format!("{day}T{time}Z").parse().ok()).flatten()
}
