//! What we tell the Lambda: docs/schema/watcher-message.schema.json.

use crate::json::quote;
use crate::sigv4::sha256_hex;
use crate::time::Epoch;

/// The version of the schema. Readers refuse another one; members may be added within a version.
pub const VERSION: u32 = 1;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// EC2 will take this instance back at a stated time.
    Interruption,
    /// EC2 thinks that it may.
    Rebalance,
    /// The workload here can take over.
    Ready,
    /// The owner's drain command has ended, well or not.
    Drained,
}

impl Kind {
    /// As in the message and in its SNS attribute.
    pub fn word(self) -> &'static str {
        match self {
            Self::Interruption => "interruption",
            Self::Rebalance => "rebalance",
            Self::Ready => "ready",
            Self::Drained => "drained",
        }
    }
}

/// Who we are, as the instance identity document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `i-…`
    pub instance: String,
    /// The region of the instance; the topic's may be another.
    pub region: String,
    /// Twelve digits.
    pub account: String,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it says.
    pub kind: Kind,
    /// `i-…`
    pub instance: String,
    /// The region of the instance.
    pub region: String,
    /// The account of the instance.
    pub account: String,
    /// `terminate`, `stop` or `hibernate`; in `drained` also `rebalance` and `terminated`, after what was drained for. Empty if there is none.
    pub action: String,
    /// When the action comes, or when the recommendation was given.
    pub time: Option<Epoch>,
    /// `ready` only: which boot. It stands where other kinds have a time.
    pub boot: Option<String>,
    /// `drained` only: how the drain ended.
    pub result: Option<&'static str>,
    /// When the watcher saw it.
    pub seen: Epoch,
}

impl Message {
    /// The same for the same notice, however often it is seen and sent: 32 hexadecimal digits.
    pub fn id(&self) -> String {
        let time = self.time.map(Epoch::to_iso).or_else(|| self.boot.clone()).unwrap_or_default();
        let mut id = sha256_hex(format!("{}|{}|{}|{time}", self.instance, self.kind.word(), self.action).as_bytes());
        id.truncate(32);
        id
    }

    /// The message's text.
    pub fn to_json(&self) -> String {
        let mut out = format!("{{\"v\":{VERSION}");
        let mut add = |key: &str, value: &str| {
            out.push_str(",\"");
            out.push_str(key);
            out.push_str("\":");
            quote(value, &mut out);
        };
        add("id", &self.id());
        add("kind", self.kind.word());
        add("instance", &self.instance);
        add("region", &self.region);
        add("account", &self.account);
        if !self.action.is_empty() {
            add("action", &self.action);
        }
        if let Some(time) = self.time {
            add("time", &time.to_iso());
        }
        if let Some(boot) = &self.boot {
            add("boot", boot);
        }
        if let Some(result) = self.result {
            add("result", result);
        }
        add("seen", &self.seen.to_iso());
        add("watcher", env!("CARGO_PKG_VERSION"));
        out.push('}');
        out
    }
}
