//! stdout and stderr as people and pipes want them: colours only where they are seen, progress only where it moves.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::{Exit, Failure};

/// Colours are for terminals, and `NO_COLOR` (<https://no-color.org>) forbids them there, too.
pub fn colours(is_terminal: bool) -> bool {
    let said = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    is_terminal && !said("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A text of AWS's or an owner's without what moves a terminal's cursor or changes its colours: names may hold nearly
/// anything.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// How a piece of text is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it comes.
    Plain,
    /// What will be done.
    Act,
    /// What waits, or could be better.
    Mind,
    /// What is wrong.
    Bad,
    /// What need not be read.
    Faint,
    /// What the eye should find first.
    Head,
}

impl Tone {
    fn codes(self) -> &'static str {
        match self {
            Tone::Plain => "",
            Tone::Act => "\x1b[32m",
            Tone::Mind => "\x1b[33m",
            Tone::Bad => "\x1b[31m",
            Tone::Faint => "\x1b[2m",
            Tone::Head => "\x1b[1m",
        }
    }
}

/// Where text goes: stdout, with a moving line on stderr while people wait.
pub struct Output {
    colour: bool,
    terminal: bool,
    progress: ProgressBar,
}

impl Output {
    pub fn new() -> Self {
        let terminal = io::stdout().is_terminal();
        let progress = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Self { colour: colours(terminal), terminal, progress }
    }

    /// For text that ends up in a file.
    pub fn plain() -> Self {
        let progress = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Self { colour: false, terminal: false, progress }
    }

    /// Shows a moving line on stderr, if that is a terminal.
    pub fn waiting_for(&self, message: impl Into<String>) {
        if !io::stderr().is_terminal() {
            return;
        }
        if self.progress.is_hidden() {
            self.progress.set_draw_target(ProgressDrawTarget::stderr());
            let template =
                if colours(true) { "{spinner:.cyan} {msg} {elapsed:.dim}" } else { "{spinner} {msg} {elapsed}" };
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.progress.set_style(style);
            }
            self.progress.enable_steady_tick(Duration::from_millis(120));
        }
        self.progress.set_message(message.into());
    }

    /// Ends the moving line.
    pub fn done(&self) {
        self.progress.finish_and_clear();
    }

    /// Prints to stdout. Whoever reads may have seen enough (`| head`): that is no error.
    pub fn print(&self, text: &str) {
        self.progress.suspend(|| {
            let mut stdout = io::stdout().lock();
            if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
                let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::Nothing } else { Exit::User };
                std::process::exit(i32::from(exit.code()));
            }
        });
    }

    /// Prints over what was printed before; in a pipe, below it.
    pub fn in_place(&self, text: &str) {
        if !self.terminal {
            return self.print(&format!("{text}\n"));
        }
        // Home, each line cleared behind its text, then everything below: no flicker.
        let lines: String = text.lines().map(|line| format!("{line}\x1b[K\n")).collect();
        self.print(&format!("\x1b[H{lines}\x1b[J"));
    }

    /// Prints a failure to stderr.
    pub fn fail(&self, failure: &Failure) {
        self.progress.suspend(|| failure.print());
    }

    /// Prints a remark to stderr.
    pub fn remark(&self, text: &str) {
        self.progress.suspend(|| {
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }

    /// The text, coloured if anybody sees it.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        match tone {
            _ if !self.colour => text.to_owned(),
            Tone::Plain => text.to_owned(),
            Tone::Act | Tone::Mind | Tone::Bad | Tone::Faint | Tone::Head => format!("{}{text}\x1b[0m", tone.codes()),
        }
    }

    /// A table without lines: fits the terminal, or as wide as it is in a pipe.
    pub fn table(&self, head: &[&str], rows: Vec<Vec<(Tone, String)>>) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        if self.terminal {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            table.force_no_tty();
        }
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(head.iter().map(|text| self.cell(Tone::Faint, text)));
        for row in rows {
            table.add_row(row.iter().map(|(tone, text)| self.cell(*tone, text)));
        }
        let lines: Vec<String> = table.lines().map(|line| format!(" {}\n", line.trim_end())).collect();
        lines.concat()
    }

    fn cell(&self, tone: Tone, text: &str) -> Cell {
        let cell = Cell::new(text);
        match tone {
            Tone::Plain => cell,
            Tone::Act => cell.fg(Color::Green),
            Tone::Mind => cell.fg(Color::Yellow),
            Tone::Bad => cell.fg(Color::Red),
            Tone::Faint => cell.add_attribute(Attribute::Dim),
            Tone::Head => cell.add_attribute(Attribute::Bold),
        }
    }
}
