//! Tests with a local server that implements the Hub's protocol.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::*;

/// The server's answer to one request.
#[derive(Clone)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Bytes of the body after which the connection is cut.
    cut: usize,
}

impl Reply {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut: usize::MAX }
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// A request: its path and the relevant headers.
#[derive(Clone, Debug, Default, PartialEq)]
struct Request {
    path: String,
    range: Option<String>,
    token: Option<String>,
}

type Answers = Box<dyn FnMut(&Request) -> Reply + Send>;

/// Answers until the test ends, and records the requests.
struct Server {
    endpoint: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn start(mut answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(request) = read_request(&stream) else { continue };
                seen.lock().unwrap().push(request.clone());
                send(stream, &answers(&request));
            }
        });
        Self { endpoint, requests }
    }

    /// The Hub with this file in `owner/set`; requests for the file first get the replies in `first`.
    fn with_file(content: &[u8], sha256: &str, first: Vec<Reply>) -> Self {
        let (content, listed, mut first) = (content.to_vec(), listing(content.len(), sha256), VecDeque::from(first));
        Self::start(Box::new(move |request| match request.path.as_str() {
            "/api/datasets/owner/set/revision/main?blobs=true" => Reply::new(200, listed.clone()),
            "/datasets/owner/set/resolve/abc123/data/train-0.parquet" => {
                first.pop_front().unwrap_or_else(|| part(&content, request))
            }
            _ => Reply::new(404, ""),
        }))
    }

    fn hub(&self) -> Hub {
        let builder = ApiBuilder::new().with_progress(false).with_endpoint(self.endpoint.clone());
        Hub::new(builder.with_token(Some("secret".into())), Duration::from_millis(1)).unwrap()
    }

    fn ranges(&self) -> Vec<Option<String>> {
        let requests = self.requests.lock().unwrap();
        requests
            .iter()
            .filter(|request| request.path.contains("resolve"))
            .map(|request| request.range.clone())
            .collect()
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let mut request = Request { path: lines.next()?.ok()?.split(' ').nth(1)?.to_owned(), ..Request::default() };
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = Some(value.to_owned()),
            "authorization" => request.token = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(request)
}

fn send(mut stream: TcpStream, reply: &Reply) {
    let mut head =
        format!("HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let body = &reply.body[..reply.body.len().min(reply.cut)];
    // The client may have disconnected.
    let _ = stream.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| stream.write_all(body));
}

/// The Hub's answer to a request for a file, or for the rest of one.
fn part(content: &[u8], request: &Request) -> Reply {
    let start = request.range.as_ref().map(|range| {
        range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')).unwrap().parse::<usize>().unwrap()
    });
    match start {
        None => Reply::new(200, content),
        Some(start) => {
            let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
            Reply::new(206, &content[start..]).with("Content-Range", range)
        }
    }
}

fn listing(size: usize, sha256: &str) -> String {
    let file =
        format!(r#"{{"rfilename":"data/train-0.parquet","size":{size},"lfs":{{"sha256":"{sha256}","size":{size}}}}}"#);
    format!(
        r#"{{"id":"owner/set","sha":"abc123","gated":false,"siblings":[{{"rfilename":"README.md","size":3}},{file}]}}"#
    )
}

fn wanted() -> Wanted {
    Wanted { repository: "owner/set".into(), revision: None, config: None }
}

fn content() -> Vec<u8> {
    (0..100_000u32).flat_map(u32::to_le_bytes).collect()
}

fn sum(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fetch(server: &Server, folder: &Path) -> Result<()> {
    server.hub().fetch(&wanted(), folder, &mut |_, _| {})
}

fn message(server: &Server, folder: &Path) -> String {
    format!("{:#}", fetch(server, folder).unwrap_err())
}

/// The files in `data`, that is, everything except the record.
fn left(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder.join("data")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_is_downloaded_once_and_with_our_token() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::with_file(&content(), &sum(&content()), vec![]);
    let mut told = Vec::new();
    server.hub().fetch(&wanted(), folder.path(), &mut |done, of| told.push((done, of))).unwrap();
    assert_eq!(std::fs::read(folder.path().join("data/train-0.parquet")).unwrap(), content());
    assert_eq!(told.last(), Some(&(400_000, 400_000)));
    assert!(server.requests.lock().unwrap().iter().all(|request| request.token.as_deref() == Some("Bearer secret")));
    fetch(&server, folder.path()).unwrap();
    assert_eq!(server.ranges(), [None]);
    // Without the record, the file's checksum is used.
    std::fs::remove_file(folder.path().join("hub.json")).unwrap();
    fetch(&server, folder.path()).unwrap();
    assert_eq!(server.ranges(), [None]);
    // Another version of the same size.
    let other: Vec<u8> = content().into_iter().rev().collect();
    let server = Server::with_file(&other, &sum(&other), vec![]);
    fetch(&server, folder.path()).unwrap();
    assert_eq!(std::fs::read(folder.path().join("data/train-0.parquet")).unwrap(), other);
}

#[test]
fn a_cut_connection_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let cut = |at| Reply { cut: at, ..Reply::new(200, content()) };
    let server = Server::with_file(&content(), &sum(&content()), vec![cut(1000)]);
    fetch(&server, folder.path()).unwrap();
    assert_eq!(server.ranges(), [None, Some("bytes=1000-".into())]);
    assert_eq!(left(folder.path()), ["train-0.parquet"]);

    // Five failures: the received part is kept for the next run.
    let folder = tempfile::tempdir().unwrap();
    let dead = Reply { cut: 0, ..Reply::new(206, content()).with("Content-Range", "bytes 1000-399999/400000") };
    let server = Server::with_file(&content(), &sum(&content()), [vec![cut(1000)], vec![dead; 5]].concat());
    let text = message(&server, folder.path());
    assert!(text.contains("cannot download data/train-0.parquet of owner/set: tried 5 times"), "{text}");
    assert!(text.contains("after 1000 of 400000 bytes"), "{text}");
    fetch(&server, folder.path()).unwrap();
    assert_eq!(server.ranges().last(), Some(&Some("bytes=1000-".into())));
    assert_eq!(std::fs::read(folder.path().join("data/train-0.parquet")).unwrap(), content());
}

/// If a server cannot resume, it sends everything again; a different range is an error.
#[test]
fn the_rest_is_only_appended_where_it_belongs() {
    let folder = tempfile::tempdir().unwrap();
    let cut = Reply { cut: 1000, ..Reply::new(200, content()) };
    let server = Server::with_file(&content(), &sum(&content()), vec![cut.clone(), Reply::new(200, content())]);
    fetch(&server, folder.path()).unwrap();
    assert_eq!(std::fs::read(folder.path().join("data/train-0.parquet")).unwrap(), content());

    let folder = tempfile::tempdir().unwrap();
    let other = Reply::new(206, content()).with("Content-Range", "bytes 0-399999/400000");
    let server = Server::with_file(&content(), &sum(&content()), vec![cut.clone(), other]);
    let text = message(&server, folder.path());
    assert!(text.contains("requested the bytes from 1000 on, but the server sends `bytes 0-399999/400000`"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let server = Server::with_file(&content(), &sum(&content()), vec![cut, Reply::new(416, "")]);
    fetch(&server, folder.path()).unwrap();
    assert_eq!(server.ranges().last(), Some(&None));
}

#[test]
fn a_wrong_checksum_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut damaged = content();
    damaged[5] ^= 1;
    // The first time may be a transmission error.
    let server = Server::with_file(&content(), &sum(&content()), vec![Reply::new(200, damaged.clone())]);
    fetch(&server, folder.path()).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let server = Server::with_file(&damaged, &sum(&content()), vec![]);
    let text = message(&server, folder.path());
    assert!(
        text.contains(&format!("its SHA-256 is {}, but the Hub lists {}", sum(&damaged), sum(&content()))),
        "{text}"
    );
    assert_eq!((server.ranges().len(), left(folder.path())), (2, vec![]));
}

/// Files that only another version has are removed, because they would be trained on; files from elsewhere are not removed.
#[test]
fn files_of_other_versions_do_not_stay() {
    let folder = tempfile::tempdir().unwrap();
    let sums = sum(&content());
    let other = listing(400_000, &sums).replace("train-0.parquet", "train-1.parquet");
    let server = Server::start(Box::new(move |request| match request.path.as_str() {
        path if path.contains("/resolve/") => part(&content(), request),
        _ => Reply::new(200, other.clone()),
    }));
    fetch(&server, folder.path()).unwrap();
    assert_eq!(left(folder.path()), ["train-1.parquet"]);
    let server = Server::with_file(&content(), &sums, vec![]);
    fetch(&server, folder.path()).unwrap();
    assert_eq!(left(folder.path()), ["train-0.parquet"]);
    std::fs::write(folder.path().join("data/train-7.parquet"), "mine").unwrap();
    assert!(message(&server, folder.path()).contains("train-7.parquet does not belong to this data set"));
}

#[test]
fn refusals_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let once = |reply: Reply| Server::with_file(&content(), &sum(&content()), vec![reply]);
    let gated = Reply::new(401, "").with("X-Error-Code", "GatedRepo").with("X-Error-Message", "Access is restricted");
    let text = message(&once(gated), folder.path());
    assert!(text.contains("status 401: Access is restricted); accept its terms"), "{text}");
    let text = message(&once(Reply::new(401, r#"{"error":"Invalid credentials"}"#)), folder.path());
    assert!(text.contains("status 401: Invalid credentials); set HF_TOKEN to a valid token"), "{text}");
    let text = message(&once(Reply::new(403, "no")), folder.path());
    assert!(text.contains("status 403); accept its terms") && text.contains("HF_TOKEN"), "{text}");
    let text = message(&once(Reply::new(404, "")), folder.path());
    assert!(text.contains("status 404"), "{text}");

    let unknown = Wanted { repository: "owner/other".into(), ..wanted() };
    let server = Server::with_file(&content(), &sum(&content()), vec![]);
    let text = format!("{:#}", server.hub().fetch(&unknown, folder.path(), &mut |_, _| {}).unwrap_err());
    assert!(text.contains("the Hub has no owner/other"), "{text}");
    for name in ["imagenet", "a/b/c", "../set", "a /b"] {
        let wrong = Wanted { repository: name.into(), ..wanted() };
        let text = server.hub().fetch(&wrong, folder.path(), &mut |_, _| {}).unwrap_err().to_string();
        assert!(text.contains("is not the name of a data set"), "{text}");
    }
}

#[test]
fn a_busy_hub_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let busy = [Reply::new(503, ""), Reply::new(429, "").with("Retry-After", 0), Reply::new(500, "")];
    let server = Server::with_file(&content(), &sum(&content()), busy.to_vec());
    fetch(&server, folder.path()).unwrap();
    assert_eq!(server.ranges().len(), 4);

    let folder = tempfile::tempdir().unwrap();
    let server = Server::with_file(&content(), &sum(&content()), vec![Reply::new(502, ""); 9]);
    let text = message(&server, folder.path());
    assert!(text.contains("tried 5 times: the Hub answers with status 502"), "{text}");
    assert_eq!(server.ranges().len(), 5);
}

/// As for `frgfm/imagenette`: the Parquet files are in another revision, in several sizes.
#[test]
fn the_conversion_is_found_and_sizes_are_offered() {
    let (one, all) = (content(), sum(&content()));
    let server = Server::start(Box::new(move |request| {
        let file = |name: &str| format!(r#"{{"rfilename":"{name}","size":400000,"lfs":{{"sha256":"{all}"}}}}"#);
        let names = ["160px/train/0000.parquet", "160px/validation/0000.parquet", "320px/train/0000.parquet"];
        let files: Vec<_> = names.iter().map(|name| file(name)).collect();
        let converted = format!(r#"{{"sha":"c0ffee","siblings":[{}]}}"#, files.join(","));
        match request.path.as_str() {
            "/api/datasets/owner/set/revision/main?blobs=true" => {
                Reply::new(200, r#"{"sha":"abc","siblings":[{"rfilename":"imagenette.py"}]}"#)
            }
            "/api/datasets/owner/set/revision/refs%2Fconvert%2Fparquet?blobs=true" => Reply::new(200, converted),
            path if path.starts_with("/datasets/owner/set/resolve/c0ffee/160px/") => part(&one, request),
            _ => Reply::new(404, ""),
        }
    }));
    let folder = tempfile::tempdir().unwrap();
    let text = message(&server, folder.path());
    assert!(text.contains("it holds several data sets; choose one of 160px, 320px"), "{text}");
    let small = Wanted { config: Some("160px".into()), ..wanted() };
    server.hub().fetch(&small, folder.path(), &mut |_, _| {}).unwrap();
    for name in ["160px/train/0000.parquet", "160px/validation/0000.parquet"] {
        assert_eq!(std::fs::read(folder.path().join(name)).unwrap(), content());
    }
}

#[test]
fn names_that_lead_out_of_the_folder_are_refused() {
    let sum = sum(&content());
    for (name, reason) in [
        ("data/../../train-0.parquet", "leads out of the folder"),
        ("/data/train-0.parquet", "leads out of the folder"),
        ("partial-train/train-0.parquet", "only a part"),
    ] {
        let info =
            format!(r#"{{"sha":"abc","siblings":[{{"rfilename":"{name}","size":4,"lfs":{{"sha256":"{sum}"}}}}]}}"#);
        let server = Server::start(Box::new(move |_| Reply::new(200, info.clone())));
        let folder = tempfile::tempdir().unwrap();
        let text = message(&server, folder.path());
        assert!(text.contains(reason), "{text}");
    }
}
