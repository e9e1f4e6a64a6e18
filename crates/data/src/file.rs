//! Files: which there are, and their text.

use std::io::Read;
use std::path::{Path, PathBuf};

/// A file of prices of a whole region over 90 days has about 50 MB; what is larger is something else.
const TEXT_BYTES_MAX: u64 = 512 << 20;
/// Folders below the one that is named.
const DEPTH_MAX: usize = 3;
/// A home directory that was named by mistake is not read for minutes.
const FILES_MAX: usize = 1000;

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// The system does not let us read it.
    #[error("{file}: {why}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        why: String,
    },
    /// It was not written, or not copied, to its end.
    #[error("{file}: the file ends in the middle ({place})")]
    HalfWritten {
        /// The file.
        file: String,
        /// Where.
        place: String,
    },
    /// It says what it is, and then is not.
    #[error("{file}: {what}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong, and where.
        what: String,
    },
    /// Larger than anything that is expected.
    #[error("{file}: more than {} MiB of text", TEXT_BYTES_MAX >> 20)]
    TooLarge {
        /// The file.
        file: String,
    },
    /// No file in it is of a kind that is known.
    #[error("{path}: nothing in it that can be read")]
    NothingKnown {
        /// Directory or file.
        path: String,
    },
}

impl DataError {
    fn io(path: &Path, error: &std::io::Error) -> DataError {
        DataError::Unreadable { file: path.display().to_string(), why: error.to_string() }
    }
}

/// JSON and CSV files of a directory and of those under it, by name; or the one file that is named.
pub(crate) fn list(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let is_dir = std::fs::metadata(path).map_err(|error| DataError::io(path, &error))?.is_dir();
    if !is_dir {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    walk(path, DEPTH_MAX, &mut files)?;
    files.sort();
    Ok(files)
}

fn walk(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
    let refused = |error: std::io::Error| DataError::io(directory, &error);
    for entry in std::fs::read_dir(directory).map_err(refused)? {
        let path = entry.map_err(refused)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if depth > 0 {
                walk(&path, depth - 1, files)?;
            }
        } else if [".json", ".csv", ".json.gz", ".csv.gz"].iter().any(|end| name.ends_with(end)) {
            if files.len() == FILES_MAX {
                let what = format!("more than {FILES_MAX} files: name a directory that holds only data");
                return Err(DataError::Malformed { file: directory.display().to_string(), what });
            }
            files.push(path);
        }
    }
    Ok(())
}

pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    let size = std::fs::metadata(path).map_err(|error| DataError::io(path, &error))?.len();
    if size > TEXT_BYTES_MAX {
        return Err(DataError::TooLarge { file: path.display().to_string() });
    }
    std::fs::read(path).map_err(|error| DataError::io(path, &error))
}

/// The text, out of its gzip if it is in one.
pub(crate) fn unpack(name: &str, bytes: &[u8]) -> Result<String, DataError> {
    let file = || name.to_owned();
    let plain = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        // Several gzip members after one another are one file, as `gzip` itself has it.
        let mut unpacked = flate2::read::MultiGzDecoder::new(bytes).take(TEXT_BYTES_MAX + 1);
        unpacked.read_to_end(&mut plain).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                DataError::HalfWritten { file: file(), place: format!("byte {} of gzip", bytes.len()) }
            }
            _ => DataError::Malformed { file: file(), what: format!("its gzip is damaged: {error}") },
        })?;
        if plain.len() as u64 > TEXT_BYTES_MAX {
            return Err(DataError::TooLarge { file: file() });
        }
        plain
    } else {
        bytes.to_vec()
    };
    let text = String::from_utf8(plain)
        .map_err(|error| DataError::Malformed { file: file(), what: format!("not UTF-8 text: {error}") })?;
    // Some editors put a mark before the text.
    Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned))
}
