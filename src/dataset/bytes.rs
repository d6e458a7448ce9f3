//! The bytes of a file, readable at any position by several threads at once.

use std::{
    env,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use tempfile::{SpooledData, SpooledTempFile, spooled_tempfile};

use super::DatasetError;

/// Decompressed bytes held in memory before they go to a temporary file: 64 MiB, so that CIFAR and MNIST subsets never
/// touch the disk and a large set costs no more than this.
pub(super) const IN_MEMORY: usize = 64 << 20;

/// The bytes of one file.
#[derive(Debug)]
pub(super) enum Bytes {
    /// Small and decompressed, or built in.
    Memory(Vec<u8>),
    /// A plain file, or a temporary one without a name.
    File { file: PositionedFile, len: u64 },
}

impl Bytes {
    /// Opens a plain or gzipped file; gzip is recognised by its first two bytes.
    pub(super) fn open(path: &Path, in_memory: usize) -> Result<Self, DatasetError> {
        let name = path.display().to_string();
        let failed = |source| DatasetError::Read { file: name.clone(), source };
        let mut file = File::open(path).map_err(failed)?;
        let gzipped = starts_as_gzip(&mut file).map_err(failed)?.0;
        if gzipped {
            file.rewind().map_err(failed)?;
            return Self::from_reader(&name, file, in_memory);
        }
        let len = file.metadata().map_err(failed)?.len();
        Ok(Self::File { file: PositionedFile::new(file), len })
    }

    /// Takes all bytes of `source`, decompressed when they are gzip.
    ///
    /// A gzip stream cannot be read from the middle, and decompressing from its start for each image would take
    /// minutes a batch. So it is decompressed once: into memory up to `in_memory` bytes, beyond that into a temporary
    /// file that has no name and vanishes with the process.
    pub(super) fn from_reader(
        file: &str,
        mut source: impl Read,
        in_memory: usize,
    ) -> Result<Self, DatasetError> {
        let read = |source| DatasetError::Read { file: file.to_owned(), source };
        let (gzipped, start) = starts_as_gzip(&mut source).map_err(read)?;
        let whole = start.as_slice().chain(source);
        let spool = spooled_tempfile(in_memory);
        if gzipped { fill(file, MultiGzDecoder::new(whole), spool) } else { fill(file, whole, spool) }
    }

    /// Number of bytes.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    /// Fills `buffer` from `offset` on.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let end = start.saturating_add(buffer.len());
                buffer.copy_from_slice(bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Self::File { file, .. } => file.read_exact_at(buffer, offset),
        }
    }
}

fn starts_as_gzip(source: &mut impl Read) -> io::Result<(bool, Vec<u8>)> {
    let mut start = Vec::new();
    source.by_ref().take(2).read_to_end(&mut start)?;
    Ok((start == [0x1f, 0x8b], start))
}

fn fill(file: &str, mut source: impl Read, mut spool: SpooledTempFile) -> Result<Bytes, DatasetError> {
    let read = |source| DatasetError::Read { file: file.to_owned(), source };
    let spooled = |source| DatasetError::Spool { file: file.to_owned(), folder: env::temp_dir(), source };
    let mut chunk = vec![0; 1 << 16];
    loop {
        match source.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => spool.write_all(&chunk[..n]).map_err(spooled)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(read(error)),
        }
    }
    match spool.into_inner() {
        SpooledData::InMemory(cursor) => Ok(Bytes::Memory(cursor.into_inner())),
        SpooledData::OnDisk(mut file) => {
            let len = file.seek(SeekFrom::End(0)).map_err(spooled)?;
            Ok(Bytes::File { file: PositionedFile::new(file), len })
        }
    }
}

/// A file that is read at positions, from any thread.
#[derive(Debug)]
pub(super) struct PositionedFile {
    file: File,
    /// Where the system has no positioned read, a seek and its read belong together.
    #[cfg(not(unix))]
    cursor: std::sync::Mutex<()>,
}

impl PositionedFile {
    fn new(file: File) -> Self {
        Self {
            file,
            #[cfg(not(unix))]
            cursor: std::sync::Mutex::new(()),
        }
    }

    #[cfg(unix)]
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
    }

    #[cfg(not(unix))]
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let _alone = self.cursor.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buffer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_compressed_file_beyond_the_bound_lies_on_disk_and_reads_the_same() {
        let plain: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let small = Bytes::from_reader("a", gzip(&plain).as_slice(), plain.len()).unwrap();
        let large = Bytes::from_reader("a", gzip(&plain).as_slice(), plain.len() - 1).unwrap();
        assert!(matches!(small, Bytes::Memory(_)));
        assert!(matches!(large, Bytes::File { .. }));
        for bytes in [small, large] {
            assert_eq!(bytes.len(), 300_000);
            let mut buffer = [0; 1000];
            bytes.read_at(&mut buffer, 123_456).unwrap();
            assert_eq!(buffer, plain[123_456..124_456]);
            let beyond = bytes.read_at(&mut buffer, 299_001).unwrap_err();
            assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn a_plain_file_is_never_taken_into_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plain");
        fs::write(&path, [1, 2, 3]).unwrap();
        assert!(matches!(Bytes::open(&path, IN_MEMORY).unwrap(), Bytes::File { len: 3, .. }));
        fs::write(&path, gzip(&[1, 2, 3])).unwrap();
        assert!(matches!(Bytes::open(&path, IN_MEMORY).unwrap(), Bytes::Memory(bytes) if bytes == [1, 2, 3]));
    }

    #[test]
    fn a_truncated_compressed_file_is_named() {
        let packed = gzip(&[7; 5000]);
        let error = Bytes::from_reader("a.gz", &packed[..packed.len() - 9], 10).unwrap_err();
        assert_eq!(error.to_string(), "a.gz: cannot be read; check that it is whole, or fetch it again");
    }
}
