//! Typical layouts of image folders.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod pictures;

use std::fs;
use std::path::{Path, PathBuf};

use alexnet_data::{Dataset, Error, Split};

fn touch(root: &Path, files: &[&str]) -> PathBuf {
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    root.to_owned()
}

fn relative(folder: &Split) -> Vec<(String, u32)> {
    let name = |path: &Path| path.strip_prefix(&folder.path).unwrap().to_string_lossy().into_owned();
    folder.samples.iter().map(|sample| (name(&sample.location.path()), sample.label)).collect()
}

#[test]
fn class_folders_become_labels() {
    let temporary = tempfile::tempdir().unwrap();
    let files = [
        "dog/2.JPG",
        "dog/10.jpeg",
        "dog/deep/er/1.png",
        "cat/a.WebP",
        "cat/b.gif",
        "cat/readme",
        "cat/.hidden.jpg",
        ".cache/x.jpg",
        "notes.txt",
    ];
    let folder = Split::open_folder(&touch(temporary.path(), &files)).unwrap();
    assert_eq!(folder.classes, ["cat", "dog"]);
    let expected = [("cat/a.WebP", 0), ("dog/10.jpeg", 1), ("dog/2.JPG", 1), ("dog/deep/er/1.png", 1)];
    assert_eq!(relative(&folder), expected.map(|(name, label)| (name.to_owned(), label)));
    assert_eq!(folder.ignored, 3);
}

#[test]
fn splits_are_found() {
    let temporary = tempfile::tempdir().unwrap();
    let root = touch(temporary.path(), &["train/a/1.jpg", "train/b/1.jpg", "labels.txt"]);
    fs::write(root.join("labels.txt"), "a an ant\nb a bee\n").unwrap();
    let set = Dataset::open(&root).unwrap();
    assert_eq!((set.train.samples.len(), set.val.is_none(), set.labels.display(1)), (2, true, Some("a bee")));

    let root = touch(temporary.path(), &["valid/a/1.jpg", "valid/b/1.jpg", "valid/b/2.jpg"]);
    assert_eq!(Dataset::open(&root).unwrap().val.unwrap().samples.len(), 3);
    // `val` takes precedence over `valid`.
    let root = touch(temporary.path(), &["val/a/1.jpg", "val/b/1.jpg"]);
    let set = Dataset::open(&root).unwrap();
    assert_eq!(set.val.unwrap().path, root.join("val"));
    assert_eq!(set.train.path, root.join("train"));

    let other = tempfile::tempdir().unwrap();
    let set = Dataset::open(&touch(other.path(), &["a/1.jpg", "b/1.jpg"])).unwrap();
    assert_eq!((set.train.path.as_path(), set.val, set.labels.names.len()), (other.path(), None, 2));
}

#[test]
fn errors_are_sentences() {
    let temporary = tempfile::tempdir().unwrap();
    let message = |path: &Path| Dataset::open(path).unwrap_err().to_string();
    let root = |name: &str, files: &[&str]| touch(&temporary.path().join(name), files);

    let missing = temporary.path().join("missing");
    assert_eq!(message(&missing), format!("there is no folder {}", missing.display()));
    let file = root("files", &["a.jpg"]).join("a.jpg");
    assert!(message(&file).starts_with(&format!("{} is not a folder", file.display())));
    let flat = root("files", &[]);
    assert!(message(&flat).contains("holds no class folders"));
    let one = root("one", &["a/1.jpg"]);
    assert_eq!(message(&one), format!("{} holds the single class `a`, a classifier needs at least 2", one.display()));
    let empty = root("empty", &["a/1.jpg", "b/1.txt"]);
    let place = empty.join("b");
    assert_eq!(
        message(&empty),
        format!("class `b` holds no .jpg, .jpeg, .png, .webp or .ppm file in {}", place.display())
    );
    let val = root("val", &["val/a/1.jpg", "val/b/1.jpg"]);
    assert_eq!(message(&val), format!("{} holds `val` but no `train` beside it", val.display()));
    let extra = root("extra", &["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/b/1.jpg", "val/c/1.jpg"]);
    let (train_path, val_path) = (extra.join("train"), extra.join("val"));
    let expected = format!("class `c` is in {} but not in {}", val_path.display(), train_path.display());
    assert_eq!(message(&extra), expected);
    let lacking = root("lacking", &["train/a/1.jpg", "train/b/1.jpg", "train/c/1.jpg", "val/a/1.jpg", "val/c/1.jpg"]);
    assert!(message(&lacking).starts_with("class `b` is in"));
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use alexnet_data::{Augment, Mean, Pipeline, Preprocess, ResizeRule, Views};

    use super::*;

    #[test]
    fn links_are_followed_but_not_in_circles() {
        let temporary = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let root = touch(temporary.path(), &["a/1.jpg", "a/sub/2.jpg", "b/1.jpg"]);
        touch(elsewhere.path(), &["3.jpg"]);
        symlink("..", root.join("a/sub/up")).unwrap();
        symlink(root.join("a/sub"), root.join("a/sub/self")).unwrap();
        symlink(elsewhere.path(), root.join("b/more")).unwrap();
        symlink(elsewhere.path(), root.join("c")).unwrap();
        symlink("nowhere", root.join("b/lost.jpg")).unwrap();
        let names: Vec<String> =
            relative(&Split::open_folder(&root).unwrap()).into_iter().map(|(name, _)| name).collect();
        // A broken link is listed, so that the loader reports it.
        assert_eq!(names, ["a/1.jpg", "a/sub/2.jpg", "b/1.jpg", "b/lost.jpg", "b/more/3.jpg", "c/3.jpg"]);
    }

    #[test]
    fn names_need_not_be_text() {
        let temporary = tempfile::tempdir().unwrap();
        let name = OsStr::from_bytes(b"\xff\xfe.png");
        let path = temporary.path().join("a").join(name);
        pictures::write_png(&path, 8, 8, |x, y| [x as u8, y as u8, 0]);
        let class = temporary.path().join(OsStr::from_bytes(b"caf\xe9"));
        pictures::write_png(&class.join("1.png"), 8, 8, |_, _| [0; 3]);
        let folder = Split::open_folder(temporary.path()).unwrap();
        assert_eq!((folder.samples.len(), folder.samples[0].location.path()), (2, path.clone()));
        assert_eq!(folder.classes, ["a", "caf\u{fffd}"]);
        let preprocess = Preprocess {
            resize: ResizeRule::None,
            source_size: 8,
            crop_size: 8,
            mean: Mean::None,
            ..Preprocess::ALEXNET_2012
        };
        let pipeline = Pipeline::new(preprocess, Augment::NONE, None).unwrap();
        assert_eq!(pipeline.load(&path, Views::Center).unwrap()[7], 7.0);
        assert!(folder.hold_out(0.5).is_err_and(|error| matches!(error, Error::CannotHoldOut { .. })));
    }
}
