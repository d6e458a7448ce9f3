//! Safetensors files, one tensor at a time: a network of hundreds of megabytes is never held twice.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use alora_calibration::{StoreError, write_atomically};
use half::{bf16, f16};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};

use super::{ModelError, Parameter};

/// The format's own limit for the header.
const LONGEST_HEADER: u64 = 100_000_000;
/// Read at a time.
const BLOCK: usize = 1 << 16;

/// An open file: its names are known, its values are read when asked for.
pub(super) struct TensorReader {
    path: PathBuf,
    file: BufReader<File>,
    header: Metadata,
    /// Where the values begin.
    start: u64,
}

impl TensorReader {
    /// Opens a file and reads its header. Errors name the file.
    pub(super) fn open(path: &Path) -> Result<Self, ModelError> {
        let read = |source| StoreError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        match header(&mut file, length) {
            Ok(Ok((header, start))) => {
                Ok(Self { path: path.to_owned(), file: BufReader::with_capacity(BLOCK, file), header, start })
            }
            Ok(Err(reason)) => Err(ModelError::Malformed { reason }.within(path)),
            Err(source) => Err(read(source).into()),
        }
    }

    /// Names of all tensors, as they lie in the file.
    pub(super) fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// A metadata entry.
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// Reads one tensor as f32; F16 and BF16 are widened exactly.
    pub(super) fn read(&mut self, name: &str) -> Result<Parameter, ModelError> {
        let tensor = name.to_owned();
        let Some(info) = self.header.info(name).cloned() else {
            return Err(ModelError::Missing { tensor }.within(&self.path));
        };
        match self.values(&info) {
            Ok(Some(values)) => Ok(Parameter { shape: info.shape, values }),
            Ok(None) => {
                let found = format!("{:?}", info.dtype);
                Err(ModelError::Format { tensor, found }.within(&self.path))
            }
            Err(source) => Err(StoreError::Read { path: self.path.clone(), source }.into()),
        }
    }

    /// `None` for a format that is not read.
    fn values(&mut self, info: &TensorInfo) -> io::Result<Option<Vec<f32>>> {
        let (begin, end) = info.data_offsets;
        self.file.seek(SeekFrom::Start(self.start + begin as u64))?;
        let mut bytes = (&mut self.file).take((end - begin) as u64);
        let values = match info.dtype {
            Dtype::F32 => widened(&mut bytes, end - begin, f32::from_le_bytes)?,
            Dtype::F16 => widened(&mut bytes, end - begin, |pair| f16::from_le_bytes(pair).to_f32())?,
            Dtype::BF16 => widened(&mut bytes, end - begin, |pair| bf16::from_le_bytes(pair).to_f32())?,
            _ => return Ok(None),
        };
        Ok(Some(values))
    }
}

/// Header and the place where the values begin, or why this is no such file.
fn header(file: &mut File, length: u64) -> io::Result<Result<(Metadata, u64), String>> {
    let mut size = [0; 8];
    if length < 8 {
        return Ok(Err(format!("{length} bytes long")));
    }
    file.read_exact(&mut size)?;
    let size = u64::from_le_bytes(size);
    if size > LONGEST_HEADER || size + 8 > length {
        return Ok(Err(format!("a header of {size} bytes in a file of {length}")));
    }
    let mut text = vec![0; size as usize];
    file.read_exact(&mut text)?;
    let header: Metadata = match serde_json::from_slice(&text) {
        Ok(header) => header,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let expected = 8 + size + header.data_len() as u64;
    if expected != length {
        return Ok(Err(format!("{length} bytes long, its header says {expected}")));
    }
    Ok(Ok((header, 8 + size)))
}

/// Reads `length` bytes as numbers of `N` bytes.
fn widened<const N: usize>(
    bytes: &mut impl Read,
    length: usize,
    number: impl Fn([u8; N]) -> f32,
) -> io::Result<Vec<f32>> {
    let mut values = Vec::with_capacity(length / N);
    let mut block = vec![0; BLOCK.min(length)];
    let mut left = length;
    while left > 0 {
        let part = &mut block[..BLOCK.min(left)];
        bytes.read_exact(part)?;
        values.extend(part.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)));
        left -= part.len();
    }
    Ok(values)
}

/// Name, shape and values of a tensor to be written.
pub(super) type Entry<'a> = (&'a str, &'a [usize], &'a [f32]);

/// Writes `tensors` as F32 in their order, whole or not at all. The same tensors and metadata give the same bytes.
pub(super) fn write(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    tensors: &[Entry<'_>],
) -> Result<(), ModelError> {
    let text = header_text(metadata, tensors);
    write_atomically(path, |writer| {
        writer.write_all(&(text.len() as u64).to_le_bytes())?;
        writer.write_all(text.as_bytes())?;
        for (_, _, values) in tensors {
            write_values(writer, values)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Sorted keys, padded with spaces so that the values begin at a multiple of 8.
fn header_text(metadata: &BTreeMap<String, String>, tensors: &[Entry<'_>]) -> String {
    let mut entries = serde_json::Map::new();
    if !metadata.is_empty() {
        entries.insert("__metadata__".to_owned(), serde_json::json!(metadata));
    }
    let mut begin = 0;
    for (name, shape, values) in tensors {
        let end = begin + 4 * values.len();
        let entry = serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, end] });
        entries.insert((*name).to_owned(), entry);
        begin = end;
    }
    let mut text = serde_json::Value::Object(entries).to_string();
    let padded = text.len().next_multiple_of(8);
    text.extend(std::iter::repeat_n(' ', padded - text.len()));
    text
}

fn write_values(writer: &mut impl Write, values: &[f32]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(BLOCK);
    for block in values.chunks(BLOCK / 4) {
        bytes.clear();
        bytes.extend(block.iter().flat_map(|value| value.to_le_bytes()));
        writer.write_all(&bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::{error::Error, fs};

    use proptest::prelude::*;
    use safetensors::{SafeTensors, tensor::TensorView};

    use super::*;

    fn complaint(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        fs::write(&path, bytes).unwrap();
        let Err(error) = TensorReader::open(&path) else { return "none".to_owned() };
        assert_eq!(error.to_string(), path.display().to_string());
        error.source().unwrap().to_string()
    }

    #[test]
    fn what_is_written_is_read_by_the_reference_library() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let metadata = BTreeMap::from([("schema".to_owned(), "a/1".to_owned())]);
        write(&path, &metadata, &[("b", &[2, 1], &[1.5, -2.0]), ("a", &[0], &[]), ("c", &[], &[3.0])])
            .unwrap();
        let bytes = fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let view = file.tensor("b").unwrap();
        assert_eq!((view.dtype(), view.shape()), (Dtype::F32, [2, 1].as_slice()));
        assert_eq!(view.data(), [1.5_f32.to_le_bytes(), (-2.0_f32).to_le_bytes()].concat());
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["schema"], "a/1");
        let mut reader = TensorReader::open(&path).unwrap();
        assert_eq!(reader.read("c").unwrap(), Parameter { shape: vec![], values: vec![3.0] });
    }

    #[test]
    fn half_precision_is_widened_exactly_and_integers_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let half: Vec<u8> = [1.5, -65504.0].map(|value| f16::from_f32(value).to_le_bytes()).concat();
        let brain: Vec<u8> = [1.0e30_f32, -0.0].map(|value| bf16::from_f32(value).to_le_bytes()).concat();
        let views = [
            ("half", TensorView::new(Dtype::F16, vec![2], &half).unwrap()),
            ("brain", TensorView::new(Dtype::BF16, vec![2], &brain).unwrap()),
            ("count", TensorView::new(Dtype::I64, vec![], &[0; 8]).unwrap()),
        ];
        fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        let mut reader = TensorReader::open(&path).unwrap();
        assert_eq!(reader.read("half").unwrap().values, [1.5, -65504.0]);
        assert_eq!(reader.read("brain").unwrap().values, [bf16::from_f32(1.0e30).to_f32(), -0.0]);
        let error = reader.read("count").unwrap_err();
        assert_eq!(
            error.source().unwrap().to_string(),
            "the tensor `count` holds I64, expected F32, F16 or BF16"
        );
    }

    #[test]
    fn a_damaged_file_says_how() {
        assert_eq!(
            complaint(b"short"),
            "not a whole safetensors file (5 bytes long); make it again, or check the copy"
        );
        let huge = [u64::MAX.to_le_bytes().as_slice(), b"{}"].concat();
        assert!(complaint(&huge).contains("a header of 18446744073709551615 bytes in a file of 10"));
        let text = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
        let whole = [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &[0; 8]].concat();
        assert_eq!(complaint(&whole), "none");
        assert!(complaint(&whole[..whole.len() - 3]).contains("its header says"));
        assert!(complaint(&[whole.as_slice(), &[0]].concat()).contains("its header says"));
        let wrong = text.replace("[2]", "[3]");
        let bytes = [&(wrong.len() as u64).to_le_bytes(), wrong.as_bytes(), &[0; 8]].concat();
        assert!(
            complaint(&bytes).starts_with("not a whole safetensors file (invalid shape"),
            "{}",
            complaint(&bytes)
        );
    }

    proptest! {
        #[test]
        fn any_values_come_back_bit_for_bit(bits in prop::collection::vec(any::<u32>(), 0..40_000)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("weights.safetensors");
            let values: Vec<f32> = bits.iter().map(|bits| f32::from_bits(*bits)).collect();
            write(&path, &BTreeMap::new(), &[("x", &[values.len()], &values)]).unwrap();
            let read = TensorReader::open(&path).unwrap().read("x").unwrap();
            prop_assert_eq!(read.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), bits);
        }
    }
}
