//! The data set formats, and their detection.

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
    /// Opens the data set `root` and detects its format: the output of `cargo xtask prepare-imagenet`; folders `train` and
    /// `val` (or `valid`; optional) that contain shards (`.tar` files) or class folders; a folder of shards or class
    /// folders; or a single shard. With the feature `parquet`, also Parquet files in the layout of the Hugging Face Hub, in
    /// the folder or a subfolder, or a single Parquet file. If there are no validation images, some of the training images
    /// can be [held out](Split::hold_out).
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
    /// Opens the images in `root` for evaluation: the validation split of a data set, with or without training images, or
    /// all images of a set without splits. The second value is whether they are a validation split.
    ///
    /// # Errors
    /// Those of [`Dataset::open`] except [`Error::NoTrain`].
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
