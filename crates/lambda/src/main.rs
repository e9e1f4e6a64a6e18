//! Entry point on Lambda: one event in, passes until quiet or nearly out of time.
//!
//! The only place that sleeps, and the only one that reads this function's environment.

mod books;
mod sweep;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use aws::Aws;
use engine::inputs::{Advisor, Inputs, PriceFile};
use engine::trigger::{GroupMessage, Trigger, Wake};
use engine::{CloudError, Outcome, Pass, settings};
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use planner::model::{GroupName, InstanceId};
use planner::policy::Config;
use serde_json::{Value, json};
use tracing::level_filters::LevelFilter;
use tracing::{error, info, warn};

/// No pass starts so close to the end: the slowest one, with a cold market, is over by then.
const RESERVE: Duration = Duration::from_secs(20);
/// Pause between two looks, unless the deployment says otherwise.
const PAUSE: Duration = Duration::from_secs(3);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log();
    let function = match Function::from_environment().await {
        Ok(function) => function,
        Err(why) => {
            error!(error = why, "wrong configuration");
            return ExitCode::FAILURE;
        }
    };
    match lambda_runtime::run(service_fn(|event| function.answer(event))).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error, "the runtime interface failed");
            ExitCode::FAILURE
        }
    }
}

/// JSON lines on stdout: what Lambda's JSON log format expects of a custom runtime.
fn log() {
    let level = variable("SPOTWARD_LOG").and_then(|text| text.parse().ok()).unwrap_or(LevelFilter::INFO);
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_max_level(level)
        .init();
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// Files of a layer, if there is one: on-demand prices for regions without a price list, AWS's Spot Advisor document. Wrong
/// prices would be wrong decisions; without the advisor the function only knows less.
fn inputs(region: &str) -> Result<Inputs, String> {
    let prices = match variable("SPOTWARD_PRICES") {
        None => None,
        Some(path) => {
            let named = |why: String| format!("SPOTWARD_PRICES = {path:?}: {why}");
            match std::fs::read_to_string(&path) {
                Ok(text) => Some(PriceFile::parse(&text).map_err(named)?),
                // The layer need not have one; AWS's own prices are right where there are any.
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(named(error.to_string())),
            }
        }
    };
    let text = variable("SPOTWARD_ADVISOR").and_then(|path| std::fs::read_to_string(path).ok());
    Ok(Inputs { prices, advisor: text.and_then(|text| Advisor::parse(&text, region).ok()) })
}

/// What survives from one invocation to the next.
struct Function {
    aws: Aws,
    config: Config,
    queue_url: Option<String>,
    pause: Duration,
    books: books::Books,
}

impl Function {
    async fn from_environment() -> Result<Function, String> {
        let or_built_in = |name: &str, built_in: String| variable(name).unwrap_or(built_in);
        let built_in = Config::default();
        let config = settings::config(
            &or_built_in("SPOTWARD_STACK", built_in.stack),
            &or_built_in("SPOTWARD_ENABLE_KEY", built_in.enable_key),
            &or_built_in("SPOTWARD_ENABLE_VALUE", built_in.enable_value),
            &or_built_in("SPOTWARD_DEFAULTS", String::new()),
        )?;
        let pause = match variable("SPOTWARD_PAUSE_MS") {
            None => PAUSE,
            Some(text) => {
                let millis =
                    text.parse().map_err(|_| format!("SPOTWARD_PAUSE_MS = {text:?}: allowed are milliseconds"))?;
                Duration::from_millis(millis)
            }
        };
        let aws = Aws::connect(config.clone(), None).await.map_err(|error| error.to_string())?;
        let inputs = inputs(aws.region())?;
        let aws = aws.with_inputs(inputs);
        Ok(Function { aws, config, queue_url: variable("SPOTWARD_QUEUE_URL"), pause, books: books::Books::default() })
    }

    async fn answer(&self, event: LambdaEvent<Value>) -> Result<Value, Error> {
        // What one invocation remembers is stale for the next.
        self.aws.forget();
        let last_start = event.context.deadline().checked_sub(RESERVE).unwrap_or(SystemTime::UNIX_EPOCH);
        match Trigger::parse(&event.payload) {
            Ok(Trigger::Tick) => self.tick().await,
            Ok(Trigger::Groups(messages)) => Ok(self.work(messages, last_start).await),
            Ok(Trigger::Wake(wakes)) => self.wake(wakes).await,
            Err(unknown) => {
                // With success: a retry would not make it known.
                error!(error = %unknown, "nothing done");
                Ok(Value::Null)
            }
        }
    }

    /// Looks at all enabled groups and queues those that have something to do.
    async fn tick(&self) -> Result<Value, Error> {
        let queue_url = self.queue_url()?;
        let looks = engine::survey(&self.aws, &self.config).await?;
        let busy = looks.iter().filter(|look| !look.plan.is_quiet());
        let (mut queued, mut failure) = (0_u32, None);
        for look in busy {
            let group = &look.observation.group;
            match self.aws.send_group(queue_url, &group.name, &group.arn, "tick", look.observation.now).await {
                Ok(()) => queued += 1,
                // One group's failure is not the others'.
                Err(error) => {
                    error!(group = group.name.as_str(), %error, "not queued");
                    failure = Some(error);
                }
            }
        }
        let line = engine::view::tick_line(&looks, queued, &self.config.stack, Timestamp::now().as_millisecond());
        say(&line);
        // A notice leaves no time to read prices, and comes only where there is spot.
        for platform in engine::spot_platforms(&looks) {
            if let Err(error) = self.aws.keep_market(platform).await {
                warn!(%error, %platform, "prices not read ahead");
            }
        }
        // After the groups: they are in more of a hurry.
        self.sweep().await;
        // After the queueing: nobody waits for the books.
        self.books.tick(&self.aws, &self.config.stack, &looks).await;
        match failure {
            None => Ok(json!({ "groups": looks.len(), "queued": queued })),
            Some(error) => Err(error.into()),
        }
    }

    /// Answers events: a replacement is launched at once where two minutes are all there is; everything else waits for
    /// its turn in the queue. `Err` asks for the event again.
    async fn wake(&self, wakes: Vec<Result<Wake, String>>) -> Result<Value, Error> {
        let (mut queued, mut failure) = (0_u32, None);
        for wake in wakes {
            let wake = match wake {
                Ok(wake) => wake,
                Err(why) => {
                    error!(error = why, "dropped");
                    continue;
                }
            };
            match self.answer_one(&wake).await {
                Ok(woken) => queued += u32::from(woken),
                Err(error) => {
                    error!(event = ?wake, %error, "not answered");
                    failure = Some(error);
                }
            }
        }
        match failure {
            None => Ok(json!({ "queued": queued })),
            Some(error) => Err(error),
        }
    }

    /// Whether a group was queued.
    async fn answer_one(&self, wake: &Wake) -> Result<bool, Error> {
        let (pass, instance) = match wake {
            Wake::Group(name) => return self.queue_if_ours(name, "event").await,
            Wake::Instance(id) | Wake::Drained(id) => return self.queue_group_of(id, "event").await,
            Wake::Interruption(id) => (engine::rescue(&self.aws, &self.config, id).await?, id),
            Wake::Rebalance(id) => (engine::rebalance(&self.aws, &self.config, id).await?, id),
            Wake::Ready(id) => return self.note_ready(id).await,
        };
        match pass {
            Some(pass) => {
                if let Wake::Interruption(_) = wake {
                    let now = Timestamp::now().as_millisecond();
                    say(&engine::view::notice_line(&pass.group, instance, &self.config.stack, now));
                }
                self.say(&pass);
                self.queue_if_ours(&pass.group, &format!("confirmed {instance}")).await
            }
            // No member, or EC2 does not say so (yet): whoever holds the group's lock looks again. Another occasion than
            // the true one: of two messages in one minute the queue drops the second.
            None => {
                info!(instance = instance.as_str(), "no member whose end is announced");
                self.queue_group_of(instance, &format!("unconfirmed {instance}")).await
            }
        }
    }

    /// Takes note that a replica of ours is ready; its swap goes on under the group's lock. `Err` asks for the message
    /// again: a watcher says it once per boot.
    async fn note_ready(&self, instance: &InstanceId) -> Result<bool, Error> {
        let Some(pass) = engine::watcher::record_ready(&self.aws, &self.config, instance).await? else {
            info!(instance = instance.as_str(), "ready, and nothing of ours that waits for it");
            return Ok(false);
        };
        self.say(&pass);
        match pass.outcome {
            Outcome::Acted => self.queue_if_ours(&pass.group, &format!("{instance} is ready")).await,
            Outcome::Quiet | Outcome::Refused(_) | Outcome::Gone => Ok(false),
            Outcome::Waiting => Err(format!("{instance} is not shown as running yet").into()),
            Outcome::Failed(error) => Err(error.into()),
        }
    }

    async fn queue_group_of(&self, instance: &InstanceId, occasion: &str) -> Result<bool, Error> {
        match self.aws.group_of_member(instance).await? {
            Some(name) => self.queue_if_ours(&name, occasion).await,
            None => Ok(false),
        }
    }

    /// Queues a group whose owner asked for us, or that still carries our journal. One call tells, before anything is
    /// put into the queue: events come for all groups of the account.
    async fn queue_if_ours(&self, name: &GroupName, occasion: &str) -> Result<bool, Error> {
        let Some(group) = self.aws.bare_group(name).await? else { return Ok(false) };
        if planner::policy::enabled(&group, &self.config).is_none() && group.journal().is_none() {
            return Ok(false);
        }
        self.aws.send_group(self.queue_url()?, &group.name, &group.arn, occasion, Timestamp::now()).await?;
        info!(group = name.as_str(), occasion, "queued");
        Ok(true)
    }

    fn queue_url(&self) -> Result<&str, &'static str> {
        self.queue_url.as_deref().ok_or("SPOTWARD_QUEUE_URL is not set: nowhere to send groups to")
    }

    /// Works on the groups one after the other. The answer names the messages that have to come again: in a FIFO queue
    /// the first that failed and all after it.
    async fn work(&self, messages: Vec<GroupMessage>, last_start: SystemTime) -> Value {
        let mut again = Vec::new();
        for message in messages {
            if !again.is_empty() {
                again.push(message.message_id);
                continue;
            }
            match message.group {
                Ok(group) => {
                    if !self.passes(&group, last_start).await {
                        again.push(message.message_id);
                    }
                }
                Err(why) => error!(message = message.message_id, error = why, "dropped"),
            }
        }
        let again: Vec<Value> = again.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
        json!({ "batchItemFailures": again })
    }

    /// Passes over one group until it is quiet, waits for something later than our end, or time is up. Whether it could
    /// be looked at: a reason against that which passes by itself does not count.
    async fn passes(&self, group: &GroupName, last_start: SystemTime) -> bool {
        loop {
            let wait = match engine::reconcile(&self.aws, &self.config, group).await {
                Ok(pass) => {
                    self.say(&pass);
                    if !pass.outcome.goes_on() {
                        return true;
                    }
                    self.pause_after(&pass)
                }
                Err(error) if is_passing(&error) => {
                    warn!(group = group.as_str(), %error, "look failed");
                    self.pause
                }
                Err(error) => {
                    error!(group = group.as_str(), %error, "gave up for now");
                    // Counted like an action that failed: a read that is denied sets off the same alarm.
                    self.say(&Pass {
                        group: group.clone(),
                        look: None,
                        outcome: Outcome::Failed(error),
                        refused_first: None,
                    });
                    return false;
                }
            };
            if SystemTime::now() + wait >= last_start {
                // The next tick finds the group where we leave it. That comes in a minute; a message given back would keep
                // the group locked for the queue's visibility time-out.
                return true;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// A wait that names its end is slept through at once.
    fn pause_after(&self, pass: &Pass) -> Duration {
        let until = match pass.outcome {
            Outcome::Waiting => pass.look.as_ref().and_then(|look| look.plan.wait.as_ref()?.until()),
            Outcome::Acted | Outcome::Refused(_) | Outcome::Failed(_) | Outcome::Quiet | Outcome::Gone => None,
        };
        let left = until.and_then(|until| Duration::try_from(until.duration_since(Timestamp::now())).ok());
        left.map_or(self.pause, |left| left.max(self.pause))
    }

    /// The line is log, metric and audit record: it must not be wrapped.
    fn say(&self, pass: &Pass) {
        let at = pass.look.as_ref().map_or_else(Timestamp::now, |look| look.observation.now);
        say(&engine::view::pass_line(pass, &self.config.stack, at.as_millisecond()));
        self.books.pass(&self.aws, &self.config.stack, pass);
    }
}

/// A line of ours, as it is.
fn say(line: &Value) {
    // Nobody is left to tell if stdout is gone.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A look that may succeed in a moment.
fn is_passing(error: &CloudError) -> bool {
    match error {
        CloudError::Throttled(_) | CloudError::Conflict(_) | CloudError::NotFound(_) => true,
        CloudError::InsufficientCapacity(_)
        | CloudError::Limit(_)
        | CloudError::Denied(_)
        | CloudError::Rejected(_) => false,
    }
}
