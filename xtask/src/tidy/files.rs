//! Rules for file names, required files and file contents.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Required files of an operation, which is a folder of the kernels crate with a GPU kernel.
const OF_AN_OPERATION: [&str; 5] = ["mod.rs", "reference.rs", "cpu.rs", "cuda.rs", "tests.rs"];

/// CUDA sources that are not operations: the list of all kernels, and the change of memory format, whose reference is
/// Candle's `permute`.
const NO_OPERATIONS: [&str; 2] = ["cuda/kernels.cu", "layout.cu"];

/// File names without meaning.
const EMPTY_NAMES: [&str; 4] = ["utils.rs", "helpers.rs", "common.rs", "manager.rs"];

/// Files that may allow unsafe code.
const UNSAFE: [&str; 2] = ["crates/alexnet-kernels/src/lib.rs", "crates/alexnet-data/src/sources/shards/mapping.rs"];

/// Maximum number of lines.
const LONGEST: usize = 400;

pub fn complaints(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut complaints = Vec::new();
    let kernels = root.join("crates/alexnet-kernels/src");
    let mut sources = Vec::new();
    find(&kernels, "cu", &mut sources)?;
    let mut operations: Vec<&Path> = Vec::new();
    for path in sources.iter().filter(|path| !NO_OPERATIONS.iter().any(|other| path.ends_with(other))) {
        match path.parent().filter(|folder| *folder != kernels) {
            Some(folder) => operations.push(folder),
            None => complaints.push(format!("{}: an operation must be a folder with all its files", path.display())),
        }
    }
    operations.dedup();
    for folder in operations {
        for file in OF_AN_OPERATION.iter().filter(|file| !folder.join(file).is_file()) {
            complaints.push(format!("{}: the operation has no {file}", folder.display()));
        }
    }
    let mut sources = Vec::new();
    for top in ["crates", "xtask", "tests"] {
        find(&root.join(top), "rs", &mut sources)?;
    }
    for path in &sources {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        complaints.extend(of_file(path.strip_prefix(root).unwrap_or(path), &text));
    }
    Ok(complaints)
}

fn of_file(path: &Path, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut complain = |what: String| complaints.push(format!("{}: {what}", path.display()));
    if EMPTY_NAMES.iter().any(|name| path.ends_with(name)) {
        complain("the file name must describe the contents".into());
    }
    let lines = text.lines().count();
    if lines > LONGEST {
        complain(format!("a file has at most {LONGEST} lines, but this one has {lines}"));
    }
    // Concatenated, so that this file does not match.
    let allowed = concat!("allow(", "unsafe_code)");
    if text.contains(allowed) && !UNSAFE.iter().any(|unsafe_code| path.ends_with(unsafe_code)) {
        complain("unsafe code is allowed only in the kernels, and to map a file".into());
    }
    complaints
}

/// All files below `folder` with this extension, except in `target`.
fn find(folder: &Path, extension: &str, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for path in entries(folder)? {
        if path.is_dir() && !path.ends_with("target") {
            find(&path, extension, files)?;
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = read.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_may_not_hold_is_named() {
        let found = |path: &str, text: &str| of_file(Path::new(path), text).len();
        let unsafe_code = concat!("#![allow(", "unsafe_code)]\n");
        assert_eq!(found("crates/alexnet-kernels/src/lib.rs", unsafe_code), 0);
        assert_eq!(found("crates/alexnet-data/src/lib.rs", unsafe_code), 1);
        assert_eq!(found("crates/alexnet-data/src/utils.rs", ""), 1);
        assert_eq!(found("crates/alexnet-data/src/order.rs", &"\n".repeat(401)), 1);
        assert_eq!(found("crates/alexnet-data/src/order.rs", &"\n".repeat(400)), 0);
    }

    #[test]
    fn an_operation_without_an_oracle_is_named() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("crates/alexnet-kernels/src/lrn");
        fs::create_dir_all(&folder).unwrap();
        for top in ["xtask", "tests"] {
            fs::create_dir(root.path().join(top)).unwrap();
        }
        for file in ["mod.rs", "reference.rs", "cpu.rs", "cuda.rs", "lrn.cu"] {
            fs::write(folder.join(file), "").unwrap();
        }
        fs::write(folder.parent().unwrap().join("add.cu"), "").unwrap();
        fs::write(folder.parent().unwrap().join("layout.cu"), "").unwrap();
        let found = complaints(root.path()).unwrap();
        assert!(
            found.len() == 2 && found[0].ends_with("an operation must be a folder with all its files"),
            "{found:?}"
        );
        assert!(found[1].ends_with("the operation has no tests.rs"), "{found:?}");
    }
}
