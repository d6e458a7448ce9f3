//! Reading a ring of files, oldest first.

use std::{
    fs,
    path::{Path, PathBuf},
    vec,
};

use time::{UtcDateTime, format_description::well_known::Rfc3339};

use super::{
    FrameEntry, FrameError, Head,
    ring::{path_of, sizes},
};

/// Entries of a raw log in the order in which they were written.
///
/// A damaged line is an `Err` of its own; those behind it follow.
#[derive(Debug)]
pub struct FrameReader {
    files: vec::IntoIter<PathBuf>,
    entries: vec::IntoIter<Result<FrameEntry, FrameError>>,
    began: Option<UtcDateTime>,
}

impl FrameReader {
    /// All files of a folder.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn open(folder: &Path) -> Result<Self, FrameError> {
        let numbers = sizes(folder).map_err(|source| FrameError::File {
            path: folder.to_owned(),
            doing: "listing the files",
            source,
        })?;
        let files: Vec<_> = numbers.iter().map(|(number, _)| path_of(folder, *number)).collect();
        Ok(Self { files: files.into_iter(), entries: Vec::new().into_iter(), began: None })
    }
}

impl FrameReader {
    /// Time of day at which the clock of the last entry stood at 0; `None` before the first one.
    #[must_use]
    pub fn began(&self) -> Option<UtcDateTime> {
        self.began
    }
}

impl Iterator for FrameReader {
    type Item = Result<FrameEntry, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Some(entry);
            }
            let (began, entries) = entries(&self.files.next()?);
            (self.began, self.entries) = (began.or(self.began), entries.into_iter());
        }
    }
}

fn entries(path: &Path) -> (Option<UtcDateTime>, Vec<Result<FrameEntry, FrameError>>) {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(source) => {
            let error = FrameError::File { path: path.to_owned(), doing: "reading", source };
            return (None, vec![Err(error)]);
        }
    };
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let lines = bytes.get(..whole).unwrap_or_default().split_inclusive(|&byte| byte == b'\n');
    let mut began = None;
    let read = lines.enumerate().filter_map(|(at, line)| {
        let damaged = || FrameError::Damaged { path: path.to_owned(), line: at + 1 };
        match serde_json::from_slice::<FrameEntry>(line) {
            Ok(entry) => Some(Ok(entry)),
            Err(_) => match serde_json::from_slice::<Head>(line) {
                Ok(head) => {
                    began = UtcDateTime::parse(&head.utc, &Rfc3339).ok();
                    None
                }
                Err(_) => Some(Err(damaged())),
            },
        }
    });
    let read = read.collect();
    (began, read)
}
