//! Commands of the owner: the drain, which may outlive us, and the readiness check. Both have a deadline: TERM, then KILL.

use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Between TERM and KILL: the drain's deadline is 10 s before the end, so the machine is quiet when it comes.
const GRACE: Duration = Duration::from_secs(5);

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Exit status 0.
    Well,
    /// Another exit status, or a signal that was not ours.
    Badly(i32),
    /// It was still there at its deadline.
    Late,
    /// It began under an earlier run of the watcher, so that its status went to nobody.
    Unknown,
}

impl End {
    /// As in a `drained` message.
    pub fn word(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Badly(_) => "failed",
            Self::Late => "late",
            Self::Unknown => "unknown",
        }
    }
}

/// A command in progress, in a process group of its own.
pub struct Running {
    process: Process,
    group: Pid,
    until: Instant,
    kill_at: Option<Instant>,
}

enum Process {
    Ours(Child),
    /// A child of an earlier run: its number and the moment it began, so that a reused number is not mistaken for it.
    Adopted {
        began: u64,
    },
}

impl Running {
    /// Starts `argv` (no shell) with `environment` added.
    pub fn start(argv: &[String], environment: &[(&str, String)], until: Instant) -> io::Result<Self> {
        use std::os::unix::process::CommandExt;
        let [program, arguments @ ..] = argv else { return Err(io::ErrorKind::InvalidInput.into()) };
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().map(|(key, value)| (*key, value.as_str())))
            .stdin(Stdio::null())
            // So that TERM and KILL reach what the command itself started.
            .process_group(0)
            .spawn()?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { process: Process::Ours(child), group, until, kill_at: None })
    }

    /// What an earlier run wrote down with [`Running::note`], if that command is still there.
    pub fn adopt(note: &str, until: Instant) -> Option<Self> {
        let mut words = note.split_whitespace();
        let number: i32 = words.next()?.parse().ok()?;
        let began: u64 = words.next()?.parse().ok()?;
        let is_there = began_at(number)? == began;
        is_there.then_some(Self {
            process: Process::Adopted { began },
            group: Pid::from_raw(number)?,
            until,
            kill_at: None,
        })
    }

    /// Enough to find the command again after a restart.
    pub fn note(&self) -> String {
        let number = self.group.as_raw_nonzero().get();
        format!("{number} {}", began_at(number).unwrap_or(0))
    }

    /// Moves the deadline forward, never back.
    pub fn hurry(&mut self, until: Instant) {
        self.until = self.until.min(until);
    }

    /// Looks whether the command has ended, and ends it when its time is up.
    pub fn look(&mut self) -> Option<End> {
        let now = Instant::now();
        if let Some(end) = self.ended() {
            // A command that ended on our TERM was late, whatever it says itself.
            return Some(if self.kill_at.is_some() { End::Late } else { end });
        }
        match self.kill_at {
            None if now >= self.until => {
                let _ = kill_process_group(self.group, Signal::TERM);
                self.kill_at = Some(now + GRACE);
            }
            Some(kill_at) if now >= kill_at => {
                let _ = kill_process_group(self.group, Signal::KILL);
            }
            None | Some(_) => {}
        }
        None
    }

    fn ended(&mut self) -> Option<End> {
        match &mut self.process {
            Process::Ours(child) => child.try_wait().ok().flatten().map(end_of),
            Process::Adopted { began } => {
                (began_at(self.group.as_raw_nonzero().get()) != Some(*began)).then_some(End::Unknown)
            }
        }
    }
}

fn end_of(status: ExitStatus) -> End {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => End::Well,
        (Some(code), _) => End::Badly(code),
        // As a shell says it.
        (None, signal) => End::Badly(128 + signal.unwrap_or(0)),
    }
}

/// When a process began, in the kernel's ticks since boot; `None` if there is no such process or only its remains.
fn began_at(number: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name in brackets may hold anything, brackets and spaces included: count from its end.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;

    fn wait(running: &mut Running) -> End {
        loop {
            if let Some(end) = running.look() {
                return end;
            }
            sleep(Duration::from_millis(5));
        }
    }

    fn shell(script: &str, seconds: u64) -> Running {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned);
        Running::start(&argv, &[("ACTION", "stop".to_owned())], Instant::now() + Duration::from_secs(seconds)).unwrap()
    }

    #[test]
    fn the_end_of_a_command_has_a_name() {
        assert_eq!(wait(&mut shell("test $ACTION = stop", 20)), End::Well);
        assert_eq!(wait(&mut shell("exit 7", 20)), End::Badly(7));
        assert_eq!(wait(&mut shell("kill -9 $$", 20)), End::Badly(137));
        assert!(Running::start(&["/no/such/file".to_owned()], &[], Instant::now()).is_err());
        assert!(Running::start(&[], &[], Instant::now()).is_err());
    }

    #[test]
    fn a_late_command_is_ended_with_all_that_it_started() {
        let mut late = shell("sleep 60 & wait", 0);
        assert_eq!(wait(&mut late), End::Late);
        let mut polite = shell("trap 'exit 0' TERM; sleep 60 & wait", 60);
        sleep(Duration::from_millis(100));
        polite.hurry(Instant::now());
        assert_eq!(wait(&mut polite), End::Late);
    }

    #[test]
    fn a_command_is_adopted_by_its_note_and_a_reused_number_is_not() {
        let mut ours = shell("sleep 60", 60);
        let note = ours.note();
        let mut adopted = Running::adopt(&note, Instant::now() + Duration::from_secs(60)).unwrap();
        assert_eq!(adopted.look(), None);
        let (number, began) = note.split_once(' ').unwrap();
        let other = format!("{number} {}", began.parse::<u64>().unwrap() + 1);
        assert!(Running::adopt(&other, Instant::now()).is_none());
        assert!(Running::adopt("", Instant::now()).is_none());
        ours.hurry(Instant::now());
        assert_eq!(wait(&mut ours), End::Late);
        assert_eq!(wait(&mut adopted), End::Unknown);
    }
}
