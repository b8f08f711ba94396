//! The arguments for data augmentation.

use alexnet_data::{ColorJitter, RandomErasing};
use alexnet_train::TrainConfig;
use clap::ValueEnum;

/// A run's config.toml has further settings: ranges, the fill of erased rectangles, no flips.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Augmentation")]
pub struct AugmentArgs {
    /// Crop of the training images [default: square; resized for alexnet-torchvision].
    #[arg(long, value_name = "CROP")]
    crop: Option<CropKind>,

    /// Strength of the paper's color noise, in units of the data set's standard deviations; 0 turns it off [default: 0.1; 0
    /// for alexnet-torchvision].
    #[arg(long, alias = "colour-noise", value_name = "STRENGTH")]
    color_noise: Option<f32>,

    /// Color jitter: the maximum random change of brightness, contrast, saturation and hue, such as 0.4,0.4,0.4,0.1
    /// [default: none].
    #[arg(long, alias = "colour-jitter", value_name = "B,C,S,H", value_parser = color_jitter)]
    color_jitter: Option<ColorJitter>,

    /// Random erasing: the probability that a rectangle of an image is erased, from 0 to 1 [default: 0].
    #[arg(long, value_name = "PROBABILITY")]
    random_erasing: Option<f32>,

    /// Alpha of mixup, which blends neighbors in a batch and their labels, such as 0.2; 0 turns it off [default: 0].
    #[arg(long, value_name = "ALPHA")]
    mixup: Option<f32>,

    /// Alpha of CutMix, which exchanges rectangles between neighbors in a batch and mixes their labels, such as 1; together
    /// with --mixup, each is applied to half of the batches; 0 turns it off [default: 0].
    #[arg(long, value_name = "ALPHA")]
    cutmix: Option<f32>,

    /// Label smoothing: the share of each label that is spread evenly over all classes, such as 0.1 [default: 0].
    #[arg(long, value_name = "SHARE")]
    label_smoothing: Option<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CropKind {
    /// Center crop, as in evaluation.
    #[value(alias = "centre")]
    Center,
    /// Random crop of the image's central square, as in the paper.
    Square,
    /// Crop of random size and aspect ratio from the whole image: torchvision's RandomResizedCrop.
    Resized,
}

fn color_jitter(text: &str) -> Result<ColorJitter, String> {
    let numbers: Vec<f32> = text.split(',').map_while(|number| number.trim().parse().ok()).collect();
    match numbers.as_slice() {
        &[brightness, contrast, saturation, hue] if text.split(',').count() == 4 => {
            Ok(ColorJitter { brightness, contrast, saturation, hue })
        }
        _ => Err("it must be four numbers with commas between them: brightness, contrast, saturation, hue".into()),
    }
}

impl AugmentArgs {
    pub fn apply(&self, config: &mut TrainConfig) {
        let data = &mut config.data;
        if let Some(kind) = self.crop {
            data.random_crop = kind != CropKind::Center;
            // Keeps the ranges of a configuration file.
            let rule = data.random_resized_crop.unwrap_or_default();
            data.random_resized_crop = (kind == CropKind::Resized).then_some(rule);
        }
        if let Some(strength) = self.color_noise {
            data.color_noise = strength;
        }
        if let Some(jitter) = self.color_jitter {
            data.color_jitter = (jitter != ColorJitter::default()).then_some(jitter);
        }
        if let Some(probability) = self.random_erasing {
            let rule = data.random_erasing.unwrap_or(RandomErasing::new(0.0));
            data.random_erasing = (probability != 0.0).then_some(RandomErasing { probability, ..rule });
        }
        for (value, option) in [(&mut data.mixup, self.mixup), (&mut data.cutmix, self.cutmix)] {
            if let Some(alpha) = option {
                *value = (alpha != 0.0).then_some(alpha);
            }
        }
        if let Some(share) = self.label_smoothing {
            config.label_smoothing = share;
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use alexnet_data::RandomResizedCrop;

    use super::*;

    fn applied(line: &str, arch: &str) -> TrainConfig {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            augment: AugmentArgs,
        }
        let mut config = TrainConfig::recipe(arch, "photos".into());
        let line = Line::try_parse_from(std::iter::once("x").chain(line.split_whitespace())).unwrap();
        line.augment.apply(&mut config);
        config.validate().unwrap();
        config
    }

    #[test]
    fn options_change_the_augmentation() {
        let plain = TrainConfig::recipe("alexnet", "photos".into());
        assert_eq!(applied("", "alexnet"), plain);
        let line = "--crop resized --color-noise 0 --color-jitter 0.4,0.3,0.2,0.1 --random-erasing 0.25 --mixup 0.2 \
                    --cutmix 1 --label-smoothing 0.1";
        let mut expected = plain;
        expected.data.random_resized_crop = Some(RandomResizedCrop::default());
        expected.data.color_noise = 0.0;
        expected.data.color_jitter = Some(ColorJitter { brightness: 0.4, contrast: 0.3, saturation: 0.2, hue: 0.1 });
        expected.data.random_erasing = Some(RandomErasing::new(0.25));
        (expected.data.mixup, expected.data.cutmix, expected.label_smoothing) = (Some(0.2), Some(1.0), 0.1);
        assert_eq!(applied(line, "alexnet"), expected);
    }

    #[test]
    fn everything_can_be_turned_off() {
        let data =
            applied("--crop center --mixup 0 --color-jitter 0,0,0,0 --random-erasing 0", "alexnet-torchvision").data;
        assert_eq!((data.random_crop, data.random_resized_crop), (false, None));
        assert_eq!((data.mixup, data.color_jitter, data.random_erasing), (None, None, None));
        let data = applied("--crop square", "alexnet-torchvision").data;
        assert_eq!((data.random_crop, data.random_resized_crop), (true, None));
    }

    #[test]
    fn old_spellings_are_understood() {
        let line = "--crop center --color-noise 0.2 --color-jitter 0.1,0,0,0";
        let old = line.replace("color", "colour").replace("center", "centre");
        assert_ne!(applied(line, "alexnet"), TrainConfig::recipe("alexnet", "photos".into()));
        assert_eq!(applied(&old, "alexnet"), applied(line, "alexnet"));
    }

    #[test]
    fn jitter_needs_four_numbers() {
        for text in ["", "1", "1,2,3", "1,2,3,4,5", "1,2,3,x", "1,,2,3"] {
            assert!(color_jitter(text).is_err(), "{text}");
        }
    }
}
