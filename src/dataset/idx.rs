//! The IDX format: big-endian magic `00 00 08 d` (unsigned bytes, `d` dimensions), `d` sizes of 32 bits, then bytes.

use super::{DatasetError, bytes::Bytes};

/// An IDX file of unsigned bytes whose length is what its header announces.
#[derive(Debug)]
pub(super) struct Idx {
    pub(super) sizes: Vec<usize>,
    /// The whole file; values begin at [`Idx::offset`].
    pub(super) bytes: Bytes,
}

impl Idx {
    /// Checks the header and the length of a file with `dimensions` dimensions.
    pub(super) fn parse(file: &str, bytes: Bytes, dimensions: u8) -> Result<Self, DatasetError> {
        let sizes = header(file, &bytes, dimensions)?;
        let expected = sizes.iter().fold(1_u64, |product, &size| product.saturating_mul(size as u64));
        let found = bytes.len() - header_len(dimensions);
        if found == expected {
            Ok(Self { sizes, bytes })
        } else {
            let dimensions = join(&sizes);
            Err(DatasetError::Length { file: file.to_owned(), dimensions, expected, found })
        }
    }

    /// Where the values begin.
    pub(super) fn offset(&self) -> u64 {
        4 + 4 * self.sizes.len() as u64
    }

    /// The sizes as a person writes them: `8000 × 28 × 28`.
    pub(super) fn dimensions(&self) -> String {
        join(&self.sizes)
    }

    /// All values; meant for labels.
    pub(super) fn values(&self, file: &str) -> Result<Vec<u8>, DatasetError> {
        // The length was checked against the header: what is reserved is there.
        let mut values = vec![0; (self.bytes.len() - self.offset()) as usize];
        match self.bytes.read_at(&mut values, self.offset()) {
            Ok(()) => Ok(values),
            Err(source) => Err(DatasetError::Read { file: file.to_owned(), source }),
        }
    }
}

fn header_len(dimensions: u8) -> u64 {
    4 + 4 * u64::from(dimensions)
}

fn header(file: &str, bytes: &Bytes, dimensions: u8) -> Result<Vec<usize>, DatasetError> {
    let expected = header_len(dimensions);
    let mut header = vec![0; bytes.len().min(expected) as usize];
    let failed = |source| DatasetError::Read { file: file.to_owned(), source };
    bytes.read_at(&mut header, 0).map_err(failed)?;
    let mut words =
        header.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    let magic = 0x0000_0800 | u32::from(dimensions);
    match words.next() {
        Some(found) if found != magic => {
            Err(DatasetError::Magic { file: file.to_owned(), dimensions, expected: magic, found })
        }
        _ if bytes.len() < expected => {
            Err(DatasetError::Header { file: file.to_owned(), expected, found: bytes.len() })
        }
        _ => Ok(words.map(|size| size as usize).collect()),
    }
}

fn join(sizes: &[usize]) -> String {
    sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" × ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::io::Write;

    use super::*;

    const LABELS: [u8; 11] = [0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9];

    fn parse(bytes: &[u8], dimensions: u8) -> Result<Idx, DatasetError> {
        Idx::parse("labels", Bytes::from_reader("labels", bytes, 1 << 20)?, dimensions)
    }

    fn message(bytes: &[u8], dimensions: u8) -> String {
        parse(bytes, dimensions).unwrap_err().to_string()
    }

    #[test]
    fn plain_and_gzipped_files_read_the_same() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&LABELS).unwrap();
        for bytes in [LABELS.to_vec(), encoder.finish().unwrap()] {
            let idx = parse(&bytes, 1).unwrap();
            assert_eq!((idx.sizes.clone(), idx.values("labels").unwrap()), (vec![3], vec![7, 8, 9]));
        }
    }

    #[test]
    fn a_damaged_file_is_refused_with_what_was_found_and_expected() {
        assert_eq!(
            message(&LABELS[..10], 1),
            "labels: the header announces 3 bytes (3), found 2; the file is truncated or not whole"
        );
        assert_eq!(
            message(&[&LABELS[..], &[1, 2]].concat(), 1),
            "labels: the header announces 3 bytes (3), found 5; the file is truncated or not whole"
        );
        assert_eq!(message(&LABELS[..6], 1), "labels: the file ends within its header: 6 bytes, expected 8");
        assert_eq!(message(&[], 1), "labels: the file ends within its header: 0 bytes, expected 8");
        assert_eq!(
            message(&LABELS, 3),
            "labels: the magic number is 0x00000801, expected 0x00000803 (IDX, unsigned bytes, 3 dimensions)"
        );
        assert_eq!(
            message(&[0x1f, 0x8b, 8, 0], 1),
            "labels: cannot be read; check that it is whole, or fetch it again"
        );
    }

    #[test]
    fn sizes_beyond_any_memory_are_refused_not_reserved() {
        let header = [[0, 0, 8, 3].as_slice(), &[0xff; 12], &[1, 2, 3]].concat();
        assert!(message(&header, 3).contains("found 3;"));
    }
}
