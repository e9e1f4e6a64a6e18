//! One FIFO message per group that has something to do.

use engine::CloudError;
use engine::trigger::GroupBody;
use jiff::Timestamp;
use planner::model::GroupName;
use sha2::{Digest, Sha256};

use crate::Aws;
use crate::error::{Service, refused};

impl Aws {
    /// Queues a group. Messages of one group are worked on one after the other (an ARN can be longer than a message
    /// group id may be, hence its hash); of several on one occasion in one minute only the first counts.
    pub async fn send_group(
        &self,
        queue_url: &str,
        group: &GroupName,
        arn: &str,
        occasion: &str,
        now: Timestamp,
    ) -> Result<(), CloudError> {
        let body = serde_json::to_string(&GroupBody::new(group)).expect("a number and a text are JSON");
        let minute = now.as_second().div_euclid(60);
        // A group that is no more has no ARN; its name is all that is left of it.
        let identity = if arn.is_empty() { group.as_str() } else { arn };
        self.clients
            .sqs
            .send_message()
            .queue_url(queue_url)
            .message_body(body)
            .message_group_id(hash(&[identity]))
            .message_deduplication_id(hash(&[identity, occasion, &minute.to_string()]))
            .send()
            .await
            .map_err(refused(Service::Queue, "SendMessage"))?;
        Ok(())
    }
}

/// 64 hex digits.
pub(crate) fn hash(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\n"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
