//! Download of one file: resumed after a broken connection, checked before it gets its final name.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow};
use hf_hub::api::sync::ApiRepo;

use super::store::{Store, disk, sha256_of};
use super::{Hub, RemoteFile};

const ATTEMPTS: u32 = 5;
const CONNECT: Duration = Duration::from_secs(30);
/// A connection without data for this long is treated as broken.
const SILENCE: Duration = Duration::from_secs(60);
/// Maximum pause that a server can request.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Why an attempt failed.
pub(super) enum Failure {
    /// Temporary: retry, after this pause if the server specifies one.
    Transient(Error, Option<Duration>),
    /// Permanent: a retry would fail too.
    Final(Error),
    /// Failed after receiving more data: the count of attempts restarts.
    Progressed(Error),
}

/// The Hub answered with status 404.
#[derive(Debug)]
pub(super) struct NotThere(String);

impl fmt::Display for NotThere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotThere {}

impl Failure {
    pub(super) fn transient(error: impl Into<Error>) -> Self {
        Self::Transient(error.into(), None)
    }
}

/// Retries until it succeeds, at most five times, with increasing pauses.
pub(super) fn retried<T>(pause: Duration, mut work: impl FnMut() -> Result<T, Failure>) -> Result<T> {
    let mut attempt = 1;
    loop {
        match work() {
            Ok(value) => return Ok(value),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Progressed(error)) => {
                eprintln!("{error:#}; retrying");
                std::thread::sleep(pause);
                attempt = 1;
            }
            Err(Failure::Transient(error, _)) if attempt == ATTEMPTS => {
                return Err(error.context(format!("tried {ATTEMPTS} times")));
            }
            Err(Failure::Transient(error, wanted)) => {
                let pause = wanted.unwrap_or(pause * 2u32.pow(attempt - 1)).min(LONGEST_PAUSE);
                eprintln!("{error:#}; retrying in {:.0} s", pause.as_secs_f64());
                std::thread::sleep(pause);
                attempt += 1;
            }
        }
    }
}

type Request = ureq::RequestBuilder<ureq::typestate::WithoutBody>;
type Answer = ureq::http::Response<ureq::Body>;

/// Sends a request; with `have`, for the part after the first `have` bytes.
pub(super) fn call(request: Request, have: Option<u64>) -> Result<Answer, Failure> {
    let mut request = request.header("Accept-Encoding", "identity");
    if let Some(have) = have {
        request = request.header("Range", format!("bytes={have}-"));
    }
    // A proxy cannot reach this host.
    let host = request.uri_ref().and_then(|uri| uri.host()).unwrap_or_default().to_owned();
    let mut config = request.config().http_status_as_error(false);
    config = config.timeout_connect(Some(CONNECT)).timeout_per_read(Some(SILENCE));
    if ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str()) {
        config = config.proxy(None);
    }
    config.build().call().map_err(|error| Failure::transient(anyhow!(error).context(format!("no answer from {host}"))))
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers().get(name).and_then(|value| value.to_str().ok())
}

/// Returns an error for an answer without success, with a message that contains the remedy.
pub(super) fn require_ok(answer: &mut Answer, repository: &str) -> Result<(), Failure> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let said = header(answer, "x-error-message").map(str::to_owned);
    let said = said.or_else(|| {
        let text = answer.body_mut().with_config().limit(4096).read_to_string().ok()?;
        let json: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        json.and_then(|json| json.get("error")?.as_str().map(str::to_owned))
    });
    let said = said.map_or(String::new(), |said| format!(": {}", said.trim()));
    let gated = header(answer, "x-error-code") == Some("GatedRepo");
    let code = status.as_u16();
    let error = match code {
        401 | 403 if gated || code == 403 => anyhow!(
            "the Hub refuses access to {repository} (status {code}{said}); accept its terms on its page on the Hub, and set \
             HF_TOKEN to a token of that account"
        ),
        401 => anyhow!(
            "the Hub requires a login for {repository} (status 401{said}); set HF_TOKEN to a valid token, or correct the \
             name: the Hub gives the same answer for data sets that do not exist"
        ),
        404 => Error::new(NotThere(format!(
            "the Hub has no {repository}, or it has no such revision or file (status 404{said})"
        ))),
        _ => anyhow!("the Hub answers with status {code}{said}"),
    };
    if code == 408 || code == 429 || code >= 500 {
        let seconds = header(answer, "retry-after").and_then(|seconds| seconds.trim().parse().ok());
        return Err(Failure::Transient(error, seconds.map(Duration::from_secs)));
    }
    Err(Failure::Final(error))
}

impl Hub {
    /// Downloads a file, unless it exists; `progress` is called with the bytes so far.
    pub(super) fn fetch_file(
        &self,
        repo: &ApiRepo,
        file: &RemoteFile,
        store: &mut Store,
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        if store.has(file) || store.recover(file)? {
            return Ok(());
        }
        let path = store.folder.join(&file.name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        // The name contains the checksum: part of an older version is not the beginning of this one.
        let version: String = file.sha256.chars().take(12).collect();
        let partial = path.with_extension(format!("{version}.partial"));
        let url = repo.url(&encoded(&file.name));
        let mut wrong = None;
        retried(self.pause, || {
            receive(repo, &url, file, &partial, progress)?;
            let found = sha256_of(&partial).map_err(|error| Failure::Final(disk(error, &partial)))?;
            if found == file.sha256 {
                return Ok(());
            }
            fs::remove_file(&partial).map_err(|error| Failure::Final(disk(error, &partial)))?;
            let error = anyhow!("its SHA-256 is {found}, but the Hub lists {}", file.sha256);
            // The first time may be a transmission error.
            match wrong.replace(found) {
                None => Err(Failure::transient(error)),
                Some(_) => Err(Failure::Final(error.context("the file differs from the one that the Hub lists"))),
            }
        })?;
        fs::rename(&partial, &path).map_err(|error| disk(error, &path))?;
        store.record(file)
    }
}

/// Downloads until `partial` has the file's size.
fn receive(
    repo: &ApiRepo,
    url: &str,
    file: &RemoteFile,
    partial: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Failure> {
    let on_disk = |error| Failure::Final(disk(error, partial));
    let mut output = OpenOptions::new().create(true).append(true).open(partial).map_err(on_disk)?;
    let mut have = output.metadata().map_err(on_disk)?.len();
    if have > file.size {
        output.set_len(0).map_err(on_disk)?;
        have = 0;
    }
    if have == file.size {
        return Ok(());
    }
    let began = have;
    let mut answer = call(repo.info_request().uri(url), (have > 0).then_some(have))?;
    if answer.status().as_u16() == 416 && have > 0 {
        output.set_len(0).map_err(on_disk)?;
        return Err(Failure::transient(anyhow!("the server has no data from byte {have} on")));
    }
    require_ok(&mut answer, &file.name)?;
    if answer.status().as_u16() == 206 {
        let range = header(&answer, "content-range").unwrap_or_default().to_owned();
        if !range.starts_with(&format!("bytes {have}-")) {
            return Err(Failure::Final(anyhow!("requested the bytes from {have} on, but the server sends `{range}`")));
        }
    } else if have > 0 {
        // The server restarts from the beginning.
        output.set_len(0).map_err(on_disk)?;
        have = 0;
    }
    let mut body = answer.into_body().into_reader();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let text = format!("the connection broke after {have} of {} bytes", file.size);
                return Err(broken(anyhow!(error).context(text), have > began));
            }
        };
        output.write_all(&buffer[..count]).map_err(on_disk)?;
        have += count as u64;
        if have > file.size {
            return Err(Failure::Final(anyhow!(
                "the server sends more than the {} bytes that the Hub lists",
                file.size
            )));
        }
        progress(have);
    }
    if have < file.size {
        return Err(broken(anyhow!("the connection ended after {have} of {} bytes", file.size), have > began));
    }
    output.sync_all().map_err(on_disk)
}

fn broken(error: Error, further: bool) -> Failure {
    if further { Failure::Progressed(error) } else { Failure::transient(error) }
}

/// Percent-encodes a path for a URL.
fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
