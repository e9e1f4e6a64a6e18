//! Entry point: reads the options, then watches.

use std::io::Write;
use std::process::ExitCode;
use watcher::settings::{Wish, read};
use watcher::{log, watch};

/// `EX_USAGE`: the unit does not restart on it, since the same options would be wrong again.
const WRONG_OPTIONS: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    match read(&arguments, &|name| std::env::var(name).ok()) {
        Ok(Wish::Run(settings)) => {
            watch::run(*settings);
            ExitCode::SUCCESS
        }
        Ok(Wish::Print(text)) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(complaint) => {
            log::line(&format!("spotward-watcher: {complaint}"));
            ExitCode::from(WRONG_OPTIONS)
        }
    }
}
