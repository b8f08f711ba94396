//! ImageNet's development kit: the list of classes and the class of each validation image.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use super::mat5::{self, Value};
use crate::Error;

const META: &str = "data/meta.mat";
const TRUTH: &str = "data/ILSVRC2012_validation_ground_truth.txt";
/// Maximum size of a file read from the kit; `meta.mat` and the list are much smaller.
const MAX_BYTES: u64 = 64 << 20;

/// A class of the competition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Synset {
    /// WordNet ID, such as `n01440764`.
    pub(super) wnid: String,
    /// Its synonyms: `tench, Tinca tinca`.
    pub(super) words: String,
    pub(super) gloss: String,
}

/// The contents of the kit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Devkit {
    /// The leaf synsets, sorted by WNID: the position is the label.
    pub(super) classes: Vec<Synset>,
    /// The label of each validation image, in the order of the image numbers.
    pub(super) truth: Vec<u32>,
}

impl Devkit {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let read_error = |source| Error::Read { path: path.to_owned(), source };
        let malformed = |reason: String| Error::Malformed { path: path.to_owned(), reason };
        let file = BufReader::new(File::open(path).map_err(read_error)?);
        let mut archive = tar::Archive::new(GzDecoder::new(file));
        let (mut meta, mut truth) = (None, None);
        for entry in archive.entries().map_err(|error| malformed(error.to_string()))? {
            let mut entry = entry.map_err(|error| malformed(error.to_string()))?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let slot = match () {
                () if name.ends_with(META) => &mut meta,
                () if name.ends_with(TRUTH) => &mut truth,
                () => continue,
            };
            if entry.size() > MAX_BYTES {
                return Err(malformed(format!("{name} has {} bytes, at most {MAX_BYTES} are read", entry.size())));
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(|error| malformed(format!("{name}: {error}")))?;
            *slot = Some(bytes);
        }
        let meta = meta.ok_or_else(|| malformed(format!("it does not contain {META}")))?;
        let truth = truth.ok_or_else(|| malformed(format!("it does not contain {TRUTH}")))?;
        let by_id = leaves(&meta).map_err(|reason| malformed(format!("{META}: {reason}")))?;
        let mut classes: Vec<Synset> = by_id.values().cloned().collect();
        classes.sort_by(|a, b| a.wnid.cmp(&b.wnid));
        if let Some(pair) = classes.windows(2).find(|pair| pair[0].wnid == pair[1].wnid) {
            return Err(malformed(format!("{META}: {} occurs twice", pair[0].wnid)));
        }
        let label_of: HashMap<&str, u32> =
            classes.iter().zip(0..).map(|(class, label)| (&*class.wnid, label)).collect();
        let mut labels = Vec::new();
        for (number, line) in (1..).zip(String::from_utf8_lossy(&truth).lines()) {
            let synset = line.trim().parse().ok().and_then(|id: u32| by_id.get(&id));
            let label = synset.and_then(|synset| label_of.get(&*synset.wnid));
            let label = label.ok_or_else(|| {
                malformed(format!("{TRUTH}: line {number} is `{}`, not an ID of a class in {META}", line.trim()))
            })?;
            labels.push(*label);
        }
        drop(label_of);
        Ok(Self { classes, truth: labels })
    }
}

/// The synsets without children, by ILSVRC2012_ID. The IDs are not in the order of the WNIDs, and inner synsets have IDs
/// too.
fn leaves(meta: &[u8]) -> Result<HashMap<u32, Synset>, String> {
    let variables = mat5::read(meta)?;
    let synsets = variables.into_iter().find(|(name, _)| name == "synsets").map(|(_, value)| value);
    let Some(Value::Structs { fields, elements }) = synsets else {
        return Err("it contains no array of structures `synsets`".into());
    };
    let position = |name: &str| {
        fields.iter().position(|field| field == name).ok_or_else(|| format!("its `synsets` have no field {name}"))
    };
    let [id_at, wnid_at, words_at, gloss_at, children_at] = [
        position("ILSVRC2012_ID")?,
        position("WNID")?,
        position("words")?,
        position("gloss")?,
        position("num_children")?,
    ];
    let mut leaves = HashMap::new();
    for (number, element) in (1..).zip(&elements) {
        let number_of = |at: usize| match &element[at] {
            Value::Numbers(values) if values.len() == 1 => Ok(values[0]),
            other => Err(format!("synset {number}: {} is {other:?}, not a number", fields[at])),
        };
        let text_of = |at: usize| match &element[at] {
            Value::Text(text) => Ok(text.trim().to_owned()),
            other => Err(format!("synset {number}: {} is {other:?}, not a text", fields[at])),
        };
        if number_of(children_at)? != 0.0 {
            continue;
        }
        let (id, wnid) = (number_of(id_at)?, text_of(wnid_at)?);
        if wnid.is_empty() || !wnid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(format!("synset {number}: `{wnid}` is not a WordNet ID"));
        }
        if id < 1.0 || id > f64::from(u32::MAX) || id.fract() != 0.0 {
            return Err(format!("synset {number}: ILSVRC2012_ID is {id}"));
        }
        let synset = Synset { wnid, words: text_of(words_at)?, gloss: text_of(gloss_at)? };
        if leaves.insert(id as u32, synset).is_some() {
            return Err(format!("the ILSVRC2012_ID {id} occurs twice"));
        }
    }
    if leaves.len() < 2 {
        return Err(format!("it has {} classes, at least 2 are needed", leaves.len()));
    }
    Ok(leaves)
}

/// The lines of `labels.txt`, one per class: ID and words. Classes with the same words, such as ImageNet's two `crane`s, are
/// distinguished by WordNet's gloss, or by their IDs.
pub(super) fn labels_text(classes: &[Synset]) -> String {
    let count =
        |text: &dyn Fn(&Synset) -> String, of: &Synset| classes.iter().filter(|class| text(class) == text(of)).count();
    let words = |class: &Synset| class.words.clone();
    let longer = |class: &Synset| format!("{} ({})", class.words, class.gloss);
    let lines = classes.iter().map(|class| match () {
        () if count(&words, class) == 1 => format!("{} {}\n", class.wnid, class.words),
        () if count(&longer, class) == 1 => format!("{} {}\n", class.wnid, longer(class)),
        () => format!("{} {} ({})\n", class.wnid, class.words, class.wnid),
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaves_are_those_that_scipy_wrote() {
        for name in ["meta.mat", "meta_plain.mat"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
            let leaves = leaves(&std::fs::read(path).unwrap()).unwrap();
            let mut found: Vec<_> = leaves.iter().map(|(id, synset)| (*id, synset.wnid.as_str())).collect();
            found.sort_unstable();
            let expected = ["n03126707", "n01443537", "n07753592", "n01440764", "n02012849"];
            assert_eq!(found, (1..).zip(expected).collect::<Vec<_>>(), "{name}");
            assert_eq!(leaves[&4].words, "tench, Tinca tinca");
            assert_eq!(leaves[&1].gloss, "lifts and moves heavy objects; has a \u{201c}boom\u{201d}");
        }
    }

    #[test]
    fn equal_words_are_told_apart() {
        let class = |wnid: &str, words: &str, gloss: &str| Synset {
            wnid: wnid.into(),
            words: words.into(),
            gloss: gloss.into(),
        };
        let text = labels_text(&[
            class("n1", "tench, Tinca tinca", "a fish"),
            class("n2", "crane", "a bird"),
            class("n3", "crane", "a machine"),
            class("n4", "maillot", "a suit"),
            class("n5", "maillot", "a suit"),
        ]);
        assert_eq!(
            text,
            "n1 tench, Tinca tinca\nn2 crane (a bird)\nn3 crane (a machine)\nn4 maillot (n4)\nn5 maillot (n5)\n"
        );
    }
}
