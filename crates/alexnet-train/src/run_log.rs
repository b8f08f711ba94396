//! The observer that writes the log of a run.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use alexnet_data::BadSample;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::data;
use crate::error::{Result, io};
use crate::observer::{Observer, Observers};
use crate::plot::Plot;
use crate::record::{RunDir, append};
use crate::results::{EpochRecord, StepRecord};
use crate::trainer::Event;

impl Observers<'_> {
    /// The observers that write a run's `metrics.jsonl`, `bad-samples.txt` and `plot.svg`.
    pub fn of_run(run: &RunDir, config: &TrainConfig) -> Self {
        let title = format!("{} on {}", config.arch, data::name(&config.data.path).display());
        Self::none().with(RunLog::new(run)).with(Plot { path: run.plot(), title })
    }
}

/// A line of `metrics.jsonl`.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line<'a> {
    Step(&'a StepRecord),
    Epoch(&'a EpochRecord),
}

/// The position of a line in the run.
#[derive(Deserialize)]
struct Place {
    kind: Kind,
    step: u64,
    epoch: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Step,
    Epoch,
}

/// Steps between two step records in `metrics.jsonl`.
const RECORDED_STEPS: u64 = 10;

/// The observer that writes `metrics.jsonl` and `bad-samples.txt`. When a run is resumed, it removes the lines after
/// the checkpoint, whose steps are repeated.
#[derive(Debug)]
pub struct RunLog {
    metrics: PathBuf,
    bad_samples: PathBuf,
}

impl Observer for RunLog {
    fn on_event(&self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Started { state, .. } => self.rewind(state.step, state.epoch),
            Event::Step { record, .. } if record.step.is_multiple_of(RECORDED_STEPS) => self.line(&Line::Step(record)),
            Event::Epoch { record, .. } => self.line(&Line::Epoch(record)),
            Event::BadSamples(bad) => self.add_bad(bad),
            Event::Checkpoint => self.flush(),
            _ => Ok(()),
        }
    }
}

impl RunLog {
    /// The log of a run directory.
    pub fn new(run: &RunDir) -> Self {
        Self { metrics: run.metrics(), bad_samples: run.bad_samples() }
    }

    /// Flushes `metrics.jsonl` to disk: a checkpoint must not be newer than the log.
    fn flush(&self) -> Result<()> {
        append(&self.metrics)?.sync_data().map_err(io(&self.metrics))
    }

    /// Truncates `metrics.jsonl` to the lines of the first `steps` steps and `epochs` epochs.
    fn rewind(&self, steps: u64, epochs: u32) -> Result<()> {
        let path = &self.metrics;
        let file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(io(path))?;
        let text = fs::read(path).map_err(io(path))?;
        let done = |line: &[u8]| match serde_json::from_slice(line) {
            Ok(Place { kind: Kind::Step, step, .. }) => step <= steps,
            Ok(Place { kind: Kind::Epoch, epoch, .. }) => epoch <= epochs,
            // A truncated line.
            Err(_) => false,
        };
        // Up to the last line that is whole and before the checkpoint, whatever is between.
        let (mut end, mut kept) = (0, 0);
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            end += line.len();
            if line.ends_with(b"\n") && done(line) {
                kept = end;
            }
        }
        file.set_len(kept as u64).map_err(io(path))
    }

    fn line(&self, line: &Line<'_>) -> Result<()> {
        let path = &self.metrics;
        let mut text = serde_json::to_string(line).map_err(|e| io(path)(e.into()))?;
        text.push('\n');
        append(path)?.write_all(text.as_bytes()).map_err(io(path))
    }

    /// Adds to the list of unreadable files, each once.
    fn add_bad(&self, bad: &[BadSample]) -> Result<()> {
        let path = &self.bad_samples;
        let known = fs::read_to_string(path).unwrap_or_default();
        let mut file = append(path)?;
        for sample in bad {
            // The reason contains the file name.
            let line = sample.reason.replace('\n', " ");
            if !known.lines().any(|known| known == line) {
                writeln!(file, "{line}").map_err(io(path))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(folder: &tempfile::TempDir) -> RunDir {
        let config = TrainConfig::recipe("alexnet", "data".into());
        RunDir::create(&folder.path().join("run"), &config).unwrap()
    }

    #[test]
    fn lines_after_the_checkpoint_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let run = run(&folder);
        let log = RunLog::new(&run);
        let step = |step| StepRecord { epoch: 1, step, learning_rate: 0.01, loss: 2.5, data_wait: 0.0 };
        let epoch = EpochRecord { epoch: 1, step: 20, ..EpochRecord::default() };
        log.rewind(0, 0).unwrap();
        log.line(&Line::Step(&step(10))).unwrap();
        log.line(&Line::Step(&step(20))).unwrap();
        log.line(&Line::Epoch(&epoch)).unwrap();
        log.line(&Line::Step(&step(30))).unwrap();
        let read = || {
            let text = fs::read_to_string(run.metrics()).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str::<Place>(line).unwrap());
            lines.map(|line| (matches!(line.kind, Kind::Epoch), line.step)).collect::<Vec<_>>()
        };
        assert_eq!(read().len(), 4);
        append(&run.metrics()).unwrap().write_all(br#"{"kind":"step","step":40,"epo"#).unwrap();
        log.rewind(30, 1).unwrap();
        assert_eq!(read(), [(false, 10), (false, 20), (true, 20), (false, 30)]);
        log.rewind(20, 1).unwrap();
        assert_eq!(read(), [(false, 10), (false, 20), (true, 20)]);
        // All steps are complete, but the epoch is not.
        log.rewind(20, 0).unwrap();
        assert_eq!(read(), [(false, 10), (false, 20)]);
        log.rewind(0, 0).unwrap();
        assert_eq!(read(), []);
    }

    #[test]
    fn bad_files_are_listed_once() {
        let folder = tempfile::tempdir().unwrap();
        let run = run(&folder);
        let bad = |name: &str| BadSample { index: 0, path: name.into(), reason: format!("{name}: not an image") };
        let log = RunLog::new(&run);
        log.add_bad(&[bad("a.jpg"), bad("b.jpg")]).unwrap();
        log.add_bad(&[bad("b.jpg")]).unwrap();
        let list = fs::read_to_string(run.bad_samples()).unwrap();
        assert_eq!(list, "a.jpg: not an image\nb.jpg: not an image\n");
    }
}
