//! The Price List Query API: `GetProducts` of AmazonEC2, with AWS's filters, pages and lookalike products.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::Stage;
use crate::market::Platform;
use crate::rules::lock;
use crate::wire::{Answer, Call, Refusal};

/// "The maximum number of results", https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html
const PAGE: usize = 100;

pub fn handle(stage: &Stage, call: &Call) -> Result<Answer, Refusal> {
    if call.action != "GetProducts" {
        return Err(Refusal::gap(format!("pricing {} is not played here", call.action)));
    }
    if !["us-east-1", "eu-central-1", "ap-south-1"].contains(&call.region.as_str()) {
        return Err(Refusal::gap(format!("the pricing API has no endpoint in {}", call.region)));
    }
    let request =
        call.json.as_ref().ok_or_else(|| Refusal::new(400, "InvalidParameterException", "unreadable JSON"))?;
    if request["ServiceCode"] != "AmazonEC2" {
        return Err(Refusal::new(400, "NotFoundException", "no such service here"));
    }
    let size = request["MaxResults"].as_u64().map_or(PAGE, |size| size as usize);
    if !(1..=PAGE).contains(&size) {
        return Err(Refusal::new(400, "InvalidParameterException", format!("MaxResults must be between 1 and {PAGE}")));
    }
    let filters = request["Filters"].as_array().cloned().unwrap_or_default();
    if filters.len() > 50 {
        return Err(Refusal::new(400, "InvalidParameterException", "At most 50 filters"));
    }
    let start = match request["NextToken"].as_str() {
        None | Some("") => 0,
        Some(token) => token
            .strip_prefix("offset-")
            .and_then(|offset| offset.parse().ok())
            .ok_or_else(|| Refusal::new(400, "InvalidNextTokenException", "The token is not valid"))?,
    };
    let mut found = Vec::new();
    let mut more = false;
    let mut row = 0;
    'all: for region in regions(&filters) {
        for product in products(stage, &region).iter() {
            let mut fits = true;
            for filter in &filters {
                fits = fits && passes(filter, &product.facts)?;
            }
            if !fits {
                continue;
            }
            row += 1;
            if row <= start {
                continue;
            }
            if found.len() == size {
                more = true;
                break 'all;
            }
            // An item of the price list is a string that holds JSON.
            found.push(Value::String(product.text.clone()));
        }
    }
    let mut answer = json!({ "FormatVersion": "aws_v1", "PriceList": found });
    if more {
        answer["NextToken"] = json!(format!("offset-{}", start + size));
    }
    Ok(Answer::json(&answer))
}

/// The regions that a request can be about; without a filter only the first, which is enough to see that one is missing.
fn regions(filters: &[Value]) -> Vec<String> {
    let named =
        filters.iter().find(|filter| filter["Field"] == "regionCode").and_then(|filter| filter["Value"].as_str());
    named.unwrap_or("us-east-1").split(',').map(|region| region.trim().to_owned()).collect()
}

/// One item of the price list, written once: a region has five thousand.
pub struct Product {
    facts: Value,
    text: String,
}

/// The price lists by region, made when a region is asked for first.
#[derive(Default)]
pub struct PriceLists(Mutex<HashMap<String, Arc<Vec<Product>>>>);

fn products(stage: &Stage, region: &str) -> Arc<Vec<Product>> {
    let mut lists = lock(&stage.price_lists.0);
    Arc::clone(lists.entry(region.to_owned()).or_insert_with(|| Arc::new(price_list(stage, region))))
}

fn price_list(stage: &Stage, region: &str) -> Vec<Product> {
    let mut products = Vec::new();
    let mut add = |facts: Value| products.push(Product { text: facts.to_string(), facts });
    for (name, _) in stage.market.offered(region) {
        for platform in Platform::ALL {
            let Some(usd) = stage.market.on_demand(region, name, platform) else { continue };
            add(product(stage, region, name, platform, "Shared", "Used", usd));
            if platform == Platform::Linux {
                // Lookalikes: a client that filters too little finds these among its prices.
                add(product(stage, region, name, platform, "Shared", "AllocatedCapacityReservation", 0.0));
                add(product(stage, region, name, platform, "Dedicated", "Used", usd * 1.06));
            }
        }
    }
    products
}

fn product(
    stage: &Stage,
    region: &str,
    name: &str,
    platform: Platform,
    tenancy: &str,
    capacity: &str,
    usd: f64,
) -> Value {
    let info = stage.market.types.get(name);
    let is_metal = info.is_some_and(|info| info.is_metal);
    let family = if is_metal { "Compute Instance (bare metal)" } else { "Compute Instance" };
    let usage = match (capacity, tenancy) {
        ("AllocatedCapacityReservation", _) => "Reservation",
        (_, "Dedicated") => "DedicatedUsage",
        _ => "BoxUsage",
    };
    let sku = format!(
        "{:016X}",
        crate::world::digest(
            &crate::wire::Params::of([("r", region), ("t", name), ("p", platform.product()), ("u", usage)]),
            &[]
        )
    );
    let rate = format!("{sku}.JRTCKXETXF.6YS6EN2CT7");
    json!({
        "product": {
            "sku": sku,
            "productFamily": family,
            "attributes": {
                "servicecode": "AmazonEC2",
                "regionCode": region,
                "instanceType": name,
                "operatingSystem": platform.operating_system(),
                "operation": platform.usage_operation(),
                "preInstalledSw": "NA",
                "licenseModel": "No License required",
                "tenancy": tenancy,
                "capacitystatus": capacity,
                "marketoption": "OnDemand",
                "usagetype": format!("{usage}:{name}"),
                "vcpu": info.map_or(0, |info| info.vcpus).to_string(),
                "memory": format!("{} GiB", info.map_or(0.0, |info| info.memory_mib as f64 / 1024.0)),
            },
        },
        "serviceCode": "AmazonEC2",
        "terms": {
            "OnDemand": {
                format!("{sku}.JRTCKXETXF"): {
                    "offerTermCode": "JRTCKXETXF",
                    "sku": sku,
                    "effectiveDate": "2026-07-01T00:00:00Z",
                    "termAttributes": {},
                    "priceDimensions": {
                        rate.clone(): {
                            "rateCode": rate,
                            "unit": "Hrs",
                            "beginRange": "0",
                            "endRange": "Inf",
                            "appliesTo": [],
                            "description": format!("${usd:.4} per {tenancy} {} {name} Instance Hour", platform.operating_system()),
                            "pricePerUnit": { "USD": format!("{usd:.10}") },
                        }
                    }
                }
            }
        },
        "version": "20260720000000",
        "publicationDate": "2026-07-20T00:00:00Z",
    })
}

fn passes(filter: &Value, product: &Value) -> Result<bool, Refusal> {
    let field = filter["Field"].as_str().unwrap_or("");
    let value = filter["Value"].as_str().unwrap_or("");
    let have = match field {
        "productFamily" => product["product"]["productFamily"].as_str(),
        "sku" => product["product"]["sku"].as_str(),
        "ServiceCode" | "servicecode" => Some("AmazonEC2"),
        _ => product["product"]["attributes"][field].as_str(),
    };
    let same = |wanted: &str| have.is_some_and(|have| have.eq_ignore_ascii_case(wanted.trim()));
    match filter["Type"].as_str().unwrap_or("") {
        "TERM_MATCH" | "EQUALS" => Ok(same(value)),
        "CONTAINS" => Ok(have.is_some_and(|have| have.contains(value))),
        "ANY_OF" => Ok(value.split(',').any(same)),
        "NONE_OF" => Ok(!value.split(',').any(same)),
        other => Err(Refusal::new(400, "InvalidParameterException", format!("unknown filter type {other}"))),
    }
}
