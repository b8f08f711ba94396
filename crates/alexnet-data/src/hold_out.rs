//! A hold-out split for data sets without a validation set.

use crate::hash::Hash;
use crate::{Error, Split};

impl Split {
    /// Divides the images into training and validation images (first and second value). `fraction` of each class, rounded,
    /// but at least one image and not all, goes to the validation set.
    ///
    /// The choice depends only on the file names below this folder, not on a seed: runs to be compared hold out the same
    /// images. Adding a file moves at most a few other images to the other set.
    ///
    /// # Errors
    /// [`Error::Setting`] if `fraction` is not between 0 and 1; [`Error::CannotHoldOut`] if a class has only one image.
    pub fn hold_out(mut self, fraction: f64) -> Result<(Self, Self), Error> {
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(Error::setting("fraction to hold out", fraction, "it must be more than 0 and less than 1"));
        }
        // Shards may interleave the classes.
        self.samples.sort_by_key(|sample| sample.label);
        let (mut train, mut val) = (Vec::new(), Vec::new());
        for class in self.samples.chunk_by(|a, b| a.label == b.label) {
            if class.len() < 2 {
                let class = class.iter().filter_map(|sample| self.classes.get(sample.label as usize)).cloned();
                return Err(Error::CannotHoldOut { class: class.collect() });
            }
            let count = (class.len() as f64 * fraction).round().clamp(1.0, class.len() as f64 - 1.0) as usize;
            let mut ranked = class.to_vec();
            ranked.sort_by_cached_key(|sample| {
                let path = sample.location.path();
                (Hash::new().path(&path, &self.path).finish(), path)
            });
            let (held, kept) = ranked.split_at_mut(count);
            for (part, list) in [(held, &mut val), (kept, &mut train)] {
                part.sort_by_cached_key(|sample| sample.location.path());
                list.extend_from_slice(part);
            }
        }
        Ok((Self { samples: train, ..self.clone() }, Self { samples: val, ..self }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::{Location, Sample};

    fn folder(counts: &[u32]) -> Split {
        let samples = (0..).zip(counts).flat_map(|(label, &count)| {
            (0..count).map(move |i| {
                let location = Location::File(format!("/set/class{label}/{i:04}.jpg").into());
                Sample { location, label }
            })
        });
        let classes = (0..counts.len()).map(|label| format!("class{label}")).collect();
        Split { path: "/set".into(), classes, samples: samples.collect(), ignored: 0 }
    }

    fn held_out(folder: Split, fraction: f64) -> BTreeSet<PathBuf> {
        folder.hold_out(fraction).unwrap().1.samples.into_iter().map(|sample| sample.location.path()).collect()
    }

    #[test]
    fn each_class_gives_its_share() {
        let whole = folder(&[100, 10, 2]);
        let (train, val) = whole.clone().hold_out(0.2).unwrap();
        let count = |part: &Split| [0, 1, 2].map(|c| part.samples.iter().filter(|s| s.label == c).count());
        assert_eq!((count(&train), count(&val)), ([80, 8, 1], [20, 2, 1]));
        assert!(
            train.samples.is_sorted_by_key(|s| s.location.path())
                && val.samples.is_sorted_by_key(|s| s.location.path())
        );
        let mut both = [train.samples, val.samples.clone()].concat();
        both.sort_by_cached_key(|sample| sample.location.path());
        assert_eq!(both, whole.samples);
        // The choice is spread over all names, not concentrated at the beginning or the end.
        let middle = val.samples[..20].iter().filter(|s| s.location.path() < Path::new("/set/class0/0050.jpg")).count();
        assert!((4..=16).contains(&middle), "{middle} of 20 in the first half");
    }

    #[test]
    fn the_choice_survives_additions_and_a_move() {
        let before = held_out(folder(&[100, 100]), 0.1);
        let after = held_out(folder(&[110, 100]), 0.1);
        assert_eq!((before.len(), after.len()), (20, 21));
        assert!(before.intersection(&after).count() >= 17, "{before:?} {after:?}");

        let mut moved = folder(&[100, 100]);
        moved.path = "/elsewhere".into();
        for sample in &mut moved.samples {
            let path = sample.location.path();
            sample.location = PathBuf::from("/elsewhere").join(path.strip_prefix("/set").unwrap()).into();
        }
        let moved = held_out(moved, 0.1);
        let names = |set: BTreeSet<PathBuf>, root| -> Vec<_> {
            set.iter().map(|path| path.strip_prefix(root).unwrap().to_owned()).collect()
        };
        assert_eq!(names(before, "/set"), names(moved, "/elsewhere"));
    }

    #[test]
    fn errors_name_their_reason() {
        let message = |counts, fraction| folder(counts).hold_out(fraction).unwrap_err().to_string();
        assert_eq!(
            message(&[5, 1], 0.2),
            "class `class1` has 1 image, at least 2 are needed to hold one out for validation"
        );
        assert!(message(&[5, 5], 1.0).contains("fraction to hold out is 1"));
        assert!(message(&[5, 5], f64::NAN).contains("fraction to hold out is NaN"));
    }
}
