//! A question before something that the caller may not mean.

use std::io::{self, IsTerminal, Write};

use crate::failure::Failure;

/// Whether to go on: said beforehand (`--yes`), or answered now. Without anybody there to ask it is a mistake to ask.
pub fn go_on(question: &str, said: bool) -> Result<bool, Failure> {
    if said {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::user(
            "nobody is there to answer a question",
            "say --yes to go on without it, or --dry-run to see first what would be done",
        ));
    }
    let mut stderr = io::stderr().lock();
    // If nobody sees the question, nobody says yes.
    let _ = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}
