//! The run directory: what a run leaves behind.
//!
//! | file | what |
//! |---|---|
//! | `config.toml` | the effective configuration; `train --config` runs it again |
//! | `metrics.jsonl` | one line of JSON per epoch, and one every few steps |
//! | `plot.svg` | loss and accuracy over the epochs |
//! | `bad-samples.txt` | files that could not be read, and why |
//! | `checkpoint.safetensors` | where the run stands: weights, velocities, counters |
//! | `model.safetensors` | the best model so far, by validation top-1 |
//! | `model-last.safetensors` | the model as training left it |

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use alexnet_data::BadSample;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::error::{Error, Result, io};

/// One epoch's results. Accuracies are 0–1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: u32,
    /// Steps taken by its end.
    pub step: u64,
    /// The rate of weights at its end.
    pub learning_rate: f64,
    /// Mean over the epoch, with dropout and augmentation.
    pub train_loss: f64,
    /// As above.
    pub train_top1: f64,
    /// After the epoch, over the validation images.
    pub val_loss: f64,
    /// As above.
    pub val_top1: f64,
    /// As above.
    pub val_top5: f64,
    /// Training images per second, loading included.
    pub images_per_second: f64,
    /// Since the run began, pauses left out.
    pub seconds: f64,
    /// Share of the training time in which the network waited for images, 0–1.
    #[serde(default)]
    pub data_wait: f64,
}

/// A few steps' results.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepRecord {
    /// Counted from 1.
    pub epoch: u32,
    /// Counted from 1, over all epochs.
    pub step: u64,
    /// The rate of weights.
    pub learning_rate: f64,
    /// Of this step.
    pub loss: f64,
    /// Share of the epoch's training time so far in which the network waited for images, 0–1.
    pub data_wait: f64,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line<'a> {
    Step(&'a StepRecord),
    Epoch(&'a EpochRecord),
}

/// A run directory.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes a new one at `path`, which may be an empty folder or not be there yet, and writes the configuration.
    ///
    /// # Errors
    /// [`Error::Config`]; [`Error::RunExists`] where there is something in it already; [`Error::Io`].
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

    /// A free name below `parent`: `name`, or `name-2`, `name-3` and so on.
    pub fn free_name(parent: &Path, name: &str) -> PathBuf {
        let names = (1u32..).map(|i| if i == 1 { parent.join(name) } else { parent.join(format!("{name}-{i}")) });
        let mut free = names.filter(|path| !path.exists());
        free.next().expect("there are more numbers than folders")
    }

    /// Opens one that was made before, and clears away what an interrupted write left in it.
    ///
    /// # Errors
    /// [`Error::NoRun`] where it holds no run.
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

    /// The one at `path`, whatever is there.
    pub fn at(path: &Path) -> Self {
        Self { path: path.into() }
    }

    /// The model file that `path` means: itself, or, where it is a run's folder, that of the best model.
    ///
    /// # Errors
    /// [`Error::NoModel`] where there is none.
    pub fn model_file(path: &Path) -> Result<PathBuf> {
        let none = |reason| Err(Error::NoModel { path: path.into(), reason });
        if !path.exists() {
            return none("there is no such file or run");
        }
        if !path.is_dir() {
            return Ok(path.into());
        }
        // A run that was stopped in its first epoch has no model yet.
        match Self::at(path).model() {
            model if model.is_file() => Ok(model),
            _ => none("there is no model.safetensors in it: it is no run, or its first epoch is not complete"),
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

    /// `model.safetensors`: the best.
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

    /// Takes away a run that never began: its configuration and an empty log, and the folder where nothing else is in it.
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

    /// Flushes `metrics.jsonl` to the disk, so that it holds all that a checkpoint counts on.
    pub(crate) fn flush(&self) -> Result<()> {
        let path = self.metrics();
        append(&path)?.sync_data().map_err(io(&path))
    }

    /// Shortens `metrics.jsonl` to what a checkpoint knows of.
    pub(crate) fn rewind(&self, metrics_len: u64) -> Result<()> {
        let path = self.metrics();
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io(&path))?;
        let len = file.metadata().map_err(io(&path))?.len();
        file.set_len(len.min(metrics_len)).map_err(io(&path))
    }

    /// Appends a line about some steps. Returns the file's length.
    pub(crate) fn step(&self, record: &StepRecord) -> Result<u64> {
        self.line(&Line::Step(record))
    }

    /// Appends a line about an epoch. Returns the file's length.
    pub(crate) fn epoch(&self, record: &EpochRecord) -> Result<u64> {
        self.line(&Line::Epoch(record))
    }

    fn line(&self, line: &Line<'_>) -> Result<u64> {
        let path = self.metrics();
        let mut text = serde_json::to_string(line).map_err(|e| io(&path)(e.into()))?;
        text.push('\n');
        let mut file = append(&path)?;
        file.write_all(text.as_bytes()).map_err(io(&path))?;
        Ok(file.metadata().map_err(io(&path))?.len())
    }

    /// Adds to the list of files that could not be read, each once.
    pub(crate) fn add_bad(&self, bad: &[BadSample]) -> Result<()> {
        if bad.is_empty() {
            return Ok(());
        }
        let path = self.bad_samples();
        let known = fs::read_to_string(&path).unwrap_or_default();
        let mut file = append(&path)?;
        for sample in bad {
            // The reason names the file.
            let line = sample.reason.replace('\n', " ");
            if !known.lines().any(|known| known == line) {
                writeln!(file, "{line}").map_err(io(&path))?;
            }
        }
        Ok(())
    }
}

/// Writes a file that appears whole or not at all.
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
        // Interrupted before its first checkpoint: it begins again.
        RunDir::open(&first).unwrap().discard().unwrap();
        assert!(!first.exists());
        let message = RunDir::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("no config.toml"), "{message}");
    }

    #[test]
    fn what_a_checkpoint_does_not_know_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(&folder.path().join("run"), &config()).unwrap();
        let record = |step| StepRecord { epoch: 1, step, learning_rate: 0.01, loss: 2.5, data_wait: 0.0 };
        let len = run.step(&record(1)).unwrap();
        run.step(&record(2)).unwrap();
        run.rewind(len).unwrap();
        run.step(&record(7)).unwrap();
        let text = fs::read_to_string(run.path().join("metrics.jsonl")).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let steps: Vec<_> = lines.iter().map(|line| (line["kind"].as_str(), line["step"].as_u64())).collect();
        assert_eq!(steps, [(Some("step"), Some(1)), (Some("step"), Some(7))]);
        // A log that somebody shortened is not filled up.
        run.rewind(1 << 20).unwrap();
        assert_eq!(fs::read_to_string(run.path().join("metrics.jsonl")).unwrap(), text);
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
        run.add_bad(&[bad("a.jpg"), bad("b.jpg")]).unwrap();
        run.add_bad(&[bad("b.jpg")]).unwrap();
        let list = fs::read_to_string(run.bad_samples()).unwrap();
        assert_eq!(list, "a.jpg: not an image\nb.jpg: not an image\n");
    }
}
