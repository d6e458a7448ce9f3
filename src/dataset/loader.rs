//! Batches read one ahead of their use.

use std::{
    panic,
    sync::mpsc::{Receiver, sync_channel},
    thread::{Builder, JoinHandle},
};

use super::{Batch, Dataset, DatasetError, Epoch, Pipeline};

/// Iterates over the batches of one order of images; a thread reads the next batch while one is used.
///
/// Ends after the first error. Dropping it early ends the thread after the batch it is reading. Batches are made in
/// rayon's pool: wait for one outside of that pool, whose threads would otherwise wait for themselves.
pub struct Loader {
    /// `None` once the loader is being dropped.
    batches: Option<Receiver<Result<Batch, DatasetError>>>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// Starts reading the images of `data` in `order`, `batch_size` at a time; the last batch may be smaller.
    ///
    /// `epoch` is that of [`Pipeline::batch`]. To resume within an epoch, leave the images already seen out of `order`.
    ///
    /// # Errors
    /// A batch size of 0, or a thread that cannot be started.
    pub fn new(
        pipeline: &Pipeline,
        data: &Dataset,
        order: Vec<usize>,
        batch_size: usize,
        epoch: Option<Epoch>,
    ) -> Result<Self, DatasetError> {
        if batch_size == 0 {
            return Err(DatasetError::BatchSize);
        }
        // No room in the channel: the thread holds the one batch read ahead until it is taken, then reads the next.
        let (sender, receiver) = sync_channel(0);
        let (pipeline, data) = (pipeline.clone(), data.clone());
        let read = move || {
            for indices in order.chunks(batch_size) {
                let batch = pipeline.batch(&data, indices, epoch);
                let last = batch.is_err();
                if sender.send(batch).is_err() || last {
                    break;
                }
            }
        };
        let thread = Builder::new().name("images".to_owned()).spawn(read).map_err(DatasetError::Thread)?;
        Ok(Self { batches: Some(receiver), thread: Some(thread) })
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.as_ref()?.recv().ok();
        if batch.is_none()
            && let Some(Err(reason)) = self.thread.take().map(JoinHandle::join)
        {
            // Otherwise a panic in the thread would pass for the end of the epoch.
            panic::resume_unwind(reason);
        }
        batch
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // The thread's next send fails, which ends it.
        drop(self.batches.take());
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, was of no consequence: nobody waits for its batch.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use super::*;
    use crate::dataset::{HeldOut, ImageShape, Preprocess, bundled_mnist, read_folders};

    fn plain(data: &Dataset) -> Pipeline {
        Pipeline::new(Preprocess::plain(data.shape().unwrap()), None).unwrap()
    }

    #[test]
    fn the_batches_are_those_of_the_pipeline_in_order() {
        let data = bundled_mnist().unwrap().test;
        let pipeline = plain(&data);
        let epoch = Epoch { seed: 1, number: 0 };
        let order = epoch.order(100);
        let loader = Loader::new(&pipeline, &data, order.clone(), 32, Some(epoch)).unwrap();
        let batches: Vec<Batch> = loader.map(Result::unwrap).collect();
        assert_eq!(batches.iter().map(|batch| batch.labels.len()).collect::<Vec<_>>(), [32, 32, 32, 4]);
        for (batch, indices) in batches.iter().zip(order.chunks(32)) {
            assert_eq!(*batch, pipeline.batch(&data, indices, Some(epoch)).unwrap());
        }
    }

    #[test]
    fn a_loader_may_be_left_early() {
        let data = bundled_mnist().unwrap().test;
        let mut loader = Loader::new(&plain(&data), &data, (0..2000).collect(), 10, None).unwrap();
        assert!(loader.next().is_some());
        drop(loader);
        let empty = Loader::new(&plain(&data), &data, vec![], 10, None).unwrap();
        assert_eq!(empty.count(), 0);
        assert!(matches!(Loader::new(&plain(&data), &data, vec![0], 0, None), Err(DatasetError::BatchSize)));
    }

    #[test]
    fn one_batch_is_read_ahead_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = |image: usize| folder.path().join("train/cat").join(format!("{image}.png"));
        for class in ["train/cat", "train/dog", "test/cat"] {
            fs::create_dir_all(folder.path().join(class)).unwrap();
            image::GrayImage::new(4, 4).save(folder.path().join(class).join("0.png")).unwrap();
        }
        (1..4).for_each(|image| fs::copy(path(0), path(image)).map(|_| ()).unwrap());
        let train = read_folders(folder.path(), HeldOut::default()).unwrap().train;
        let shape = ImageShape { channels: 1, height: 4, width: 4 };
        let pipeline = Pipeline::new(Preprocess::plain(shape), None).unwrap();
        let mut loader = Loader::new(&pipeline, &train, vec![0, 1, 2, 3], 1, None).unwrap();
        assert!(loader.next().unwrap().is_ok());
        // Work that leaves the thread ample time to read on, were it to: image 1 may be read by now, image 2 must not.
        assert_eq!(bundled_mnist().unwrap().test.len(), 2000);
        fs::write(path(2), "no image").unwrap();
        assert!(loader.next().unwrap().is_ok());
        assert!(loader.next().unwrap().is_err());
    }

    #[test]
    fn a_broken_image_is_named_and_ends_the_batches() {
        let folder = tempfile::tempdir().unwrap();
        for image in ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"] {
            let path = folder.path().join(image);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "no image").unwrap();
        }
        let train = read_folders(folder.path(), HeldOut { share: 0.5, seed: 1 }).unwrap().train;
        let shape = ImageShape { channels: 1, height: 4, width: 4 };
        let pipeline = Pipeline::new(Preprocess::plain(shape), None).unwrap();
        let mut loader = Loader::new(&pipeline, &train, vec![0, 1], 1, None).unwrap();
        let message = loader.next().unwrap().unwrap_err().to_string();
        assert!(message.ends_with(".png: the image cannot be decoded; replace or remove it"), "{message}");
        assert!(loader.next().is_none());
    }
}
