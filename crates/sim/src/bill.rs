//! The simulated region's own bill, for judging a ledger: whatever runs costs what its pool costs at that moment,
//! added up while time passes. Nobody has to remember anything, and nothing is shared with who keeps the books.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use engine::{CloudError, Look, Pass};
use jiff::Timestamp;
use planner::model::{GroupName, InstanceId, InstanceType, PurchaseOption, RunState, Zone, tag};
use planner::policy::Config;

use crate::market::{self, Pools};
use crate::oracle::Oracle;
use crate::region::{GroupSpec, Ms, Region, SECOND, Unknowns, View};
use crate::rng::Rng;
use crate::run::{Options, START};
use crate::weather::Weather;
use crate::world::{Sim, World};

/// One instance's line of the bill. Sums are micro-dollars times milliseconds, per hour.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Bought as spot.
    pub spot: bool,
    /// Launched by us.
    pub ours: bool,
    /// Has been a member.
    pub member: bool,
    /// Paid.
    pub paid: i128,
    /// What it would have cost without us: its own price if it is not ours, else the list price of the instance that
    /// it stands in for, for as long as that one does not run.
    pub without: i128,
    /// Milliseconds.
    pub ms: i64,
}

/// The bill for one group.
#[derive(Clone, Debug)]
pub struct Bill {
    group: GroupName,
    lines: BTreeMap<InstanceId, Line>,
    kinds: BTreeMap<InstanceId, InstanceType>,
    victims: BTreeMap<InstanceId, InstanceId>,
}

impl Bill {
    fn new(group: GroupName) -> Self {
        Self { group, lines: BTreeMap::new(), kinds: BTreeMap::new(), victims: BTreeMap::new() }
    }

    /// The lines.
    pub fn lines(&self) -> impl Iterator<Item = (&InstanceId, &Line)> {
        self.lines.iter()
    }

    /// Whom it all began with: a replica may have been replaced, too.
    fn first<'a>(&'a self, id: &'a InstanceId) -> &'a InstanceId {
        let mut id = id;
        while let Some(victim) = self.victims.get(id) {
            id = victim;
        }
        id
    }

    /// For so many milliseconds nothing changes.
    pub(crate) fn run(&mut self, view: &View, pools: &Pools, ms: Ms) {
        let Some(group) = view.groups.get(&self.group) else { return };
        let runs = |id: &InstanceId| {
            view.instances.get(id).is_some_and(|ec2| matches!(ec2.state, RunState::Pending | RunState::Running))
        };
        for ec2 in view.instances.values() {
            let member = group.seats.iter().any(|seat| seat.id == ec2.id);
            let meant = ec2.tags.get(tag::GROUP).map(String::as_str) == Some(self.group.as_str());
            if !(member || meant) {
                continue;
            }
            self.kinds.insert(ec2.id.clone(), ec2.instance_type.clone());
            if !runs(&ec2.id) {
                continue;
            }
            let list = |kind: &InstanceType| i128::from(market::on_demand(kind).unwrap_or(0));
            let own = list(&ec2.instance_type);
            let price = match ec2.purchase {
                PurchaseOption::OnDemand => own,
                PurchaseOption::Spot => {
                    let spot = i128::from(pools.spot(&ec2.zone, &ec2.instance_type).unwrap_or(0));
                    spot.min(ec2.cap.map_or(own, i128::from))
                }
            };
            let victim = ec2.tags.get(tag::VICTIM).filter(|_| ec2.ours).map(InstanceId::new);
            let without = match &victim {
                None => price,
                Some(victim) if runs(victim) => 0,
                Some(victim) => self.kinds.get(self.first(victim)).map_or(0, list),
            };
            if let Some(victim) = victim {
                self.victims.insert(ec2.id.clone(), victim);
            }
            let line = self.lines.entry(ec2.id.clone()).or_default();
            line.spot = ec2.purchase == PurchaseOption::Spot;
            line.ours = ec2.ours;
            line.member |= member;
            line.ms += ms;
            line.paid += price * i128::from(ms);
            line.without += without * i128::from(ms);
        }
    }
}

/// A region in fair weather that somebody else drives: looks, passes, prices that move, instances that are taken back.
pub struct Metered {
    sim: Sim,
    config: Config,
    group: GroupName,
    steps: Vec<(Timestamp, Zone, InstanceType, u64)>,
}

impl Metered {
    /// A region with one enabled group.
    pub fn new(seed: u64, members: u32) -> Self {
        let rng = Rng::new(seed);
        let mut region = Region::new(START, seed, Pools::new(), Unknowns::default());
        let spec = GroupSpec { max: members + 4, ..GroupSpec::new("web", members) }
            .tag("spot-enabled", "true")
            .tag("spotward:swaps-per-hour", "60")
            .tag("spotward:max-price", "80%");
        region.create(&spec);
        let mut oracle = Oracle::default();
        oracle.open(&region);
        let group = GroupName::new(spec.name);
        let world = World::new(region, oracle, Weather::calm(), rng, group.clone(), &Options::default());
        let sim = Sim { world: Rc::new(RefCell::new(world)), worker: 0 };
        let mut metered = Self { sim, config: Config::default(), group, steps: Vec::new() };
        metered.note_prices();
        metered
    }

    fn note_prices(&mut self) {
        let world = self.sim.world.borrow();
        let now = timestamp(world.region.now);
        self.steps.extend(world.region.pools.spot_prices().map(|(zone, kind, price)| (now, zone, kind, price)));
    }

    /// Virtual time.
    pub fn now(&self) -> Timestamp {
        timestamp(self.sim.world.borrow().region.now)
    }

    /// Lets time pass.
    pub fn advance(&mut self, seconds: i64) {
        self.sim.world.borrow_mut().advance(seconds * SECOND);
    }

    /// Every spot price moves, from now on.
    pub fn move_prices(&mut self) {
        {
            let world = &mut *self.sim.world.borrow_mut();
            world.region.pools.move_prices(&mut world.rng);
        }
        self.note_prices();
    }

    /// EC2 takes one of the spot members back, with two minutes' notice. Whether there is one.
    pub fn interrupt_one(&mut self) -> bool {
        let world = &mut *self.sim.world.borrow_mut();
        let region = &world.region;
        let seats = region.group(&self.group).map_or(&[][..], |group| &group.seats);
        let spot: Vec<InstanceId> = seats
            .iter()
            .filter(|seat| {
                let running = |ec2: &crate::region::Ec2| ec2.state == RunState::Running && ec2.ends_at.is_none();
                region.ec2(&seat.id).is_some_and(|ec2| ec2.purchase == PurchaseOption::Spot && running(ec2))
            })
            .map(|seat| seat.id.clone())
            .collect();
        match world.rng.pick(&spot).cloned() {
            Some(id) => {
                world.region.interrupt(&id);
                true
            }
            None => false,
        }
    }

    /// The owner sets desired.
    pub fn set_desired(&mut self, desired: u32) {
        // Refused while it is not between the bounds: then it stays.
        let _ = self.sim.world.borrow_mut().region.set_desired(&self.group, desired);
    }

    /// The look of a tick.
    pub fn looks(&mut self) -> Result<Vec<Look>, CloudError> {
        self.sim.world.borrow_mut().begin_pass(0);
        ready(engine::survey(&self.sim, &self.config))
    }

    /// One pass over the group.
    pub fn pass(&mut self) -> Result<Pass, CloudError> {
        self.sim.world.borrow_mut().begin_pass(0);
        ready(engine::reconcile(&self.sim, &self.config, &self.group))
    }

    /// What `DescribeInstances` says about an end: when it began to shut down, and whether EC2 took it back.
    pub fn ending(&self, id: &InstanceId) -> Option<(Timestamp, bool)> {
        let world = self.sim.world.borrow();
        world.region.ec2(id)?.ended.map(|(at, interrupted)| (timestamp(at), interrupted))
    }

    /// The bill begins.
    pub fn start_bill(&mut self) {
        self.sim.world.borrow_mut().region.bill = Some(Bill::new(self.group.clone()));
    }

    /// The bill ends.
    pub fn take_bill(&mut self) -> Option<Bill> {
        self.sim.world.borrow_mut().region.bill.take()
    }

    /// What `DescribeSpotPriceHistory` answers: every price from the time on from which it held.
    pub fn spot_steps(&self) -> &[(Timestamp, Zone, InstanceType, u64)] {
        &self.steps
    }

    /// What the price list says.
    pub fn list_prices(&self) -> impl Iterator<Item = (InstanceType, u64)> {
        Pools::list_prices()
    }
}

fn timestamp(at: Ms) -> Timestamp {
    Timestamp::from_millisecond(at).unwrap_or_default()
}

/// Nobody gives way and nobody dies: the first poll answers.
fn ready<T>(future: impl Future<Output = Result<T, CloudError>>) -> Result<T, CloudError> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => Err(CloudError::Throttled("the simulated worker gave way in fair weather".to_owned())),
    }
}
