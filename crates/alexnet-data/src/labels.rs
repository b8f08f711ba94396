//! The names of the classes.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crate::Error;

/// Files in a data set's folder that describe the class folders' names in words, one line per class:
/// `n01440764 tench, Tinca tinca`. A name that contains spaces ends with a tab. The second file is that of the ImageNet
/// competition on Kaggle.
const WORD_FILES: [&str; 2] = ["labels.txt", "LOC_synset_mapping.txt"];

/// The classes of a data set: label `i` is `names[i]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Names of the class folders, sorted. For ImageNet these are WordNet IDs such as `n01440764`.
    pub names: Vec<String>,
    /// A description of each class in words, if a file in the data set's folder has one.
    pub words: Vec<Option<String>>,
}

impl Labels {
    /// Reads the descriptions of `names` from the first of `labels.txt` and `LOC_synset_mapping.txt` that exists in `root`.
    /// Lines whose first word is not a class are ignored.
    ///
    /// # Errors
    /// [`Error::Read`] if the file exists but cannot be read.
    pub fn read(root: &Path, names: Vec<String>) -> Result<Self, Error> {
        let mut meanings = HashMap::new();
        if let Some(path) = WORD_FILES.iter().map(|name| root.join(name)).find(|path| path.is_file()) {
            let text = fs::read(&path).map_err(|source| Error::Read { path, source })?;
            for line in String::from_utf8_lossy(&text).lines() {
                let line = line.trim();
                let parts = line.split_once('\t').or_else(|| line.split_once(char::is_whitespace));
                if let Some((name, words)) = parts {
                    meanings.insert(name.to_owned(), words.trim().to_owned());
                }
            }
        }
        let words = names.iter().map(|name| meanings.remove(name)).collect();
        Ok(Self { names, words })
    }

    /// The description of a label if there is one, else its name; `None` if there is no such label.
    pub fn display(&self, label: u32) -> Option<&str> {
        let label = label as usize;
        let words = self.words.get(label).and_then(Option::as_deref);
        words.or_else(|| self.names.get(label).map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_optional() {
        let folder = tempfile::tempdir().unwrap();
        let names = || vec!["n01440764".to_owned(), "n01443537".to_owned()];
        let plain = Labels::read(folder.path(), names()).unwrap();
        assert_eq!((plain.display(1), plain.display(2)), (Some("n01443537"), None));

        let text = "n99999999 nothing here\nn01440764 tench, Tinca tinca\r\n\nmalformed\n";
        fs::write(folder.path().join("LOC_synset_mapping.txt"), text).unwrap();
        let labels = Labels::read(folder.path(), names()).unwrap();
        assert_eq!(labels.names, names());
        assert_eq!((labels.display(0), labels.display(1)), (Some("tench, Tinca tinca"), Some("n01443537")));

        let spaced = Labels::read(folder.path(), vec!["a b".into()]).unwrap();
        assert_eq!(spaced.display(0), Some("a b"));
        fs::write(folder.path().join("labels.txt"), "a b\twords of it\nn01443537\tgoldfish").unwrap();
        let spaced = Labels::read(folder.path(), vec!["a b".into()]).unwrap();
        assert_eq!(spaced.display(0), Some("words of it"));
        let labels = Labels::read(folder.path(), names()).unwrap();
        assert_eq!((labels.display(0), labels.display(1)), (Some("n01440764"), Some("goldfish")));
    }
}
