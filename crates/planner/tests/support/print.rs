//! Plans and actions as text.

use planner::action::{Action, Finished};
use planner::journal::{Journal, RaisedMax};
use planner::plan::{Need, Plan};
use planner::reason::StrayReason;

use super::picture::DAY;

/// One line for everything that the plan says.
pub fn plan_text(plan: &Plan) -> String {
    let mut lines = vec![plan.swap.to_owned()];
    lines.extend(plan.action.iter().map(|done| format!("  do      {}", action(done))));
    let never_ready = plan.ended == Some(StrayReason::NeverReady);
    lines.extend(never_ready.then(|| format!("  since   {}", StrayReason::NeverReady)));
    lines.extend(plan.need.iter().map(|need| format!("  need    {}", need_text(need))));
    lines.extend(plan.wait.iter().map(|wait| format!("  wait    {wait}")));
    lines.extend(plan.blockers.iter().map(|blocker| format!("  blocked {blocker}")));
    lines.extend(plan.left_alone.iter().map(|(id, reason)| format!("  leave   {id} {reason}")));
    short_times(&(lines.join("\n") + "\n"))
}

/// Every picture is of one day: times of the day are enough.
pub fn short_times(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(DAY) {
        out.push_str(&rest[..at]);
        rest = &rest[at + DAY.len()..];
        if let Some((time, after)) = rest.split_once('Z') {
            out.push_str(time);
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

fn need_text(need: &Need) -> String {
    match need {
        Need::Details => "details".to_owned(),
        Need::Market(platform) => format!("market of {platform}"),
        Need::Closer(id) => format!("a closer look at {id}"),
    }
}

/// One action.
pub fn action(action: &Action) -> String {
    match action {
        Action::Launch(launch) => {
            let pools: Vec<String> = launch
                .pools
                .iter()
                .map(|pool| match pool.max_price {
                    None => format!("{} {}", pool.instance_type, pool.price),
                    Some(max) => format!("{} {} (at most {max})", pool.instance_type, pool.price),
                })
                .collect();
            format!("launch {} for {} in {}: {}", launch.purchase, launch.victim, launch.zone, pools.join(", "))
        }
        Action::Discard { replica } => format!("discard {replica}"),
        Action::Arm { journal } => format!("arm {}", journal_text(journal)),
        Action::Prepare { suspend_az_rebalance, raise_max } => {
            let suspend = suspend_az_rebalance.then(|| "suspend AZRebalance".to_owned());
            let raise = raise_max.map(|max| format!("raise MaxSize {}", change(max)));
            format!("prepare: {}", both(suspend, raise))
        }
        Action::Attach { replica, expect } => {
            format!("attach {replica} if {} are wanted and {} serve", expect.desired, expect.serving)
        }
        Action::Doom { victim, deadline, .. } => format!("doom {victim} until {deadline}"),
        Action::Pardon { victim, brought: false } => format!("pardon {victim}"),
        Action::Pardon { victim, brought: true } => format!("pardon {victim}, a member of ours as before"),
        Action::Detach { victim, expect } => {
            format!("detach {victim} if {} are wanted and {} serve", expect.desired, expect.serving)
        }
        Action::Terminate { member, expect } => {
            format!("terminate {member} if {} are wanted and {} serve", expect.desired, expect.serving)
        }
        Action::Replace { member } => format!("replace {member}"),
        Action::Compensate { from, to } => format!("compensate desired {from} -> {to}"),
        Action::Restore { max, resume_az_rebalance } => {
            let max = max.map(|max| format!("MaxSize {} -> {}", max.raised, max.original));
            format!("restore: {}", both(max, resume_az_rebalance.then(|| "resume AZRebalance".to_owned())))
        }
        Action::Finish { replica, drop_journal } => {
            let replica = replica.as_ref().map(|finished| match finished {
                Finished::Member(id) => format!("{id} is a member"),
                Finished::Kept(id) => format!("{id} waits outside"),
            });
            format!("finish: {}", both(replica, drop_journal.is_some().then(|| "drop the journal".to_owned())))
        }
        Action::EndDoomed { victim } => format!("end doomed {victim}"),
        Action::RecordReady { replica, at } => format!("record that {replica} is ready at {at}"),
        Action::Note { backoff } => format!("note {}", backoff.as_deref().unwrap_or("nothing")),
    }
}

fn journal_text(journal: &Journal) -> String {
    let mut text = format!("{} for {} at desired {}", journal.replica, journal.victim, journal.desired);
    if let Some(max) = journal.raised_max {
        text.push_str(&format!(", to raise MaxSize {}", change(max)));
    }
    if journal.suspends_az_rebalance {
        text.push_str(", to suspend AZRebalance");
    }
    text
}

fn change(max: RaisedMax) -> String {
    format!("{} -> {}", max.original, max.raised)
}

fn both(one: Option<String>, other: Option<String>) -> String {
    let parts: Vec<String> = one.into_iter().chain(other).collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}
