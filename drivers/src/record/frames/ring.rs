//! Files that are begun one after another, and the oldest deleted.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::{FrameEntry, FrameError, Head};

/// Files that a full ring has.
const FILES: u64 = 8;

/// A ring of files; `older` with their sizes, oldest first.
pub(super) struct Ring {
    folder: PathBuf,
    most: u64,
    head: Head,
    older: VecDeque<(u64, u64)>,
    number: u64,
    file: BufWriter<File>,
    length: u64,
}

impl Ring {
    pub(super) fn open(folder: &Path, most: u64, head: Head) -> Result<Self, FrameError> {
        let failed = |doing| move |source| FrameError::File { path: folder.to_owned(), doing, source };
        fs::create_dir_all(folder).map_err(failed("making the folder"))?;
        let older: VecDeque<_> = sizes(folder).map_err(failed("listing the files"))?.into();
        let number = older.back().map_or(1, |(number, _)| number + 1);
        let (number, file) = begin(folder, number).map_err(failed("beginning a file"))?;
        let mut ring = Self { folder: folder.to_owned(), most, head, older, number, file, length: 0 };
        ring.put_head()?;
        Ok(ring)
    }

    /// Appends an entry; an entry that alone is larger than a file is cut by its writer, not here.
    pub(super) fn put(&mut self, entry: &FrameEntry) -> Result<(), FrameError> {
        let line = line(entry).map_err(|source| self.failed("writing", source))?;
        let length = line.len() as u64;
        if self.length + length > self.most / FILES {
            self.turn()?;
        }
        self.room_for(length)?;
        self.put_line(&line)
    }

    pub(super) fn flush(&mut self) -> Result<(), FrameError> {
        self.file.flush().map_err(|source| self.failed("writing", source))
    }

    fn turn(&mut self) -> Result<(), FrameError> {
        self.flush()?;
        self.older.push_back((self.number, self.length));
        let (number, file) =
            begin(&self.folder, self.number + 1).map_err(|source| self.failed("beginning a file", source))?;
        (self.number, self.file, self.length) = (number, file, 0);
        self.put_head()
    }

    fn put_head(&mut self) -> Result<(), FrameError> {
        let line = line(&self.head).map_err(|source| self.failed("writing", source))?;
        self.room_for(line.len() as u64)?;
        self.put_line(&line)
    }

    fn put_line(&mut self, line: &str) -> Result<(), FrameError> {
        self.file.write_all(line.as_bytes()).map_err(|source| self.failed("writing", source))?;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Deletes the oldest files until `more` bytes fit.
    fn room_for(&mut self, more: u64) -> Result<(), FrameError> {
        while self.older.iter().map(|(_, size)| size).sum::<u64>() + self.length + more > self.most {
            let Some((number, _)) = self.older.pop_front() else { break };
            match fs::remove_file(path_of(&self.folder, number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.failed("deleting the oldest file", error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> FrameError {
        FrameError::File { path: path_of(&self.folder, self.number), doing, source }
    }
}

pub(super) fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("frames-{number:08}.jsonl"))
}

/// Numbers and sizes of the files that are there, oldest first.
pub(super) fn sizes(folder: &Path) -> io::Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_prefix("frames-")?.strip_suffix(".jsonl")?.parse().ok());
        if let Some(number) = number {
            found.push((number, file.metadata()?.len()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// A new file, at `number` or the next that no other program has taken.
fn begin(folder: &Path, mut number: u64) -> io::Result<(u64, BufWriter<File>)> {
    loop {
        match OpenOptions::new().write(true).create_new(true).open(path_of(folder, number)) {
            Ok(file) => return Ok((number, BufWriter::new(file))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

fn line(record: &impl serde::Serialize) -> io::Result<String> {
    Ok(serde_json::to_string(record)? + "\n")
}
