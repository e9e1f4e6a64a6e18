//! Lines for the journal: one per change of state, never one per poll.

use std::collections::BTreeMap;
use std::io::Write;

/// One line on standard error; systemd adds the time. A closed or full pipe is not our trouble.
pub fn line(text: &str) {
    let mut whole = String::with_capacity(text.len() + 1);
    // What the metadata service or SNS said may be quoted here: a line stays a line.
    whole.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
    whole.push('\n');
    let _ = std::io::stderr().write_all(whole.as_bytes());
}

/// What was last said about each subject, so that only changes are said.
#[derive(Default)]
pub struct States(BTreeMap<&'static str, String>);

impl States {
    /// Says that `subject` is in trouble, unless that was the last thing said about it.
    pub fn bad(&mut self, subject: &'static str, trouble: &str) {
        if self.0.get(subject).is_none_or(|last| last != trouble) {
            line(&format!("{subject}: {trouble}"));
            self.0.insert(subject, trouble.to_owned());
        }
    }

    /// Says that `subject` is well again, if it was in trouble.
    pub fn good(&mut self, subject: &'static str) {
        if !self.0.is_empty() && self.0.remove(subject).is_some() {
            line(&format!("{subject}: well again"));
        }
    }
}
