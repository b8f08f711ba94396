//! Downloads the Parquet files of data sets from the Hugging Face Hub, so that no file is fetched twice and no wrong file is
//! kept.
//!
//! `hf-hub` provides the Hub's address (`HF_ENDPOINT`), the token and the requests. The download is implemented here,
//! because that crate appends a whole answer to a partial file if a server does not resume, never verifies a checksum, and
//! drops the Hub's error messages.

mod download;
mod store;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use alexnet_data::ParquetFiles;
use anyhow::{Context, Result, bail};
use hf_hub::api::sync::{Api, ApiBuilder, ApiRepo};
use hf_hub::{Repo, RepoType};
use serde::Deserialize;

use download::{Failure, NotThere};

/// Revision in which the Hub stores the Parquet conversion of data sets in other formats.
const CONVERTED: &str = "refs/convert/parquet";

/// The requested data set.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// `owner/name`.
    pub repository: String,
    /// A branch, tag or commit; by default `main`, or the Hub's conversion if `main` has no Parquet files.
    pub revision: Option<String>,
    /// Name of one of several data sets in the repository.
    pub config: Option<String>,
}

/// The Hub.
pub struct Hub {
    api: Api,
    /// Pause before the second attempt; it doubles with each further one.
    pause: Duration,
}

/// The Hub's description of a repository.
#[derive(Debug, Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Clone, Debug, Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Clone, Debug, Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

/// A file on the Hub.
#[derive(Clone, Debug)]
struct RemoteFile {
    name: String,
    size: u64,
    sha256: String,
}

impl Hub {
    /// Configured by the environment: `HF_ENDPOINT`, `HF_TOKEN` or the token stored by `hf auth login`.
    pub fn from_env() -> Result<Self> {
        let mut builder = ApiBuilder::from_env().with_progress(false);
        if let Some(token) = std::env::var("HF_TOKEN").ok().filter(|token| !token.trim().is_empty()) {
            builder = builder.with_token(Some(token.trim().to_owned()));
        }
        if let Some(endpoint) = std::env::var("HF_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty()) {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        Self::new(builder, Duration::from_secs(1))
    }

    fn new(builder: ApiBuilder, pause: Duration) -> Result<Self> {
        let builder = builder.with_user_agent("alexnet-xtask", env!("CARGO_PKG_VERSION"));
        Ok(Self { api: builder.build().context("cannot set up access to the Hub")?, pause })
    }

    /// Downloads the Parquet files of a data set to `folder`, except those that already exist.
    /// `progress(bytes, total bytes)` is called during the download.
    pub fn fetch(&self, wanted: &Wanted, folder: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let well_formed = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', ' ']);
        if wanted.repository.split('/').count() != 2 || !wanted.repository.split('/').all(well_formed) {
            bail!("`{}` is not the name of a data set on the Hub, such as ILSVRC/imagenet-1k", wanted.repository);
        }
        let (repo, files) = self.find(wanted)?;
        let total: u64 = files.iter().map(|file| file.size).sum();
        let mut store = store::Store::open(folder)?;
        store.keep_only(&files)?;
        store.require_space(&files)?;
        let mut done = 0;
        for file in &files {
            let before = done;
            self.fetch_file(&repo, file, &mut store, &mut |bytes| progress(before + bytes, total))
                .with_context(|| format!("cannot download {} of {}", file.name, wanted.repository))?;
            done += file.size;
            progress(done, total);
        }
        Ok(())
    }

    /// The files of the data set, at the current commit of the revision.
    fn find(&self, wanted: &Wanted) -> Result<(ApiRepo, Vec<RemoteFile>)> {
        let revisions = match &wanted.revision {
            Some(revision) => vec![revision.as_str()],
            None => vec!["main", CONVERTED],
        };
        let mut without = String::new();
        for revision in revisions {
            let info = match self.info(&wanted.repository, revision) {
                Ok(info) => info,
                // There is no conversion.
                Err(error) if !without.is_empty() && error.is::<NotThere>() => break,
                Err(error) => return Err(error),
            };
            let paths: Vec<PathBuf> = info.siblings.iter().map(|file| PathBuf::from(&file.rfilename)).collect();
            if !paths.iter().any(|path| path.extension().is_some_and(|extension| extension == "parquet")) {
                without = format!("{} has no Parquet files in {revision}", wanted.repository);
                continue;
            }
            let chosen = ParquetFiles::choose(&paths, wanted.config.as_deref());
            let chosen = chosen.map_err(|reason| anyhow::anyhow!("{} in {revision}: {reason}", wanted.repository))?;
            if chosen.train.is_empty() {
                bail!("{} in {revision} has no training images", wanted.repository);
            }
            let files = chosen.train.iter().chain(&chosen.val).map(|path| remote_file(&info, path));
            let repo = Repo::with_revision(wanted.repository.clone(), RepoType::Dataset, info.sha.clone());
            return Ok((self.api.repo(repo), files.collect::<Result<_>>()?));
        }
        bail!("{without}")
    }

    fn info(&self, repository: &str, revision: &str) -> Result<Info> {
        let repo = Repo::with_revision(repository.to_owned(), RepoType::Dataset, revision.to_owned());
        let repo = self.api.repo(repo);
        download::retried(self.pause, || {
            let url = repo.info_request().query("blobs", "true");
            let mut answer = download::call(url, None)?;
            download::require_ok(&mut answer, repository)?;
            let body = answer.body_mut().with_config().limit(256 << 20);
            body.read_json::<Info>().map_err(|error| match error {
                error if error.to_string().contains("json") => {
                    Failure::Final(anyhow::anyhow!("cannot parse the Hub's answer about {repository}: {error}"))
                }
                error => Failure::transient(error),
            })
        })
    }
}

fn remote_file(info: &Info, path: &Path) -> Result<RemoteFile> {
    let sibling = info.siblings.iter().find(|sibling| Path::new(&sibling.rfilename) == path);
    let sibling = sibling.with_context(|| format!("{} is not listed", path.display()))?;
    let name = sibling.rfilename.clone();
    let inside = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !inside {
        bail!("the name `{name}` leads out of the folder");
    }
    if path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("partial-")) {
        bail!("the Hub has converted only a part of this data set (`{name}`)");
    }
    let lfs = sibling.lfs.as_ref();
    let size = lfs.and_then(|lfs| lfs.size).or(sibling.size);
    let size = size.with_context(|| format!("the Hub does not list the size of {name}"))?;
    let sha256 = lfs.and_then(|lfs| lfs.sha256.as_deref());
    let sha256 = sha256.with_context(|| format!("the Hub lists no SHA-256 of {name} to check it"))?;
    let sha256 = sha256.strip_prefix("sha256:").unwrap_or(sha256).to_ascii_lowercase();
    Ok(RemoteFile { name, size, sha256 })
}
