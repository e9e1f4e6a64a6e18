//! The stage: AWS on loopback, strict. A reverse proxy in front of moto for the end-to-end tests and the demo.
//!
//! It refuses what AWS refuses, answers from real data what moto lacks, records every call and breaks things on command.
//! What it plays and what it does not is in `tests/stage/README.md`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // The one line that tells the tests where it listens, and why it died.

mod autoscaling;
mod calls;
mod control;
mod ec2;
mod elb;
mod fleet;
mod launch;
mod market;
mod moto;
mod pricing;
mod rules;
mod wire;
mod world;
mod xml;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::calls::Calls;
use crate::market::{Market, Platform};
use crate::moto::{Moto, Place};
use crate::rules::{Effect, Rules, lock, throttled};
use crate::wire::{Answer, Call, Refusal};
use crate::world::World;

/// Everything that the stage holds.
pub struct Stage {
    pub moto: Moto,
    pub market: Market,
    pub calls: Calls,
    pub rules: Rules,
    pub price_lists: pricing::PriceLists,
    images: HashMap<String, Image>,
    worlds: Mutex<HashMap<Place, Arc<tokio::sync::Mutex<World>>>>,
}

/// What the stage knows of a machine image beside moto.
struct Image {
    platform: Platform,
    architecture: String,
}

impl Stage {
    pub fn world(&self, place: &Place) -> Arc<tokio::sync::Mutex<World>> {
        let mut worlds = lock(&self.worlds);
        let world =
            worlds.entry(place.clone()).or_insert_with(|| Arc::new(tokio::sync::Mutex::new(World::new(place.clone()))));
        Arc::clone(world)
    }

    fn all_worlds(&self) -> Vec<Arc<tokio::sync::Mutex<World>>> {
        lock(&self.worlds).values().cloned().collect()
    }

    /// Forgets the worlds of one account, or all.
    pub fn forget(&self, account: Option<&str>) {
        lock(&self.worlds).retain(|place, _| account.is_some_and(|account| place.account != account));
    }

    /// The platform of an image; one that a test registered itself is Linux.
    pub fn platform_of(&self, image: &str) -> Platform {
        self.images.get(image).map_or(Platform::Linux, |image| image.platform)
    }

    pub fn architecture_of(&self, image: &str) -> Option<&str> {
        self.images.get(image).map(|image| image.architecture.as_str())
    }
}

/// What the command line says.
struct Options {
    moto: String,
    data: PathBuf,
    images: PathBuf,
    port: u16,
}

impl Options {
    const USAGE: &str = "usage: stage --moto URL --data DIR --images FILE [--port N]";

    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let (mut moto, mut data, mut images, mut port) = (None, None, None, 0);
        while let Some(flag) = arguments.next() {
            let value = arguments.next().ok_or(Options::USAGE)?;
            match flag.as_str() {
                "--moto" => moto = Some(value),
                "--data" => data = Some(PathBuf::from(value)),
                "--images" => images = Some(PathBuf::from(value)),
                "--port" => port = value.parse().map_err(|_| Options::USAGE)?,
                _ => return Err(Options::USAGE.to_owned()),
            }
        }
        match (moto, data, images) {
            (Some(moto), Some(data), Some(images)) => Ok(Options { moto, data, images, port }),
            _ => Err(Options::USAGE.to_owned()),
        }
    }
}

fn main() -> std::process::ExitCode {
    let outcome = Options::read(std::env::args().skip(1)).and_then(|options| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        runtime.block_on(serve(&options))
    });
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("stage: {message}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn serve(options: &Options) -> Result<(), String> {
    let stage = Arc::new(Stage {
        moto: Moto::new(&options.moto),
        market: Market::load(&options.data)?,
        calls: Calls::default(),
        rules: Rules::default(),
        price_lists: pricing::PriceLists::default(),
        images: images(&options.images)?,
        worlds: Mutex::default(),
    });
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    println!("stage listens on http://{address}");
    tokio::spawn(keep_time(Arc::clone(&stage)));
    loop {
        let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
        let stage = Arc::clone(&stage);
        tokio::spawn(async move { connection(stage, stream).await });
    }
}

fn images(path: &Path) -> Result<HashMap<String, Image>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let images: Vec<serde_json::Value> = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let known = images.iter().filter_map(|image| {
        let platform = launch::platform_of_name(image["name"].as_str()?);
        let architecture = image["architecture"].as_str()?.to_owned();
        Some((image["ami_id"].as_str()?.to_owned(), Image { platform, architecture }))
    });
    Ok(known.collect())
}

/// Lets happen what is due also when nobody calls.
async fn keep_time(stage: Arc<Stage>) {
    const TICK: Duration = Duration::from_millis(250);
    loop {
        tokio::time::sleep(TICK).await;
        for world in stage.all_worlds() {
            let mut world = world.lock().await;
            if world.has_plans()
                && let Err(refusal) = world.advance(&stage).await
            {
                eprintln!("stage: {}: {}", refusal.code, refusal.message);
            }
        }
    }
}

async fn connection(stage: Arc<Stage>, stream: TcpStream) {
    // Nagle's algorithm would hold back the second packet of an answer for 40 ms.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let stage = Arc::clone(&stage);
        async move { respond(stage, request).await }
    });
    // An error here is a client that hung up, or a connection that a rule told us to break.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Why a connection is broken off without an answer.
#[derive(Debug)]
struct BrokenOff;

impl std::fmt::Display for BrokenOff {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("broken off on command")
    }
}

impl std::error::Error for BrokenOff {}

async fn respond(stage: Arc<Stage>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, BrokenOff> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| BrokenOff)?.to_bytes();
    if parts.uri.path().starts_with("/_stage/") {
        return Ok(response(control::handle(&stage, &parts.method, &parts.uri, &body).await));
    }
    let Some(call) = Call::read(parts.method, parts.uri, parts.headers, body) else {
        return Ok(response(control::not_an_aws_call()));
    };
    let number = stage.calls.begin(&call);
    let effect = stage.rules.effect(&call);
    if let Some(effect) = &effect {
        stage.calls.fault(number, format!("{effect:?}"));
    }
    let refusal = match &effect {
        Some(Effect::Throttle) => Some(throttled(&call.service)),
        Some(Effect::Unavailable) => Some(Refusal::new(503, "ServiceUnavailable", "Service is unavailable")),
        Some(Effect::Error { status, code, message }) => Some(Refusal::new(*status, code, message)),
        Some(Effect::Drop) => return Err(BrokenOff),
        Some(Effect::Hold) => {
            stage.rules.hold(number, &call.account).await;
            None
        }
        Some(Effect::Stall { seconds }) => {
            tokio::time::sleep(Duration::from_secs_f64(*seconds)).await;
            None
        }
        Some(Effect::LoseReply | Effect::HoldReply) | None => None,
    };
    if let Some(refusal) = refusal {
        stage.calls.end(number, refusal.status, Some(refusal.code.clone()));
        return Ok(response(refusal.answer(&call.service, call.json.is_some())));
    }
    // In a task of its own: once begun, a call is carried out whether its caller lives or not.
    let account = call.account.clone();
    let worker = tokio::spawn(carry_out(Arc::clone(&stage), call, number));
    let answer = worker.await.map_err(|_| BrokenOff)?;
    match effect {
        Some(Effect::LoseReply) => return Err(BrokenOff),
        Some(Effect::HoldReply) => stage.rules.hold(number, &account).await,
        _ => {}
    }
    Ok(response(answer))
}

async fn carry_out(stage: Arc<Stage>, call: Call, number: u64) -> Answer {
    let outcome = play(&stage, &call).await;
    let (answer, error) = match outcome {
        Ok(answer) if answer.status.is_success() => (answer, None),
        Ok(answer) => match moto::tree(&call.service, &call.action, &answer) {
            Err(refusal) => (refusal.answer(&call.service, call.json.is_some()), Some(refusal.code)),
            Ok(_) => (answer, None),
        },
        Err(refusal) => (refusal.answer(&call.service, call.json.is_some()), Some(refusal.code)),
    };
    stage.calls.end(number, answer.status.as_u16(), error);
    answer
}

async fn play(stage: &Stage, call: &Call) -> Result<Answer, Refusal> {
    let place = Place { account: call.account.clone(), region: call.region.clone() };
    match call.service.as_str() {
        "pricing" => pricing::handle(stage, call),
        "ec2" | "autoscaling" | "elasticloadbalancing" => {
            let world = stage.world(&place);
            let mut world = world.lock().await;
            world.advance(stage).await?;
            match call.service.as_str() {
                "ec2" => ec2::handle(stage, &mut world, call).await,
                "autoscaling" => autoscaling::handle(stage, &mut world, call).await,
                _ => elb::handle(stage, &mut world, call).await,
            }
        }
        _ => stage.moto.forward(call).await,
    }
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(answer.content_type));
    response
}
