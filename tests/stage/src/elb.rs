//! The load balancers: moto's targets are healthy at once, a test's need not be.

use crate::Stage;
use crate::moto::tree;
use crate::wire::{Answer, Call, Refusal};
use crate::world::{World, now};
use crate::xml::Element;

pub async fn handle(stage: &Stage, world: &mut World, call: &Call) -> Result<Answer, Refusal> {
    let answer = stage.moto.forward(call).await?;
    match call.action.as_str() {
        "DescribeTargetHealth" => {
            let mut root = tree(&call.service, &call.action, &answer)?;
            let descriptions = root.at_mut(&["DescribeTargetHealthResult", "TargetHealthDescriptions"]);
            for description in descriptions.into_iter().flat_map(|list| &mut list.children) {
                let id = description.text_at(&["Target", "Id"]).to_owned();
                if let Some(state) = commanded(world, &id) {
                    let mut health = Element::new("TargetHealth").field("State", &state);
                    if state == "initial" {
                        health = health
                            .field("Reason", "Elb.RegistrationInProgress")
                            .field("Description", "Target registration is in progress");
                    }
                    description.put(health);
                }
            }
            Ok(Answer::xml(&root))
        }
        "DescribeInstanceHealth" => {
            let mut root = tree(&call.service, &call.action, &answer)?;
            let states = root.at_mut(&["DescribeInstanceHealthResult", "InstanceStates"]);
            for state in states.into_iter().flat_map(|list| &mut list.children) {
                let id = state.text_at(&["InstanceId"]).to_owned();
                if commanded(world, &id).is_some_and(|state| state != "healthy") {
                    state.set("State", "OutOfService");
                }
            }
            Ok(Answer::xml(&root))
        }
        _ => Ok(answer),
    }
}

/// What the test wants the load balancer to say of an instance.
fn commanded(world: &World, id: &str) -> Option<String> {
    if let Some(state) = world.target_states.get(id) {
        return Some(state.clone());
    }
    let since = world.instances.get(id)?.member_since?;
    (now() < since + world.settings.healthy_seconds).then(|| "initial".to_owned())
}
