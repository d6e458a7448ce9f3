//! The IDX format: big-endian magic `00 00 08 d` (unsigned bytes, `d` dimensions), `d` sizes of 32 bits, then bytes.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::DatasetError;

/// Sizes and bytes of an IDX file of unsigned bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Idx {
    pub(super) sizes: Vec<usize>,
    pub(super) bytes: Vec<u8>,
}

impl Idx {
    /// The sizes as a person writes them: `8000 × 28 × 28`.
    pub(super) fn dimensions(&self) -> String {
        join(&self.sizes)
    }
}

fn join(sizes: &[usize]) -> String {
    sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" × ")
}

/// Reads an IDX file with `dimensions` dimensions; gzip is recognised by its first two bytes.
pub(super) fn read_idx(file: &str, mut source: impl Read, dimensions: u8) -> Result<Idx, DatasetError> {
    let read = |source| DatasetError::Read { file: file.to_owned(), source };
    let mut start = Vec::new();
    source.by_ref().take(2).read_to_end(&mut start).map_err(read)?;
    let gzipped = start == [0x1f, 0x8b];
    let whole = start.as_slice().chain(source);
    if gzipped {
        decode(file, MultiGzDecoder::new(whole), dimensions)
    } else {
        decode(file, whole, dimensions)
    }
}

fn decode(file: &str, mut source: impl Read, dimensions: u8) -> Result<Idx, DatasetError> {
    let read = |source| DatasetError::Read { file: file.to_owned(), source };
    let expected = 4 + 4 * usize::from(dimensions);
    let mut header = Vec::with_capacity(expected);
    source.by_ref().take(expected as u64).read_to_end(&mut header).map_err(read)?;
    let mut words =
        header.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    let magic = 0x0000_0800 | u32::from(dimensions);
    match words.next() {
        Some(found) if found != magic => {
            return Err(DatasetError::Magic { file: file.to_owned(), dimensions, expected: magic, found });
        }
        _ if header.len() < expected => {
            return Err(DatasetError::Header { file: file.to_owned(), expected, found: header.len() });
        }
        _ => {}
    }
    let sizes: Vec<usize> = words.map(|size| size as usize).collect();
    let announced = sizes.iter().fold(1_u64, |product, &size| product.saturating_mul(size as u64));
    // Nothing is reserved on the header's word: a wrong one could ask for any amount. One byte more shows an excess.
    let mut bytes = Vec::new();
    source.take(announced.saturating_add(1)).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() as u64 != announced {
        return Err(DatasetError::Length {
            file: file.to_owned(),
            dimensions: join(&sizes),
            expected: announced,
            found: bytes.len() as u64,
        });
    }
    Ok(Idx { sizes, bytes })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::io::Write;

    use super::*;

    const LABELS: [u8; 11] = [0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9];

    fn message(bytes: &[u8], dimensions: u8) -> String {
        read_idx("labels", bytes, dimensions).unwrap_err().to_string()
    }

    #[test]
    fn plain_and_gzipped_files_read_the_same() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&LABELS).unwrap();
        let plain = read_idx("labels", LABELS.as_slice(), 1).unwrap();
        assert_eq!(plain, Idx { sizes: vec![3], bytes: vec![7, 8, 9] });
        assert_eq!(read_idx("labels", encoder.finish().unwrap().as_slice(), 1).unwrap(), plain);
    }

    #[test]
    fn a_damaged_file_is_refused_with_what_was_found_and_expected() {
        assert_eq!(
            message(&LABELS[..10], 1),
            "labels: the header announces 3 bytes (3), found 2; the file is truncated or not whole"
        );
        assert_eq!(
            message(&[&LABELS[..], &[1, 2]].concat(), 1),
            "labels: the header announces 3 bytes (3), found 4; the file is truncated or not whole"
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
