//! The sweep of every tick: what belongs to no group any more.

use tracing::error;

use crate::Function;

impl Function {
    /// Ends instances of ours that nobody needs, and deletes templates that nothing launches from. It costs two calls,
    /// three where there are derived templates; a failure is the next tick's business.
    pub async fn sweep(&self) {
        match engine::tidy::sweep(&self.aws, &self.config).await {
            Ok(swept) => {
                if let Some(line) = engine::tidy::sweep_line(&swept, &self.config.stack) {
                    crate::say(&line);
                }
            }
            Err(error) => error!(%error, "not swept"),
        }
    }
}
