//! A cloud that follows a script, and transcripts of what was asked of it. Pictures are those of the planner's tests.
// Each test file compiles this module for itself and uses a part of it.
#![allow(dead_code, unused_imports)]

#[path = "../../../planner/tests/support/picture.rs"]
mod picture;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use engine::{Cloud, CloudError, Scope};
use planner::action::Action;
use planner::market::Market;
use planner::model::{GroupName, InstanceId, Observation, Platform};
use planner::policy::Config;

pub use picture::{Picture, picture};

/// Shows one picture after the other, the last one again and again, and notes what it is asked.
pub struct Script {
    pictures: Vec<Picture>,
    looks: Cell<usize>,
    protected: BTreeSet<InstanceId>,
    answer: RefCell<Option<CloudError>>,
    at_hand: Option<Arc<Market>>,
    said: RefCell<Vec<String>>,
}

impl Script {
    /// `pictures` in the order of the looks; none: the group does not exist.
    pub fn of(pictures: &[&str]) -> Self {
        Self {
            pictures: pictures.iter().map(|text| picture(text)).collect(),
            looks: Cell::new(0),
            protected: BTreeSet::new(),
            answer: RefCell::new(None),
            at_hand: None,
            said: RefCell::new(Vec::new()),
        }
    }

    /// A closer look shows that these are protected from termination.
    pub fn protecting(mut self, ids: &[&str]) -> Self {
        self.protected = ids.iter().map(|id| InstanceId::new(*id)).collect();
        self
    }

    /// The market of the first picture was read a moment ago.
    pub fn with_the_market_at_hand(mut self) -> Self {
        self.at_hand = self.pictures.first().and_then(|picture| picture.market.clone()).map(Arc::new);
        self
    }

    /// The next action is answered with an error.
    pub fn answering(self, error: CloudError) -> Self {
        *self.answer.borrow_mut() = Some(error);
        self
    }

    /// The deployment of the pictures.
    pub fn config(&self) -> Config {
        self.pictures.first().map(|picture| picture.config.clone()).unwrap_or_default()
    }

    /// What was asked, and then `outcome`.
    pub fn transcript(&self, outcome: &str) -> String {
        let mut lines = self.said.borrow().clone();
        lines.push(outcome.to_owned());
        lines.join("\n") + "\n"
    }

    fn say(&self, line: String) {
        self.said.borrow_mut().push(line);
    }
}

impl Cloud for Script {
    async fn observe(&self, scope: &Scope) -> Result<Vec<Observation>, CloudError> {
        let closer = match scope {
            Scope::Enabled => {
                self.say("look at all groups".to_owned());
                return Ok(self.pictures.iter().map(|picture| picture.observation.clone()).collect());
            }
            Scope::Group { name, closer: None } => {
                self.say(format!("look at {name}"));
                None
            }
            Scope::Group { name, closer: Some(id) } => {
                self.say(format!("look at {name}, closer at {id}"));
                Some(id)
            }
            Scope::Notice(id) => {
                self.say(format!("look at the group of {id} in haste"));
                None
            }
            Scope::GroupOf(id) => {
                self.say(format!("look at the group of {id}"));
                None
            }
        };
        let turn = self.looks.get();
        self.looks.set(turn + 1);
        let picture = self.pictures.get(turn).or(self.pictures.last());
        let mut shown: Vec<Observation> = picture.iter().map(|picture| picture.observation.clone()).collect();
        for member in shown.iter_mut().flat_map(|seen| &mut seen.group.members) {
            if let Some(ec2) = member.ec2.as_mut().filter(|_| closer == Some(&member.id)) {
                ec2.termination_protected = Some(self.protected.contains(&member.id));
            }
        }
        Ok(shown)
    }

    async fn market(&self, platform: Platform) -> Result<Arc<Market>, CloudError> {
        self.say(format!("market of {platform}"));
        let market = self.pictures.first().and_then(|picture| picture.market.clone());
        Ok(Arc::new(market.unwrap_or_else(|| Market::empty(platform))))
    }

    fn market_at_hand(&self, platform: Platform) -> Option<Arc<Market>> {
        self.at_hand.clone().filter(|market| market.platform == platform)
    }

    async fn apply(&self, group: &GroupName, action: &Action) -> Result<(), CloudError> {
        self.say(match action {
            Action::Note { backoff: Some(text) } => format!("note {text:?} on {group}"),
            other => format!("{} on {group}", other.name()),
        });
        match self.answer.borrow_mut().take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Runs a future that never waits.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a scripted cloud answers at once"),
    }
}
