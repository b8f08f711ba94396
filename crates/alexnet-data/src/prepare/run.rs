//! The preparation of one split.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::picture::{self, Picture, Workspace};
use super::progress_file::{BadImage, Progress, SplitProgress};
use super::shard_writer::ShardWriter;
use super::source::{Source, SourceImage};
use super::{PrepareOptions, Step};
use crate::statistics::Sums;
use crate::{Error, parallel};

/// The preparation of one split.
pub(super) struct Run<'a> {
    pub(super) options: &'a PrepareOptions,
    pub(super) source: &'a dyn Source,
    pub(super) split: &'a str,
    pub(super) classes: &'a [String],
    pub(super) state: &'a mut Progress,
    pub(super) sums: &'a mut Sums,
}

/// An image ready to be written.
struct Ready {
    block: u64,
    key: String,
    file: String,
    label: u32,
    picture: Result<Picture, String>,
}

/// One worker's sums over squares, by block. When a block is written, all its images have been added.
type WorkerSums = Mutex<BTreeMap<u64, Sums>>;

impl Run<'_> {
    pub(super) fn run(&mut self, progress: &dyn Fn(Step<'_>)) -> Result<(), Error> {
        let Self { options, source, split, .. } = *self;
        let per_block = u64::from(options.images_per_shard);
        let skip = self.state.splits[split].blocks * per_block;
        let counts = split == "train";
        let total_bytes = source.bytes(split)?;
        let read = AtomicU64::new(0);
        let worker_sums: Vec<WorkerSums> = (0..options.workers).map(|_| WorkerSums::default()).collect();
        let feed = |sink: &mut dyn FnMut((u64, SourceImage)) -> bool| {
            let mut number = skip;
            source.feed(split, skip, &read, &mut |item| {
                let piece = (number / per_block, item);
                number += 1;
                sink(piece)
            })
        };
        let state = |worker: usize| (&worker_sums[worker], Workspace::default());
        let work = |(sums, workspace): &mut (&WorkerSums, Workspace), (block, image): (u64, SourceImage)| {
            let SourceImage { key, file, label, bytes } = image;
            let picture = bytes.and_then(|bytes| {
                let made = picture::make(bytes, options, workspace, |square| {
                    if counts {
                        let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                        sums.entry(block).or_insert_with(|| Sums::new(options.size)).add(square);
                    }
                });
                made.map_err(|error| error.to_string())
            });
            Ready { block, key, file, label, picture }
        };
        let mut open: Option<(u64, ShardWriter, SplitProgress)> = None;
        let mut images = skip;
        let step = |images: u64| Step { split, images, bytes: read.load(Ordering::Relaxed), total_bytes };
        let window = 2 * options.workers + 2;
        let result = parallel::ordered(options.workers, window, feed, state, work, |ready: Ready| {
            if open.as_ref().is_some_and(|(block, ..)| *block != ready.block)
                && let Some((block, writer, next)) = open.take()
            {
                self.complete(block, writer, next, &worker_sums)?;
            }
            if open.is_none() {
                let path = options.output.join(split).join(format!("{split}-{:06}.tar", ready.block));
                open = Some((ready.block, ShardWriter::create(path)?, self.state.splits[split].clone()));
            }
            if let Some((_, writer, next)) = &mut open {
                self.add(ready, writer, next)?;
            }
            images += 1;
            progress(step(images));
            Ok(())
        });
        // If all images have been read, the last shard is complete; otherwise it is written again by the next run.
        match (result, open) {
            (Ok(()), Some((block, writer, next))) => self.complete(block, writer, next, &worker_sums)?,
            (Ok(()), None) => {}
            (Err(error), open) => {
                if let Some((_, writer, _)) = open {
                    writer.discard();
                }
                return Err(error);
            }
        }
        if let Some(state) = self.state.splits.get_mut(split) {
            state.complete = true;
        }
        self.state.write(&options.output, None)
    }

    fn add(&self, ready: Ready, writer: &mut ShardWriter, next: &mut SplitProgress) -> Result<(), Error> {
        let Ready { key, file, label, picture, .. } = ready;
        next.read += 1;
        match picture {
            Ok(picture) => {
                let Some(class) = self.classes.get(label as usize) else {
                    let rule = format!("there are {} classes", self.classes.len());
                    return Err(Error::setting("label", label, rule));
                };
                writer.add(&key, &picture, &file, label, class)?;
                next.manifest.images_per_class.resize(self.classes.len(), 0);
                next.manifest.images_per_class[label as usize] += 1;
                next.manifest.images += 1;
            }
            Err(reason) => {
                let line = |text: String| text.replace(['\n', '\r', '\t'], " ");
                next.bad.push(BadImage { file: line(file), reason: line(reason) });
                next.manifest.listed += 1;
            }
        }
        Ok(())
    }

    /// Completes a shard and records it in the state.
    fn complete(
        &mut self,
        block: u64,
        writer: ShardWriter,
        mut next: SplitProgress,
        worker_sums: &[WorkerSums],
    ) -> Result<(), Error> {
        if writer.images() > 0 {
            next.manifest.shards.push(writer.finish()?);
        } else {
            writer.discard();
        }
        next.blocks = block + 1;
        let mut counted = false;
        for sums in worker_sums {
            if let Some(part) = sums.lock().unwrap_or_else(PoisonError::into_inner).remove(&block) {
                self.sums.merge(&part);
                counted = true;
            }
        }
        self.state.splits.insert(self.split.to_owned(), next);
        self.state.write(&self.options.output, counted.then_some(&*self.sums))
    }
}
