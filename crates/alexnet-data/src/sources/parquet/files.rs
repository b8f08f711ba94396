//! Selection of the Parquet files that make up a data set.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Error;

/// Names of validation splits, in order of preference. The labels of a test split are often secret, so it comes last.
const VAL: [&str; 4] = ["validation", "valid", "val", "test"];
const TRAIN: &str = "train";

/// A folder with more subfolders than this contains class folders.
const MAX_FOLDERS: usize = 8;

/// The files of a data set, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParquetFiles {
    /// Training files.
    pub train: Vec<PathBuf>,
    /// Validation files; may be empty.
    pub val: Vec<PathBuf>,
}

impl ParquetFiles {
    /// Selects the files of a data set among the paths of a repository or folder. If it contains several data sets, such as
    /// different image sizes, `config` is the folder name of one of them.
    ///
    /// There may be only validation files.
    ///
    /// # Errors
    /// A message that names what is missing, or the names to choose from.
    pub fn choose(paths: &[PathBuf], config: Option<&str>) -> Result<Self, String> {
        let mut configs: BTreeMap<PathBuf, BTreeMap<String, Vec<PathBuf>>> = BTreeMap::new();
        let mut paths: Vec<_> = paths.iter().filter(|path| is_parquet(path)).collect();
        paths.sort();
        for path in paths {
            let (folder, split) = place(path);
            if let Some(split) = split {
                configs.entry(folder).or_default().entry(split).or_default().push(path.clone());
            }
        }
        let name = |folder: &Path| folder.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
        let names: Vec<_> = configs.keys().map(|folder| name(folder)).collect();
        let mut chosen = match (config, configs.len()) {
            (_, 0) => return Err("no Parquet file's name or folder names a split: train, validation or test".into()),
            (None, 1) => configs.into_values().next().unwrap_or_default(),
            (None, _) => return Err(format!("it holds several data sets; choose one of {}", names.join(", "))),
            (Some(wanted), _) => match configs.into_iter().find(|(folder, _)| name(folder) == wanted) {
                Some((_, files)) => files,
                None => return Err(format!("it holds no data set {wanted}, but {}", names.join(", "))),
            },
        };
        let train = chosen.remove(TRAIN).unwrap_or_default();
        let val = VAL.iter().find_map(|name| chosen.remove(*name)).unwrap_or_default();
        Ok(Self { train, val })
    }
}

fn is_parquet(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("parquet"))
}

/// The folder of the file's data set, and the split given by the file's name or folder.
fn place(path: &Path) -> (PathBuf, Option<String>) {
    let split = |name: &str| {
        let end = name.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(name.len());
        let name = name[..end].to_ascii_lowercase();
        (name == TRAIN || VAL.contains(&name.as_str())).then_some(name)
    };
    let parent = path.parent().unwrap_or(Path::new(""));
    let text = |name: Option<&OsStr>| name.and_then(OsStr::to_str).unwrap_or_default().to_owned();
    if let Some(split) = split(&text(path.file_name())) {
        return (parent.to_owned(), Some(split));
    }
    let folder = text(parent.file_name());
    let whole = split(&folder).filter(|split| split.len() == folder.len());
    (parent.parent().unwrap_or(Path::new("")).to_owned(), whole)
}

/// Whether the name or folder of one of the files names a split.
pub(super) fn any_split(paths: &[PathBuf]) -> bool {
    paths.iter().any(|path| is_parquet(path) && place(path).1.is_some())
}

/// The Parquet files in a folder, or `root` itself if it is one. Files beside image folders are metadata and are ignored.
pub(super) fn list(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    if root.is_file() {
        found.extend(is_parquet(root).then(|| root.to_owned()));
    } else if root.is_dir() {
        let read_error = |source| Error::Read { path: root.to_owned(), source };
        visit(root, 2, &mut found).map_err(read_error)?;
    }
    Ok(found)
}

fn visit(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let (path, kind) = (entry.path(), entry.file_type()?);
        let is_folder = kind.is_dir() || kind.is_symlink() && path.is_dir();
        if is_folder {
            folders.push(path);
        } else if is_parquet(&path) {
            files.push(path);
        }
        if folders.len() > MAX_FOLDERS {
            return Ok(());
        }
    }
    if folders.is_empty() {
        found.extend(files);
    } else if depth > 0 {
        // A folder that cannot be read, such as `lost+found`, contains no data set.
        folders.iter().for_each(|folder| visit(folder, depth - 1, found).unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(paths: &[&str], config: Option<&str>) -> Result<(usize, Option<String>), String> {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let files = ParquetFiles::choose(&paths, config)?;
        Ok((files.train.len(), files.val.first().map(|path| path.display().to_string())))
    }

    /// The layouts of `ILSVRC/imagenet-1k`, `zh-plus/tiny-imagenet`, `uoft-cs/cifar10` and `frgfm/imagenette`.
    #[test]
    fn the_layouts_of_the_hub() {
        let imagenet = [
            "README.md",
            "data/train-00001-of-00294.parquet",
            "data/train-00000-of-00294.parquet",
            "data/validation-00000-of-00014.parquet",
            "data/test-00000-of-00028.parquet",
        ];
        assert_eq!(choose(&imagenet, None), Ok((2, Some("data/validation-00000-of-00014.parquet".into()))));
        let tiny = ["data/train-00000-of-00001-1359.parquet", "data/valid-00000-of-00001-70d5.parquet"];
        assert_eq!(choose(&tiny, None), Ok((1, Some(tiny[1].into()))));
        let cifar = ["plain_text/train-00000-of-00001.parquet", "plain_text/test-00000-of-00001.parquet"];
        assert_eq!(choose(&cifar, None), Ok((1, Some(cifar[1].into()))));
        let imagenette =
            ["full_size/train/0000.parquet", "full_size/train/0001.parquet", "full_size/validation/0000.parquet"];
        assert_eq!(choose(&imagenette, None), Ok((2, Some(imagenette[2].into()))));
        let sizes = [&imagenette[..], &["160px/train/0000.parquet"]].concat();
        assert_eq!(choose(&sizes, Some("160px")), Ok((1, None)));
        assert_eq!(choose(&sizes, None).unwrap_err(), "it holds several data sets; choose one of 160px, full_size");
        assert_eq!(choose(&sizes, Some("320px")).unwrap_err(), "it holds no data set 320px, but 160px, full_size");
        assert_eq!(choose(&["data/test-0.parquet"], None), Ok((0, Some("data/test-0.parquet".into()))));
        assert!(
            choose(&["data/0.parquet", "trainer.parquet"], None).unwrap_err().starts_with("no Parquet file's name")
        );
    }
}
