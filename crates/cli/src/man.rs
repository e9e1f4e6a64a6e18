//! `spotward man`: manual pages, from the definition of the command line.

use std::io;
use std::path::{Path, PathBuf};

use clap_mangen::Man;
use planner::policy::Config;

use crate::args;
use crate::failure::{Exit, Failure};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  spotward man | man -l -                             read it
  spotward man plan | man -l -                        that of one command
  spotward man --dir ~/.local/share/man/man1          install all of them

Exit status:
  0  printed
  1  a mistake of the caller: unknown command, a directory that cannot be written to";

/// Print a manual page, or write all of them to a directory
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The page of this command
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
    /// Write every page to this directory, as spotward.1, spotward-plan.1 …
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "command")]
    pub dir: Option<PathBuf>,
}

/// The command.
pub async fn command(args: Args, _config: &Config) -> Result<Exit, Failure> {
    let out = Output::new();
    let pages = pages().map_err(|error| Failure::user(format!("no manual: {error}"), "this is a mistake of ours"))?;
    if let Some(directory) = &args.dir {
        for (name, page) in &pages {
            write(&directory.join(format!("{name}.1")), page)?;
        }
        out.remark(&format!("wrote {} pages to {}", pages.len(), directory.display()));
        return Ok(Exit::Nothing);
    }
    let wanted = match &args.command {
        Some(command) => format!("spotward-{command}"),
        None => "spotward".to_owned(),
    };
    let Some((_, page)) = pages.iter().find(|(name, _)| *name == wanted) else {
        let names: Vec<&str> = pages.iter().filter_map(|(name, _)| name.strip_prefix("spotward-")).collect();
        return Err(Failure::user(format!("no manual page {wanted:?}"), format!("there are: {}", names.join(", "))));
    };
    out.print(&String::from_utf8_lossy(page));
    Ok(Exit::Nothing)
}

/// Name and text of each page.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut definition = args::definition().disable_help_subcommand(true);
    definition.build();
    let commands = definition.get_subcommands().map(|command| {
        let name = format!("spotward-{}", command.get_name());
        (name.clone(), command.clone().display_name(name))
    });
    std::iter::once(("spotward".to_owned(), definition.clone()))
        .chain(commands)
        .map(|(name, command)| {
            let mut page = Vec::new();
            Man::new(command).render(&mut page)?;
            Ok((name, page))
        })
        .collect()
}

fn write(path: &Path, page: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, page).map_err(|error| {
        Failure::user(format!("{}: {error}", path.display()), "name a directory that exists and can be written to")
    })
}
