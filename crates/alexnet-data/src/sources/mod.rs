//! The formats of data sets, and which of them a path is in.

pub(crate) mod folder;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;
pub mod shapes;
pub(crate) mod shards;

use std::path::Path;

use crate::{Dataset, Error, Labels, Split};

const TRAIN: &str = "train";
const VAL: [&str; 2] = ["val", "valid"];

impl Dataset {
    /// Opens `root` and finds out what it is: a data set that `cargo xtask prepare-imagenet` made; the folders `train` and
    /// `val` (or `valid`; it may be absent) with shards (`.tar` files) or class folders in them; the shards or class
    /// folders themselves; or a single shard. With the feature `parquet`, also Parquet files as the
    /// Hugging Face Hub has them, in a folder or one below it, or one such file. Where there are no validation images, some of the others can be
    /// [held out](Split::hold_out).
    ///
    /// # Errors
    /// Those of [`Split::open_folder`] and [`Shard::open`](crate::Shard::open); [`Error::NoTrain`],
    /// [`Error::ClassesDiffer`] and [`Error::Unfinished`].
    pub fn open(root: &Path) -> Result<Self, Error> {
        if root.join(shards::UNFINISHED).exists() {
            return Err(Error::Unfinished { path: root.to_owned() });
        }
        if let Some(set) = shards::open(root)? {
            return Ok(set);
        }
        #[cfg(feature = "parquet")]
        if let Some(set) = parquet::open(root)? {
            return Ok(set);
        }
        folder::require_folder(root)?;
        let train_path = root.join(TRAIN);
        let val = VAL.iter().find(|name| root.join(name).is_dir());
        let (train, val) = match (train_path.is_dir(), val) {
            (true, None) => (Split::open_folder(&train_path)?, None),
            (true, Some(val)) => (Split::open_folder(&train_path)?, Some(Split::open_folder(&root.join(val))?)),
            (false, Some(&val)) => return Err(Error::NoTrain { path: root.to_owned(), val: val.to_owned() }),
            (false, None) => (Split::open_folder(root)?, None),
        };
        if let Some(val) = &val {
            require_same_classes(&train, val)?;
        }
        let labels = Labels::read(root, train.classes.clone())?;
        Ok(Self { train, val, labels, statistics: None })
    }
}

impl Split {
    /// Opens what there is in `root` to measure with: the validation images of a data set, whether it has others or not,
    /// or all images of one that is not divided. Whether they are a validation split is the second value.
    ///
    /// # Errors
    /// Those of [`Dataset::open`] but [`Error::NoTrain`].
    pub fn open_validation(root: &Path) -> Result<(Self, bool), Error> {
        match Dataset::open(root) {
            Ok(Dataset { val: Some(val), .. }) => Ok((val, true)),
            Ok(set) => Ok((set.train, false)),
            Err(Error::NoTrain { path, val }) => {
                #[cfg(feature = "parquet")]
                if let Some(split) = parquet::open_validation(root)? {
                    return Ok((split, true));
                }
                let split = match shards::open_validation(&path.join(&val))? {
                    Some(split) => split,
                    None => Self::open_folder(&path.join(val))?,
                };
                Ok((split, true))
            }
            Err(error) => Err(error),
        }
    }
}

fn require_same_classes(train: &Split, val: &Split) -> Result<(), Error> {
    for (present, absent) in [(train, val), (val, train)] {
        if let Some(class) = present.classes.iter().find(|class| !absent.classes.contains(class)) {
            let (present, absent) = (present.path.clone(), absent.path.clone());
            return Err(Error::ClassesDiffer { class: class.clone(), present, absent });
        }
    }
    Ok(())
}
