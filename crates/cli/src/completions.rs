//! `spotward completions`: for shells, from the definition of the command line.

use clap_complete::Shell;
use planner::policy::Config;

use crate::args;
use crate::failure::{Exit, Failure};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  spotward completions bash > ~/.local/share/bash-completion/completions/spotward
  spotward completions zsh > \"${fpath[1]}/_spotward\"
  spotward completions fish > ~/.config/fish/completions/spotward.fish

Exit status:
  0  printed
  1  a mistake of the caller: unknown shell";

/// Print the completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// The command.
pub async fn command(args: Args, _config: &Config) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::definition(), "spotward", &mut script);
    Output::new().print(&String::from_utf8_lossy(&script));
    Ok(Exit::Nothing)
}
