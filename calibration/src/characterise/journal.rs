//! What was measured, question by question: enough to derive everything else again.

use std::{
    collections::BTreeMap,
    io::{Cursor, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use alora_drivers::{Celsius, Descriptor, Readout, Timestamp};
use ndarray::{Array, Array1, Array2, Array3, Array4, Axis, Dimension, Ix1, Ix2, Ix3, Ix4};
use ndarray_npy::{NpzReader, NpzWriter, ReadableElement, WriteNpzError};
use serde::{Deserialize, Serialize};

use super::{bench::Question, error::CharacteriseError};
use crate::{
    npz::sha256,
    store::{StoreError, read_toml, write_atomically, write_toml},
};

/// Raw readings of one characterisation, in a folder or in memory.
///
/// A folder holds `journal.toml` (the processor) and `raw/NAME.npz` for each question: `frames` `[points, actuators]`,
/// `inputs` `[1 or points, vectors, width]`, `counts` and `saturated` `[measured, repeats, vectors, channels]` (as
/// int32 and uint8), `taken_at_ns` and `celsius` `[measured]`. Fewer points measured than asked: the question was interrupted.
pub struct Journal {
    descriptor: Descriptor,
    folder: Option<PathBuf>,
    hashes: BTreeMap<String, String>,
}

/// What is known of one question.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// Readings of the first points; all of them when the question is finished.
    pub(super) readings: Vec<Readout>,
}

/// `journal.toml`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    schema: String,
    descriptor: Descriptor,
}

const SCHEMA: &str = "alora.journal/1";

impl Journal {
    /// A journal that is not kept.
    #[must_use]
    pub fn in_memory(descriptor: Descriptor) -> Self {
        Self { descriptor, folder: None, hashes: BTreeMap::new() }
    }

    /// A new journal in `folder`, which exists.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn create(folder: &Path, descriptor: Descriptor) -> Result<Self, StoreError> {
        let raw = folder.join("raw");
        std::fs::create_dir_all(&raw).map_err(|source| StoreError::Write { path: raw, source })?;
        let head = Head { schema: SCHEMA.to_owned(), descriptor };
        write_toml(&folder.join("journal.toml"), &head)?;
        Ok(Self { descriptor: head.descriptor, folder: Some(folder.to_owned()), hashes: BTreeMap::new() })
    }

    /// The journal in `folder`.
    ///
    /// # Errors
    /// A folder without a journal, or one of another schema.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let head: Head = read_toml(&folder.join("journal.toml"), SCHEMA)?;
        Ok(Self { descriptor: head.descriptor, folder: Some(folder.to_owned()), hashes: BTreeMap::new() })
    }

    /// The processor that was measured.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// SHA-256 of the file of every question asked so far, by name. Empty for a journal in memory.
    #[must_use]
    pub fn hashes(&self) -> &BTreeMap<String, String> {
        &self.hashes
    }

    pub(super) fn belongs_to(&self, connected: &Descriptor) -> Result<(), CharacteriseError> {
        if *connected == self.descriptor {
            return Ok(());
        }
        Err(CharacteriseError::OtherProcessor {
            journal: self.descriptor.id.clone(),
            connected: connected.id.clone(),
        })
    }

    fn path(&self, question: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join("raw").join(format!("{question}.npz")))
    }

    /// What is known of `question`.
    ///
    /// # Errors
    /// A file that cannot be read, or that answers another question.
    pub(super) fn entry(&mut self, question: &Question) -> Result<Entry, CharacteriseError> {
        let Some(path) = self.path(&question.name).filter(|path| path.exists()) else {
            return Ok(Entry::default());
        };
        let bytes = std::fs::read(&path).map_err(|source| StoreError::Read { path: path.clone(), source })?;
        self.hashes.insert(question.name.clone(), sha256(&bytes));
        let mut file = RawFile::open(&path, bytes)?;
        let frames: Array2<u16> = file.array::<_, Ix2>("frames")?;
        let inputs: Array3<i32> = file.array::<_, Ix3>("inputs")?;
        let counts: Array4<i32> = file.array::<_, Ix4>("counts")?;
        if frames != frames_of(question)
            || inputs != inputs_of(question)
            || counts.len_of(Axis(1)) != question.repeats
        {
            return Err(CharacteriseError::OtherQuestion { path });
        }
        let saturated: Array4<u8> = file.array::<_, Ix4>("saturated")?;
        let taken_at: Array1<u64> = file.array::<_, Ix1>("taken_at_ns")?;
        let celsius: Array1<f64> = file.array::<_, Ix1>("celsius")?;
        let readings = counts
            .outer_iter()
            .zip(saturated.outer_iter())
            .zip(taken_at.iter().zip(&celsius))
            .map(|((counts, saturated), (&nanos, &celsius))| Readout {
                counts: counts.to_owned(),
                saturated: saturated.mapv(|flag| flag != 0),
                taken_at: Timestamp(Duration::from_nanos(nanos)),
                temperature: Celsius(celsius),
            })
            .collect();
        Ok(Entry { readings })
    }

    /// Keeps readings that cannot be trusted, beside the others: `raw/NAME.suspect.npz`.
    pub(super) fn set_aside(&mut self, question: &Question, entry: &Entry) -> Result<(), CharacteriseError> {
        let Some(path) = self.path(&format!("{}.suspect", question.name)) else { return Ok(()) };
        let bytes = pack(&path, question, entry)?;
        Ok(write_atomically(&path, |writer| writer.write_all(&bytes))?)
    }

    /// Keeps what is known of `question`.
    pub(super) fn write(&mut self, question: &Question, entry: &Entry) -> Result<(), CharacteriseError> {
        let Some(path) = self.path(&question.name) else { return Ok(()) };
        let bytes = pack(&path, question, entry)?;
        self.hashes.insert(question.name.clone(), sha256(&bytes));
        Ok(write_atomically(&path, |writer| writer.write_all(&bytes))?)
    }
}

fn frames_of(question: &Question) -> Array2<u16> {
    let width = question.frames.first().map_or(0, |frame| frame.0.len());
    Array2::from_shape_fn((question.frames.len(), width), |(point, actuator)| {
        question.frames[point].0[actuator]
    })
}

fn inputs_of(question: &Question) -> Array3<i32> {
    let (vectors, width) = question.inputs.first().map_or((0, 0), |inputs| inputs.0.dim());
    Array3::from_shape_fn((question.inputs.len(), vectors, width), |(batch, vector, input)| {
        question.inputs[batch].0[(vector, input)]
    })
}

/// The file of a question.
fn pack(path: &Path, question: &Question, entry: &Entry) -> Result<Vec<u8>, StoreError> {
    let readings = &entry.readings;
    let (repeats, vectors, channels) = readings.first().map_or((0, 0, 0), |readout| readout.counts.dim());
    let shape = (readings.len(), repeats, vectors, channels);
    let counts = Array4::from_shape_fn(shape, |(point, r, v, c)| readings[point].counts[(r, v, c)]);
    let saturated =
        Array4::from_shape_fn(shape, |(point, r, v, c)| u8::from(readings[point].saturated[(r, v, c)]));
    let taken_at: Array1<u64> = readings.iter().map(|readout| readout.taken_at.0.as_nanos() as u64).collect();
    let celsius: Array1<f64> = readings.iter().map(|readout| readout.temperature.0).collect();
    let packed = || -> Result<Vec<u8>, WriteNpzError> {
        let mut npz = NpzWriter::new(Cursor::new(Vec::new()));
        npz.add_array("frames", &frames_of(question))?;
        npz.add_array("inputs", &inputs_of(question))?;
        npz.add_array("counts", &counts)?;
        npz.add_array("saturated", &saturated)?;
        npz.add_array("taken_at_ns", &taken_at)?;
        npz.add_array("celsius", &celsius)?;
        Ok(npz.finish()?.into_inner())
    };
    packed().map_err(|error| StoreError::Malformed {
        path: path.to_owned(),
        reason: format!("the readings cannot be packed: {error}"),
    })
}

/// An opened file of a question.
struct RawFile<'a> {
    path: &'a Path,
    reader: NpzReader<Cursor<Vec<u8>>>,
}

impl<'a> RawFile<'a> {
    fn open(path: &'a Path, bytes: Vec<u8>) -> Result<Self, StoreError> {
        match NpzReader::new(Cursor::new(bytes)) {
            Ok(reader) => Ok(Self { path, reader }),
            Err(error) => Err(damaged(path, &error)),
        }
    }

    fn array<T: ReadableElement, D: Dimension>(&mut self, name: &str) -> Result<Array<T, D>, StoreError> {
        self.reader.by_name(name).map_err(|error| damaged(self.path, &error))
    }
}

fn damaged(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Malformed {
        path: path.to_owned(),
        reason: format!(
            "the readings cannot be read ({error}); remove this file and go on with --resume, and it is measured again"
        ),
    }
}
