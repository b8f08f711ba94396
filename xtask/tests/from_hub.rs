//! From the Hub to shards, with the real program and a server that implements the Hub's protocol. Failures are tested in
//! `src/hub/tests.rs`.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

/// Serves one Parquet file as both splits of `owner/pets` to clients with the token; counts the files sent.
fn serve() -> (String, Arc<AtomicUsize>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/alexnet-data/tests/fixtures/plain.parquet");
    let file = fs::read(path).unwrap();
    let sum: String = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
    let listed = ["train", "validation"].map(|split| {
        let name = format!("data/{split}-00000-of-00001.parquet");
        format!(r#"{{"rfilename":"{name}","size":{0},"lfs":{{"sha256":"{sum}","size":{0}}}}}"#, file.len())
    });
    let listing = format!(r#"{{"sha":"abc","siblings":[{}]}}"#, listed.join(","));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let head: Vec<String> = lines.map(|line| line.to_ascii_lowercase()).collect();
            let asked = head.first().map_or("", |line| line.split(' ').nth(1).unwrap_or_default());
            let (status, body) = match asked {
                _ if !head.contains(&"authorization: bearer secret".to_owned()) => (401, Vec::new()),
                "/api/datasets/owner/pets/revision/main?blobs=true" => (200, listing.clone().into_bytes()),
                path if path.starts_with("/datasets/owner/pets/resolve/abc/data/") => {
                    counter.fetch_add(1, Ordering::Relaxed);
                    (200, file.clone())
                }
                _ => (404, Vec::new()),
            };
            let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            // The client may have disconnected.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    (endpoint, sent)
}

fn prepare(endpoint: &str, token: &str, folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["prepare-imagenet", "--from-hub", "owner/pets", "--size", "24", "--threads", "2", "--input"]);
    command.arg(folder.join("hub")).arg("--output").arg(folder.join("shards"));
    command.env("HF_ENDPOINT", endpoint).env("HF_TOKEN", token).env("HF_HOME", folder.join("home"));
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_data_set_of_the_hub_becomes_shards() {
    let (endpoint, sent) = serve();
    let folder = tempfile::tempdir().unwrap();
    let refused = prepare(&endpoint, "wrong", folder.path());
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(
        said.contains("the Hub requires a login for owner/pets (status 401)") && said.contains("HF_TOKEN"),
        "{said}"
    );

    let done = prepare(&endpoint, "secret", folder.path());
    assert!(done.status.success(), "{}", text(&done.stderr));
    // One row of the file has no image.
    let said = text(&done.stdout);
    assert!(said.contains("train: read 12 = written 11 + listed 1") && said.contains("val: read 12"), "{said}");
    assert_eq!(
        fs::read_to_string(folder.path().join("shards/labels.txt")).unwrap(),
        "cat\ndog, Canis\tdog, Canis\nowl\n"
    );
    assert_eq!(sent.load(Ordering::Relaxed), 2);

    let again = prepare(&endpoint, "secret", folder.path());
    assert!(text(&again.stdout).contains("nothing was left to do"), "{}", text(&again.stderr));
    assert_eq!(sent.load(Ordering::Relaxed), 2);
}
