//! `spotward`: see what would be done, do it from a shell, and say so in words that people understand.
//!
//! Nothing is decided here. What to do comes from the planner through the engine, exactly as in the function.

mod advise;
mod args;
mod ask;
mod aws_cli;
mod calls;
mod cloud;
mod completions;
mod doctor;
mod document;
mod drill;
mod explain;
mod failure;
mod fix;
mod man;
mod markdown;
mod migrate;
mod money;
mod output;
mod page;
mod plan;
mod prices;
mod report;
mod revert;
mod run;
mod simulate;
mod status;
mod stock;
mod uninstall;
mod words;

use std::process::ExitCode;

use engine::settings;

use args::{Cli, Deployment};
use failure::{Exit, Failure};

fn main() -> ExitCode {
    let cli = match args::parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no mistakes. clap would end with 2, which means "would act" here.
            let exit = if error.use_stderr() { Exit::User } else { Exit::Nothing };
            let _ = error.print();
            return exit.into();
        }
    };
    match execute(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print();
            failure.exit.into()
        }
    }
}

fn execute(cli: Cli) -> Result<Exit, Failure> {
    if cli.deployment.verbose {
        trace();
    }
    let config = configuration(&cli.deployment)?;
    cloud::give(cli.deployment.files);
    // One thread: the waiting is for the network.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::user(format!("no runtime: {error}"), "the system refuses timers or sockets"))?;
    runtime.block_on(cli.command.execute(&config))
}

fn configuration(deployment: &Deployment) -> Result<planner::policy::Config, Failure> {
    settings::enable_tag(&deployment.enable_tag)
        .and_then(|(key, value)| settings::config(&deployment.stack, key, value, &deployment.defaults))
        .map_err(|error| Failure::user(error, "see --stack, --enable-tag and --defaults in `spotward --help`"))
}

/// Diagnostics to stderr, so that stdout stays clean; `RUST_LOG` chooses them as everywhere.
fn trace() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,engine=debug,aws=debug,aws_config=debug,aws_smithy_runtime=debug"));
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
}
