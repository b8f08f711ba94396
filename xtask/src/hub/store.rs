//! The download folder and its record of complete files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, bail};
use sha2::{Digest, Sha256};

use super::RemoteFile;

/// The record of downloaded files: names and checksums.
const RECORD: &str = "hub.json";

/// A download folder, locked by this process until the value is dropped.
pub(super) struct Store {
    pub(super) folder: PathBuf,
    /// The SHA-256 of each complete file.
    sums: BTreeMap<String, String>,
    _lock: File,
}

impl Store {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lock_path = folder.join(".lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(|error| disk(error, &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => bail!("another process is downloading to {}", folder.display()),
            Err(fs::TryLockError::Error(error)) => return Err(disk(error, &lock_path)),
        }
        let path = folder.join(RECORD);
        let sums = match fs::read(&path) {
            // If the record is damaged, `recover` checks the files instead.
            Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(anyhow!(error).context(format!("cannot read {}", path.display()))),
        };
        Ok(Self { folder: folder.to_owned(), sums, _lock: lock })
    }

    /// Removes downloaded files of another version that are not in this one: they would be treated as part of the data set.
    /// Parquet files of other origin are not removed, but are an error.
    pub(super) fn keep_only(&mut self, files: &[RemoteFile]) -> Result<()> {
        let wanted = |name: &str| files.iter().any(|file| file.name == name);
        let old: Vec<String> = self.sums.keys().filter(|name| !wanted(name)).cloned().collect();
        for name in old {
            let path = self.folder.join(&name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk(error, &path)),
                _ => self.sums.remove(&name),
            };
            self.write()?;
        }
        let mut found = Vec::new();
        parquet_files(&self.folder, &mut found).map_err(|error| disk(error, &self.folder))?;
        let names: Vec<PathBuf> = files.iter().map(|file| self.folder.join(&file.name)).collect();
        match found.into_iter().find(|path| !names.contains(path)) {
            Some(other) => bail!("{} does not belong to this data set; use another --input folder", other.display()),
            None => Ok(()),
        }
    }

    /// Whether the file exists but is not recorded, because a process ended between the two; records it.
    pub(super) fn recover(&mut self, file: &RemoteFile) -> Result<bool> {
        let path = self.folder.join(&file.name);
        if !fs::metadata(&path).is_ok_and(|metadata| metadata.len() == file.size) {
            return Ok(false);
        }
        let found = sha256_of(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if found == file.sha256 {
            self.record(file)?;
        }
        Ok(found == file.sha256)
    }

    /// Whether the file exists, complete and in this version.
    pub(super) fn has(&self, file: &RemoteFile) -> bool {
        let size = fs::metadata(self.folder.join(&file.name)).map(|metadata| metadata.len());
        size.is_ok_and(|size| size == file.size) && self.sums.get(&file.name) == Some(&file.sha256)
    }

    pub(super) fn record(&mut self, file: &RemoteFile) -> Result<()> {
        self.sums.insert(file.name.clone(), file.sha256.clone());
        self.write()
    }

    fn write(&self) -> Result<()> {
        let (path, partial) = (self.folder.join(RECORD), self.folder.join("hub.json.partial"));
        let text = serde_json::to_vec_pretty(&self.sums)?;
        let write = || {
            let mut file = File::create(&partial)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&partial, &path)
        };
        write().map_err(|error| disk(error, &path))
    }

    pub(super) fn require_space(&self, files: &[RemoteFile]) -> Result<()> {
        let needed: u64 = files.iter().filter(|file| !self.has(file)).map(|file| file.size).sum();
        let free = fs4::available_space(&self.folder)
            .with_context(|| format!("cannot determine the free space of {}", self.folder.display()))?;
        if needed > free {
            let (needed, free) = (needed as f64 / 1e9, free as f64 / 1e9);
            bail!("{}: the download needs {needed:.1} GB, but {free:.1} GB are free", self.folder.display());
        }
        Ok(())
    }
}

/// The Parquet files below a folder.
fn parquet_files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            parquet_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    Ok(())
}

pub(super) fn disk(error: io::Error, path: &Path) -> Error {
    anyhow!(error).context(format!("cannot write {}", path.display()))
}

pub(super) fn sha256_of(path: &Path) -> io::Result<String> {
    let (mut file, mut sum, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => sum.update(&buffer[..count]),
        }
    }
}
