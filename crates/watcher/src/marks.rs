//! What must survive a restart of the watcher but not of the machine: which notices were published and drained for.
//!
//! Files in one directory of a tmpfs, each written whole by rename. A missing or full directory costs duplicates, never a notice.

use crate::log;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The marks, on disk and in memory.
pub struct Marks {
    directory: PathBuf,
    /// Name and content, in the order of names, which begin with a time.
    held: Vec<(String, String)>,
    is_disk_bad: bool,
}

/// A boot sees a handful of notices; an instance whose notices come and go for weeks must not fill its /run with marks.
const MARKS_MAX: usize = 64;

impl Marks {
    /// Reads the marks that an earlier run of this boot left.
    pub fn open(directory: &Path) -> Self {
        let mut held = Vec::new();
        let trouble = fs::create_dir_all(directory).err().map(|error| error.to_string());
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(name) = name.strip_suffix(".mark") {
                held.push((name.to_owned(), fs::read_to_string(entry.path()).unwrap_or_default()));
            } else if name.ends_with(".draft") {
                // Of a run that was killed while it wrote.
                let _ = fs::remove_file(entry.path());
            }
        }
        // A directory is listed in any order: the oldest may be forgotten, the newest are what counts.
        held.sort();
        held.drain(..held.len().saturating_sub(MARKS_MAX));
        let mut marks = Self { directory: directory.to_owned(), held, is_disk_bad: false };
        if let Some(trouble) = trouble {
            marks.complain(&trouble);
        }
        marks
    }

    /// The content of a mark, if it was set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.place(name).ok().map(|place| self.held[place].1.as_str())
    }

    /// All marks.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.held.iter().map(|(name, _)| name.as_str())
    }

    /// Sets a mark. Names are ours: letters, digits, `.` and `-`.
    pub fn set(&mut self, name: &str, content: &str) {
        match self.place(name) {
            Ok(place) => content.clone_into(&mut self.held[place].1),
            Err(place) => self.held.insert(place, (name.to_owned(), content.to_owned())),
        }
        if self.held.len() > MARKS_MAX {
            let (oldest, _) = self.held.remove(0);
            let _ = fs::remove_file(self.directory.join(format!("{oldest}.mark")));
        }
        self.write(&format!("{name}.mark"), content);
    }

    /// Writes a file that others read: it is there whole or not at all.
    pub fn write(&mut self, name: &str, content: &str) {
        let result = write_whole(&self.directory, name, content);
        match result {
            Ok(()) => self.is_disk_bad = false,
            Err(error) => self.complain(&error.to_string()),
        }
    }

    /// True if somebody has put a file there.
    pub fn exists(&self, name: &str) -> bool {
        self.directory.join(name).exists()
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.held.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }

    fn complain(&mut self, trouble: &str) {
        if !self.is_disk_bad {
            log::line(&format!(
                "state directory {}: {trouble}; after a restart notices may be sent and drained for again",
                self.directory.display()
            ));
            self.is_disk_bad = true;
        }
    }
}

fn write_whole(directory: &Path, name: &str, content: &str) -> io::Result<()> {
    let draft = directory.join(format!(".{name}.draft"));
    // No fsync: the directory is in memory, and a machine that goes down takes the notice with it.
    fs::write(&draft, content)?;
    fs::rename(&draft, directory.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("watcher-marks-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        directory
    }

    #[test]
    fn marks_survive_a_restart() {
        let directory = directory("restart");
        let mut marks = Marks::open(&directory);
        assert_eq!(marks.get("a-1.published"), None);
        marks.set("a-1.published", "x");
        assert_eq!(marks.get("a-1.published"), Some("x"));
        let again = Marks::open(&directory);
        assert_eq!(again.get("a-1.published"), Some("x"));
        assert_eq!(again.names().collect::<Vec<_>>(), ["a-1.published"]);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn an_unusable_directory_costs_only_the_memory_across_restarts() {
        let mut marks = Marks::open(Path::new("/proc/no-such-directory"));
        marks.set("a", "");
        assert_eq!(marks.get("a"), Some(""));
    }

    #[test]
    fn what_a_killed_run_left_takes_no_marks_place() {
        let directory = directory("drafts");
        let mut marks = Marks::open(&directory);
        for number in 0..MARKS_MAX {
            marks.set(&format!("{number:06}"), "");
            fs::write(directory.join(format!(".{number:06}.mark.draft")), "").unwrap();
        }
        let again = Marks::open(&directory);
        assert_eq!(again.names().count(), MARKS_MAX);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), MARKS_MAX);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn marks_are_limited() {
        let directory = directory("limit");
        let mut marks = Marks::open(&directory);
        for number in 0..2 * MARKS_MAX {
            marks.set(&format!("{number:06}"), "");
        }
        assert_eq!(marks.names().count(), MARKS_MAX);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), MARKS_MAX);
        fs::remove_dir_all(directory).unwrap();
    }
}
