//! The tests' own door: `/_stage/…`, JSON in and out.

use std::time::Duration;

use hyper::{Method, StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Stage;
use crate::calls::Wanted;
use crate::moto::Place;
use crate::rules::Rule;
use crate::wire::{Answer, DEFAULT_ACCOUNT, Params, Refusal};
use crate::world::{Activity, Pool, Settings, now};

pub async fn handle(stage: &Stage, method: &Method, uri: &Uri, body: &[u8]) -> Answer {
    let query = Params::parse(uri.query().unwrap_or("").as_bytes());
    match act(stage, method, uri.path(), &query, body).await {
        Ok(value) => Answer { content_type: "application/json", ..Answer::json(&value) },
        Err(message) => Answer {
            status: StatusCode::BAD_REQUEST,
            content_type: "application/json",
            ..Answer::json(&json!({ "error": message }))
        },
    }
}

async fn act(stage: &Stage, method: &Method, path: &str, query: &Params, body: &[u8]) -> Result<Value, String> {
    match (method.as_str(), path) {
        ("GET", "/_stage/calls") => Ok(json!(stage.calls.select(&Wanted {
            account: query.get("account").map(str::to_owned),
            region: query.get("region").map(str::to_owned),
            agent: query.get("agent").map(str::to_owned),
            since: query.get("since").and_then(|text| text.parse().ok()).unwrap_or(0),
            mutating: query.get("mutating").map(|text| text == "true"),
        }))),
        ("GET", "/_stage/rules") => Ok(json!(stage.rules.list())),
        ("POST", "/_stage/rules") => {
            stage.rules.add(read::<Vec<Rule>>(body)?);
            Ok(json!({}))
        }
        ("DELETE", "/_stage/rules") => {
            stage.rules.clear(query.get("account"));
            Ok(json!({}))
        }
        ("GET", "/_stage/held") => {
            let seconds = query.get("seconds").and_then(|text| text.parse().ok()).unwrap_or(0.0);
            Ok(json!(stage.rules.wait_held(query.get("account"), Duration::from_secs_f64(seconds)).await))
        }
        ("POST", "/_stage/release") => {
            stage.rules.release(query.get("account"));
            Ok(json!({}))
        }
        ("POST", "/_stage/reset") => {
            // One account: what the stage knows of it. Everything: moto too.
            let account = query.get("account");
            stage.calls.clear(account);
            stage.rules.clear(account);
            stage.forget(account);
            if account.is_none() {
                stage.moto.reset().await.map_err(|refusal| refusal.message)?;
            }
            Ok(json!({}))
        }
        ("POST", "/_stage/settings") => {
            let wish: Wish<Settings> = read(body)?;
            let world = stage.world(&wish.place());
            world.lock().await.settings = wish.inner;
            Ok(json!({}))
        }
        ("POST", "/_stage/pools") => {
            let wish: Wish<Pools> = read(body)?;
            let world = stage.world(&wish.place());
            let mut world = world.lock().await;
            for pool in wish.inner.pools {
                let PoolWish { instance_type, zone, capacity, usd, error } = pool;
                world.pools.insert((instance_type, zone), Pool { capacity, usd, error });
            }
            Ok(json!({}))
        }
        ("POST", "/_stage/interrupt") => {
            let wish: Wish<Interrupt> = read(body)?;
            let world = stage.world(&wish.place());
            let mut world = world.lock().await;
            let state = world.instances.get_mut(&wish.inner.instance_id).ok_or("no such instance")?;
            if state.spot.is_none() {
                return Err("EC2 takes back spot instances only".to_owned());
            }
            state.interrupt_at = Some(now() + wish.inner.in_seconds);
            if wish.inner.in_seconds <= 0.0 {
                world.advance(stage).await.map_err(|refusal| refusal.message)?;
            }
            Ok(json!({}))
        }
        ("POST", "/_stage/targets") => {
            let wish: Wish<Target> = read(body)?;
            let world = stage.world(&wish.place());
            let mut world = world.lock().await;
            match wish.inner.state {
                Some(state) => world.target_states.insert(wish.inner.instance_id, state),
                None => world.target_states.remove(&wish.inner.instance_id),
            };
            Ok(json!({}))
        }
        ("POST", "/_stage/activities") => {
            let wish: Wish<NewActivity> = read(body)?;
            let world = stage.world(&wish.place());
            let mut world = world.lock().await;
            let (id, start) = (world.id("activity-"), now());
            let NewActivity { group, description, cause, status } = wish.inner;
            let end = (status != "InProgress").then_some(start);
            let activity = Activity { id, description, cause, start, end, status, details: "{}".to_owned() };
            world.group(&group).activities.push(activity);
            Ok(json!({}))
        }
        _ => Err(format!("there is no {method} {path} here")),
    }
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// A wish about one account and region.
#[derive(Deserialize)]
struct Wish<T> {
    account: Option<String>,
    region: Option<String>,
    #[serde(flatten)]
    inner: T,
}

impl<T> Wish<T> {
    fn place(&self) -> Place {
        Place {
            account: self.account.clone().unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned()),
            region: self.region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
        }
    }
}

#[derive(Deserialize)]
struct Pools {
    pools: Vec<PoolWish>,
}

#[derive(Deserialize)]
struct PoolWish {
    instance_type: String,
    zone: String,
    capacity: Option<i64>,
    usd: Option<f64>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Interrupt {
    instance_id: String,
    in_seconds: f64,
}

#[derive(Deserialize)]
struct Target {
    instance_id: String,
    state: Option<String>,
}

#[derive(Deserialize)]
struct NewActivity {
    group: String,
    description: String,
    cause: String,
    status: String,
}

/// An unreadable request, told apart from AWS's answers.
pub fn not_an_aws_call() -> Answer {
    Refusal::gap("this is no signed AWS call").answer("", false)
}
