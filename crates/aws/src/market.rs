//! Instance types, offerings and prices of the region, kept for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_ec2::types as ec2;
use aws_sdk_pricing::types as pricing;
use engine::CloudError;
use jiff::{SignedDuration, Timestamp};
use planner::market::{InstanceSpec, Market};
use planner::model::{InstanceType, Platform, Price, Zone};
use planner::risk::Risk;
use planner::stats::Life;
use serde_json::Value;

use crate::error::{Service, refused};
use crate::{Aws, convert};

/// AWS adds a type every few weeks and changes a list price every few months.
const CATALOG_AGE: SignedDuration = SignedDuration::from_hours(12);
/// Spot prices move a few times a day; a launch is judged by what it costs now.
const SPOT_AGE: SignedDuration = SignedDuration::from_mins(5);
/// Longer than the time from one tick to the next.
const KEPT_AHEAD: SignedDuration = SignedDuration::from_mins(2);
/// The most that EC2 puts on one page, by call.
const TYPES_PER_PAGE: i32 = 100;
const ROWS_PER_PAGE: i32 = 1000;
const PRODUCTS_PER_PAGE: i32 = 100;
/// Pages of spot requests that are read at most.
const REQUEST_PAGES_MAX: usize = 10;

/// The market of each platform that somebody asked for. Survives from one invocation to the next.
#[derive(Debug, Default)]
pub(crate) struct Shelf(BTreeMap<Platform, Kept>);

/// A market, and when its parts were read.
#[derive(Clone, Debug)]
struct Kept {
    market: Arc<Market>,
    catalog_at: Timestamp,
    spot_at: Timestamp,
}

type Specs = BTreeMap<InstanceType, InstanceSpec>;
type Offerings = BTreeMap<Zone, BTreeSet<InstanceType>>;
pub(crate) type OnDemandPrices = BTreeMap<InstanceType, Price>;
type SpotPrices = BTreeMap<Zone, BTreeMap<InstanceType, Price>>;

impl Shelf {
    /// The market of a platform, if it was read, however old.
    pub(crate) fn peek(&self, platform: Platform) -> Option<Arc<Market>> {
        self.0.get(&platform).map(|kept| Arc::clone(&kept.market))
    }

    fn market(&self, platform: Platform, now: Timestamp) -> Option<&Kept> {
        self.0.get(&platform).filter(|kept| now.duration_since(kept.catalog_at) < CATALOG_AGE)
    }

    /// A market whose prices hold.
    pub(crate) fn fresh(&self, platform: Platform, now: Timestamp) -> Option<Arc<Market>> {
        let kept = self.market(platform, now).filter(|kept| now.duration_since(kept.spot_at) < SPOT_AGE)?;
        Some(Arc::clone(&kept.market))
    }

    /// Types and offerings are the same for every platform.
    fn of_any_platform(&self, now: Timestamp) -> Option<&Kept> {
        Platform::ALL.into_iter().find_map(|platform| self.market(platform, now))
    }
}

impl Aws {
    /// Has prices of a platform at hand for whoever will be in haste. Those that are good for two minutes more are kept.
    pub async fn keep_market(&self, platform: Platform) -> Result<(), CloudError> {
        let now = Timestamp::now();
        let old = |kept: &Kept| now.duration_since(kept.spot_at) >= SPOT_AGE - KEPT_AHEAD;
        if let Some(kept) = self.shelf().0.get_mut(&platform).filter(|kept| old(kept)) {
            kept.spot_at = Timestamp::UNIX_EPOCH;
        }
        self.market_of(platform).await.map(drop)
    }

    pub(crate) async fn market_of(&self, platform: Platform) -> Result<Arc<Market>, CloudError> {
        let now = Timestamp::now();
        let (own, any) = {
            let shelf = self.shelf();
            (shelf.market(platform, now).cloned(), shelf.of_any_platform(now).cloned())
        };
        let kept = match own {
            Some(kept) if now.duration_since(kept.spot_at) < SPOT_AGE => return Ok(kept.market),
            Some(kept) => {
                let (spot, risk) = tokio::try_join!(self.read_spot(platform, now), self.risk(platform, now))?;
                Kept { market: Arc::new(Market { spot, risk, ..(*kept.market).clone() }), spot_at: now, ..kept }
            }
            None => {
                let ((specs, offerings, catalog_at), on_demand, spot, risk) = tokio::try_join!(
                    self.catalog(any, now),
                    self.on_demand(platform),
                    self.read_spot(platform, now),
                    self.risk(platform, now)
                )?;
                let market = Market { platform, specs, offerings, on_demand, spot, risk };
                Kept { market: Arc::new(market), catalog_at, spot_at: now }
            }
        };
        self.shelf().0.insert(platform, kept.clone());
        Ok(kept.market)
    }

    /// What is known about interruptions. A convenience: whatever is not to be had is not known.
    async fn risk(&self, platform: Platform, now: Timestamp) -> Result<Risk, CloudError> {
        let lives = self.read_lives().await.unwrap_or_default();
        let advisor = self.inputs.advisor.as_ref().map_or_else(BTreeMap::new, |file| file.of(platform));
        Ok(Risk { advisor, own: Risk::own(&lives, now) })
    }

    /// What became of the account's spot instances, for as long as EC2 remembers.
    async fn read_lives(&self) -> Result<Vec<Life>, CloudError> {
        let pages = self.clients.ec2.describe_spot_instance_requests().max_results(ROWS_PER_PAGE);
        let mut pages = pages.into_paginator().send();
        let mut lives = Vec::new();
        // An account with more spot instances than that has its history in its first ten thousand as well.
        for _ in 0..REQUEST_PAGES_MAX {
            let Some(page) = pages.next().await else { break };
            let page = page.map_err(refused(Service::Ec2, "DescribeSpotInstanceRequests"))?;
            lives.extend(page.spot_instance_requests().iter().filter_map(convert::life));
        }
        Ok(lives)
    }

    async fn catalog(&self, any: Option<Kept>, now: Timestamp) -> Result<(Specs, Offerings, Timestamp), CloudError> {
        if let Some(Kept { market, catalog_at, .. }) = any {
            return Ok((market.specs.clone(), market.offerings.clone(), catalog_at));
        }
        let (specs, offerings) = tokio::try_join!(self.read_specs(), self.read_offerings())?;
        Ok((specs, offerings, now))
    }

    async fn read_specs(&self) -> Result<Specs, CloudError> {
        let mut pages = self.clients.ec2.describe_instance_types().max_results(TYPES_PER_PAGE).into_paginator().send();
        let mut specs = Specs::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(refused(Service::Ec2, "DescribeInstanceTypes"))?;
            let page = page.instance_types().iter().filter_map(convert::spec);
            specs.extend(page.map(|spec| (spec.instance_type.clone(), spec)));
        }
        Ok(specs)
    }

    async fn read_offerings(&self) -> Result<Offerings, CloudError> {
        let mut pages = self
            .clients
            .ec2
            .describe_instance_type_offerings()
            .location_type(ec2::LocationType::AvailabilityZone)
            .max_results(ROWS_PER_PAGE)
            .into_paginator()
            .send();
        let mut offerings = Offerings::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(refused(Service::Ec2, "DescribeInstanceTypeOfferings"))?;
            for offering in page.instance_type_offerings() {
                if let (Some(zone), Some(name)) = (offering.location(), offering.instance_type()) {
                    offerings.entry(Zone::new(zone)).or_default().insert(InstanceType::new(name.as_str()));
                }
            }
        }
        Ok(offerings)
    }

    /// With a start time of now, EC2 answers with the last change before it: the price that holds.
    async fn read_spot(&self, platform: Platform, now: Timestamp) -> Result<SpotPrices, CloudError> {
        let product = platform.spot_product();
        let mut pages = self
            .clients
            .ec2
            .describe_spot_price_history()
            .start_time(convert::sdk_time(now))
            .product_descriptions(product)
            .product_descriptions(format!("{product} (Amazon VPC)"))
            .max_results(ROWS_PER_PAGE)
            .into_paginator()
            .send();
        let mut newest: BTreeMap<(Zone, InstanceType), (Timestamp, Option<Price>)> = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(refused(Service::Ec2, "DescribeSpotPriceHistory"))?;
            for row in page.spot_price_history() {
                let (Some(zone), Some(name)) = (row.availability_zone(), row.instance_type()) else { continue };
                let key = (Zone::new(zone), InstanceType::new(name.as_str()));
                let at = convert::time(row.timestamp()).unwrap_or(Timestamp::UNIX_EPOCH);
                if newest.get(&key).is_none_or(|(known, _)| at > *known) {
                    newest.insert(key, (at, row.spot_price().and_then(Price::parse)));
                }
            }
        }
        let mut prices = SpotPrices::new();
        for ((zone, name), (_, price)) in newest {
            if let Some(price) = price {
                prices.entry(zone).or_default().insert(name, price);
            }
        }
        Ok(prices)
    }

    /// On-demand prices: from the owner's file if there is one, else from the Price List service.
    async fn on_demand(&self, platform: Platform) -> Result<OnDemandPrices, CloudError> {
        let Some(file) = &self.inputs.prices else { return self.read_on_demand(platform).await };
        let prices = file.of(platform);
        if prices.is_empty() {
            return Err(CloudError::Rejected(format!("the price file has no on-demand price for {platform}")));
        }
        Ok(prices)
    }

    pub(crate) async fn read_on_demand(&self, platform: Platform) -> Result<OnDemandPrices, CloudError> {
        if !self.has_price_list {
            return Err(CloudError::Rejected(format!(
                "AWS offers no Price List endpoint for {region}: give on-demand prices in a file (SPOTWARD_PRICES, \
                 format in docs/price-files.md), or set AWS_ENDPOINT_URL_PRICING to an endpoint that answers for it",
                region = self.region
            )));
        }
        let equal = |field: &str, value: &str| {
            pricing::Filter::builder()
                .r#type(pricing::FilterType::TermMatch)
                .field(field)
                .value(value)
                .build()
                .expect("type, field and value are set")
        };
        let mut pages = self
            .clients
            .pricing
            .get_products()
            .service_code("AmazonEC2")
            .filters(equal("regionCode", &self.region))
            .filters(equal("operation", platform.usage_operation()))
            .filters(equal("tenancy", "Shared"))
            .filters(equal("capacitystatus", "Used"))
            .filters(equal("marketoption", "OnDemand"))
            .max_results(PRODUCTS_PER_PAGE)
            .into_paginator()
            .send();
        let mut prices = OnDemandPrices::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(refused(Service::Pricing, "GetProducts"))?;
            prices.extend(page.price_list().iter().filter_map(|product| on_demand_price(product)));
        }
        if prices.is_empty() {
            return Err(CloudError::Rejected(format!(
                "GetProducts: the price list has no on-demand price for {platform} in {}",
                self.region
            )));
        }
        Ok(prices)
    }
}

/// One entry of the price list, which is JSON in a string: the type and its price per hour.
fn on_demand_price(product: &str) -> Option<(InstanceType, Price)> {
    let product: Value = serde_json::from_str(product).ok()?;
    let name = product["product"]["attributes"]["instanceType"].as_str()?;
    let terms = product["terms"]["OnDemand"].as_object()?;
    let dimensions = terms.values().filter_map(|term| term["priceDimensions"].as_object());
    let mut prices = dimensions
        .flat_map(|dimensions| dimensions.values())
        .filter(|dimension| dimension["unit"].as_str() == Some("Hrs"))
        .filter_map(|dimension| {
            let per_unit = &dimension["pricePerUnit"];
            // China is billed in yuan.
            Price::parse(per_unit["USD"].as_str().or(per_unit["CNY"].as_str())?)
        });
    Some((InstanceType::new(name), prices.next()?))
}
