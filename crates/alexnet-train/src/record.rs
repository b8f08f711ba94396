//! The run directory: the files of a run.
//!
//! | file | contents |
//! |---|---|
//! | `config.toml` | the effective configuration; `train --config` repeats the run |
//! | `metrics.jsonl` | one line of JSON per epoch, and one every few steps |
//! | `plot.svg` | loss and accuracy over the epochs |
//! | `bad-samples.txt` | files that could not be read, and why |
//! | `checkpoint.safetensors` | the state of the run: weights, velocities, counters |
//! | `model.safetensors` | the best model so far, by validation top-1 |
//! | `model-last.safetensors` | the model at the end of training |

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use alexnet_data::BadSample;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::error::{Error, Result, io};
use crate::observer::Observer;
use crate::trainer::Event;

/// Results of one epoch. Accuracies are from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: u32,
    /// Steps up to the end of the epoch.
    pub step: u64,
    /// The learning rate of weights at the end of the epoch.
    pub learning_rate: f64,
    /// Mean training loss over the epoch, with dropout and augmentation.
    pub train_loss: f64,
    /// Mean training top-1 over the epoch.
    pub train_top1: f64,
    /// Loss on the validation images after the epoch.
    pub val_loss: f64,
    /// Top-1 on the validation images after the epoch.
    pub val_top1: f64,
    /// Top-5 on the validation images after the epoch.
    pub val_top5: f64,
    /// Training images per second, loading included.
    pub images_per_second: f64,
    /// Seconds since the run began, without pauses.
    pub seconds: f64,
    /// Share of the training time spent waiting for images, from 0 to 1.
    #[serde(default)]
    pub data_wait: f64,
}

/// Results of one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepRecord {
    /// Counted from 1.
    pub epoch: u32,
    /// Counted from 1, over all epochs.
    pub step: u64,
    /// The learning rate of weights.
    pub learning_rate: f64,
    /// Training loss of this step.
    pub loss: f64,
    /// Share of the epoch's training time so far spent waiting for images, from 0 to 1.
    pub data_wait: f64,
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

/// A run directory.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Creates a run directory at `path`, which must be an empty folder or not exist, and writes the configuration.
    ///
    /// # Errors
    /// [`Error::Config`]; [`Error::RunExists`] if it is not empty; [`Error::Io`].
    pub fn create(path: &Path, config: &TrainConfig) -> Result<Self> {
        config.validate()?;
        fs::create_dir_all(path).map_err(io(path))?;
        if fs::read_dir(path).map_err(io(path))?.next().is_some() {
            return Err(Error::RunExists { path: path.into() });
        }
        let run = Self { path: path.into() };
        write(&run.config(), &config.to_toml())?;
        Ok(run)
    }

    /// An unused path in `parent`: `name`, or `name-2`, `name-3` and so on.
    pub fn free_name(parent: &Path, name: &str) -> PathBuf {
        let names = (1u32..).map(|i| if i == 1 { parent.join(name) } else { parent.join(format!("{name}-{i}")) });
        let mut free = names.filter(|path| !path.exists());
        free.next().expect("there are more numbers than existing folders")
    }

    /// Opens an existing run directory and removes the partial files of interrupted writes.
    ///
    /// # Errors
    /// [`Error::NoRun`] if it is not a run directory.
    pub fn open(path: &Path) -> Result<Self> {
        let run = Self { path: path.into() };
        if !run.config().is_file() {
            return Err(Error::NoRun { path: path.into(), missing: "config.toml" });
        }
        for entry in fs::read_dir(path).map_err(io(path))?.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "partial") {
                fs::remove_file(entry.path()).map_err(io(&entry.path()))?;
            }
        }
        Ok(run)
    }

    /// The run directory at `path`, without any checks.
    pub fn at(path: &Path) -> Self {
        Self { path: path.into() }
    }

    /// Resolves `path` to a model file: `path` itself, or the best model if `path` is a run directory.
    ///
    /// # Errors
    /// [`Error::NoModel`] if there is none.
    pub fn model_file(path: &Path) -> Result<PathBuf> {
        let none = |reason| Err(Error::NoModel { path: path.into(), reason });
        if !path.exists() {
            return none("there is no such file or run");
        }
        if !path.is_dir() {
            return Ok(path.into());
        }
        // A run that was stopped in its first epoch has no model.
        match Self::at(path).model() {
            model if model.is_file() => Ok(model),
            _ => none("there is no model.safetensors in it: it is not a run, or its first epoch is not complete"),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.toml`.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// `checkpoint.safetensors`.
    pub fn checkpoint(&self) -> PathBuf {
        self.path.join("checkpoint.safetensors")
    }

    /// `model.safetensors`: the best model.
    pub fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// `model-last.safetensors`.
    pub fn last_model(&self) -> PathBuf {
        self.path.join("model-last.safetensors")
    }

    /// `plot.svg`.
    pub fn plot(&self) -> PathBuf {
        self.path.join("plot.svg")
    }

    fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    fn bad_samples(&self) -> PathBuf {
        self.path.join("bad-samples.txt")
    }

    /// Removes a run that never started: its configuration and empty log, and the folder if it is then empty.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn discard(&self) -> Result<()> {
        for path in [self.config(), self.metrics()] {
            if path.exists() {
                fs::remove_file(&path).map_err(io(&path))?;
            }
        }
        fs::remove_dir(&self.path).map_err(io(&self.path))
    }
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
        let lines = text.split_inclusive(|&byte| byte == b'\n');
        let kept = lines.take_while(|line| line.ends_with(b"\n") && done(line)).map(<[u8]>::len).sum::<usize>();
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

/// Writes a file atomically.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    Ok(alexnet_model::write_atomically(path, |file| file.write_all(text.as_bytes()))?)
}

fn append(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).open(path).map_err(io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> TrainConfig {
        TrainConfig::recipe("alexnet", "data".into())
    }

    #[test]
    fn folders_are_not_taken_twice() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunDir::free_name(folder.path(), "run");
        RunDir::create(&first, &config()).unwrap();
        assert_eq!(RunDir::free_name(folder.path(), "run"), folder.path().join("run-2"));
        let message = RunDir::create(&first, &config()).unwrap_err().to_string();
        assert!(message.contains("run exists and is not empty"), "{message}");
        // A run interrupted before its first checkpoint is discarded.
        RunDir::open(&first).unwrap().discard().unwrap();
        assert!(!first.exists());
        let message = RunDir::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("no config.toml"), "{message}");
    }

    #[test]
    fn lines_after_the_checkpoint_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(&folder.path().join("run"), &config()).unwrap();
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
    fn leftovers_are_cleared_and_bad_files_listed_once() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(&folder.path().join("run"), &config()).unwrap();
        fs::write(run.checkpoint(), b"").unwrap();
        fs::write(run.path().join("model.safetensors.partial"), b"half").unwrap();
        RunDir::open(run.path()).unwrap();
        assert!(!run.path().join("model.safetensors.partial").exists());
        let bad = |name: &str| BadSample { index: 0, path: name.into(), reason: format!("{name}: not an image") };
        let log = RunLog::new(&run);
        log.add_bad(&[bad("a.jpg"), bad("b.jpg")]).unwrap();
        log.add_bad(&[bad("b.jpg")]).unwrap();
        let list = fs::read_to_string(run.bad_samples()).unwrap();
        assert_eq!(list, "a.jpg: not an image\nb.jpg: not an image\n");
    }
}
