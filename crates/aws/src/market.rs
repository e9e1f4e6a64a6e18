//! Instance types, offerings and prices of the region, kept for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_ec2::types as ec2;
use aws_sdk_pricing::types as pricing;
use engine::CloudError;
use jiff::{SignedDuration, Timestamp};
use planner::market::{InstanceSpec, Market};
use planner::model::{InstanceType, Platform, Price, Zone};
use serde_json::Value;

use crate::error::{Service, refused};
use crate::{Aws, convert};

/// AWS adds a type every few weeks and changes a list price every few months.
const CATALOG_AGE: SignedDuration = SignedDuration::from_hours(12);
/// Spot prices move a few times a day; a launch is judged by what it costs now.
const SPOT_AGE: SignedDuration = SignedDuration::from_mins(5);
/// The most that EC2 puts on one page, by call.
const TYPES_PER_PAGE: i32 = 100;
const ROWS_PER_PAGE: i32 = 1000;
const PRODUCTS_PER_PAGE: i32 = 100;

/// What was read, with the time of reading. Survives from one invocation to the next.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    catalog: Option<Kept<Catalog>>,
    on_demand: BTreeMap<Platform, Kept<BTreeMap<InstanceType, Price>>>,
    spot: BTreeMap<Platform, Kept<SpotPrices>>,
}

type SpotPrices = BTreeMap<Zone, BTreeMap<InstanceType, Price>>;

#[derive(Debug)]
struct Catalog {
    specs: BTreeMap<InstanceType, InstanceSpec>,
    offerings: BTreeMap<Zone, BTreeSet<InstanceType>>,
}

#[derive(Debug)]
struct Kept<T> {
    read_at: Timestamp,
    what: Arc<T>,
}

impl<T> Kept<T> {
    fn new(what: T, read_at: Timestamp) -> (Kept<T>, Arc<T>) {
        let what = Arc::new(what);
        (Kept { read_at, what: Arc::clone(&what) }, what)
    }

    fn fresh(&self, age: SignedDuration, now: Timestamp) -> Option<Arc<T>> {
        (now.duration_since(self.read_at) < age).then(|| Arc::clone(&self.what))
    }
}

impl Aws {
    pub(crate) async fn market_of(&self, platform: Platform) -> Result<Market, CloudError> {
        let now = Timestamp::now();
        let (catalog, on_demand, spot) =
            tokio::try_join!(self.catalog(now), self.on_demand(platform, now), self.spot(platform, now))?;
        Ok(Market {
            platform,
            specs: catalog.specs.clone(),
            offerings: catalog.offerings.clone(),
            on_demand: (*on_demand).clone(),
            spot: (*spot).clone(),
        })
    }

    async fn catalog(&self, now: Timestamp) -> Result<Arc<Catalog>, CloudError> {
        if let Some(catalog) = self.shelf().catalog.as_ref().and_then(|kept| kept.fresh(CATALOG_AGE, now)) {
            return Ok(catalog);
        }
        let (specs, offerings) = tokio::try_join!(self.read_specs(), self.read_offerings())?;
        let (kept, catalog) = Kept::new(Catalog { specs, offerings }, now);
        self.shelf().catalog = Some(kept);
        Ok(catalog)
    }

    async fn on_demand(
        &self,
        platform: Platform,
        now: Timestamp,
    ) -> Result<Arc<BTreeMap<InstanceType, Price>>, CloudError> {
        if let Some(prices) = self.shelf().on_demand.get(&platform).and_then(|kept| kept.fresh(CATALOG_AGE, now)) {
            return Ok(prices);
        }
        let (kept, prices) = Kept::new(self.read_on_demand(platform).await?, now);
        self.shelf().on_demand.insert(platform, kept);
        Ok(prices)
    }

    async fn spot(&self, platform: Platform, now: Timestamp) -> Result<Arc<SpotPrices>, CloudError> {
        if let Some(prices) = self.shelf().spot.get(&platform).and_then(|kept| kept.fresh(SPOT_AGE, now)) {
            return Ok(prices);
        }
        let (kept, prices) = Kept::new(self.read_spot(platform, now).await?, now);
        self.shelf().spot.insert(platform, kept);
        Ok(prices)
    }

    async fn read_specs(&self) -> Result<BTreeMap<InstanceType, InstanceSpec>, CloudError> {
        let mut pages = self.clients.ec2.describe_instance_types().max_results(TYPES_PER_PAGE).into_paginator().send();
        let mut specs = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(refused(Service::Ec2, "DescribeInstanceTypes"))?;
            let page = page.instance_types().iter().filter_map(convert::spec);
            specs.extend(page.map(|spec| (spec.instance_type.clone(), spec)));
        }
        Ok(specs)
    }

    async fn read_offerings(&self) -> Result<BTreeMap<Zone, BTreeSet<InstanceType>>, CloudError> {
        let mut pages = self
            .clients
            .ec2
            .describe_instance_type_offerings()
            .location_type(ec2::LocationType::AvailabilityZone)
            .max_results(ROWS_PER_PAGE)
            .into_paginator()
            .send();
        let mut offerings: BTreeMap<Zone, BTreeSet<InstanceType>> = BTreeMap::new();
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

    async fn read_on_demand(&self, platform: Platform) -> Result<BTreeMap<InstanceType, Price>, CloudError> {
        if !self.has_price_list {
            let region = &self.region;
            return Err(CloudError::Rejected(format!(
                "AWS offers no Price List endpoint for {region}; set AWS_ENDPOINT_URL_PRICING to one that answers for it"
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
        let mut prices = BTreeMap::new();
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
