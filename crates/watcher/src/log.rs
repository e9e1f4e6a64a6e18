//! Lines for the journal: one per change of state, never one per poll.

use std::io::Write;

/// One line on standard error; systemd adds the time. A closed or full pipe is not our trouble.
pub fn line(text: &str) {
    let mut whole = String::with_capacity(text.len() + 1);
    // What the metadata service or SNS said may be quoted here: a line stays a line.
    whole.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
    whole.push('\n');
    let _ = std::io::stderr().write_all(whole.as_bytes());
}

/// What was last said about each subject, so that only changes are said. There are seven subjects: a list is enough.
#[derive(Default)]
pub struct States(Vec<(&'static str, String)>);

impl States {
    /// Says that `subject` is in trouble, unless that was the last thing said about it.
    pub fn bad(&mut self, subject: &'static str, trouble: &str) {
        let last = self.0.iter_mut().find(|(known, _)| *known == subject);
        if last.as_ref().is_some_and(|(_, last)| last == trouble) {
            return;
        }
        line(&format!("{subject}: {trouble}"));
        match last {
            Some((_, last)) => trouble.clone_into(last),
            None => self.0.push((subject, trouble.to_owned())),
        }
    }

    /// Says that `subject` is well again, if it was in trouble.
    pub fn good(&mut self, subject: &'static str) {
        if let Some(place) = self.0.iter().position(|(known, _)| *known == subject) {
            self.0.swap_remove(place);
            line(&format!("{subject}: well again"));
        }
    }
}
