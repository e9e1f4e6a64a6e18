//! The ledger's lines: who is in the groups, who ended and why, which swap was finished.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws::Aws;
use engine::{Look, Pass};
use jiff::Timestamp;
use ledger::keeper::{Ending, Place};
use ledger::{Bought, Instance, Keeper, Record, Why, finished_swap};
use planner::model::{InstanceId, InstanceType, Price, Zone};
use tracing::warn;

/// What this process remembers of the last look: it saves lines, nothing depends on it.
#[derive(Default)]
pub struct Books(Mutex<Keeper>);

impl Books {
    /// What the look of a tick adds. Makes a call only if an instance is missed.
    pub async fn tick(&self, aws: &Aws, stack: &str, looks: &[Look]) {
        let place = Place { region: aws.region(), stack };
        let records = self.keeper().look(looks, place, |id| aws.platform_of(id));
        write(&records);
        let gone = self.keeper().gone();
        if gone.is_empty() {
            return;
        }
        let answers: BTreeMap<InstanceId, Ending> = match aws.endings(&gone).await {
            Ok(found) => found.into_iter().map(|(id, found)| (id, ending(found))).collect(),
            Err(error) => {
                // Asked again on the next tick.
                warn!(%error, "the books do not know yet how {} instances ended", gone.len());
                BTreeMap::new()
            }
        };
        let records = self.keeper().ended(&answers, Timestamp::now(), place);
        write(&records);
    }

    /// What a pass adds: a swap, if it finished one. Makes no call.
    pub fn pass(&self, aws: &Aws, stack: &str, pass: &Pass) {
        let place = Place { region: aws.region(), stack };
        let record = finished_swap(pass, place, |id| aws.platform_of(id), |instance| at_hand(aws, instance));
        write(record.as_slice());
    }

    fn keeper(&self) -> MutexGuard<'_, Keeper> {
        // Whoever panicked has written down less than it could: the next look adds it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ending(found: aws::Ending) -> Ending {
    let why = match found {
        aws::Ending { alive: true, .. } => Why::Left,
        aws::Ending { interrupted: true, .. } => Why::Interrupted,
        aws::Ending { .. } => Why::Terminated,
    };
    Ending { at: found.at.filter(|_| !found.alive), why }
}

fn at_hand(aws: &Aws, instance: &Instance) -> Option<Price> {
    let zone = Zone::new(&instance.zone);
    let zone = (instance.bought == Bought::Spot).then_some(&zone);
    aws.price_at_hand(&instance.platform, &InstanceType::new(&instance.kind), zone)
}

fn write(records: &[Record]) {
    let mut out = std::io::stdout().lock();
    for record in records {
        // Nobody is left to tell if stdout is gone.
        let _ = writeln!(out, "{}", record.line());
    }
}
