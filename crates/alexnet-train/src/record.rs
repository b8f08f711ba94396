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

use crate::config::TrainConfig;
use crate::error::{Error, Result, io};

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

    pub(crate) fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    pub(crate) fn bad_samples(&self) -> PathBuf {
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

/// Writes a file atomically.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    Ok(alexnet_model::write_atomically(path, |file| file.write_all(text.as_bytes()))?)
}

pub(crate) fn append(path: &Path) -> Result<File> {
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
    fn leftovers_are_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(&folder.path().join("run"), &config()).unwrap();
        fs::write(run.checkpoint(), b"").unwrap();
        fs::write(run.path().join("model.safetensors.partial"), b"half").unwrap();
        RunDir::open(run.path()).unwrap();
        assert!(!run.path().join("model.safetensors.partial").exists());
    }
}
