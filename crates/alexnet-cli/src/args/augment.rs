//! The arguments about what is done to training images.

use alexnet_data::{ColourJitter, RandomErasing};
use alexnet_train::TrainConfig;
use clap::ValueEnum;

/// A run's config.toml can say more than these: ranges, what erased rectangles are filled with, no flips.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Augmentation")]
pub struct AugmentArgs {
    /// Which part of a training image is shown [default: square; for torchvision's network, resized].
    #[arg(long, value_name = "WHICH")]
    crop: Option<CropKind>,

    /// Strength of the paper's colour noise, in units of the set's own standard deviations; 0 is none [default: 0.1,
    /// torchvision's 0].
    #[arg(long, value_name = "STRENGTH")]
    colour_noise: Option<f32>,

    /// Random brightness, contrast, saturation and hue, by so much at the most, such as 0.4,0.4,0.4,0.1 [default: none].
    #[arg(long, value_name = "B,C,S,H", value_parser = colour_jitter)]
    colour_jitter: Option<ColourJitter>,

    /// How many of the images lose a rectangle, 0 to 1 [default: 0].
    #[arg(long, value_name = "SHARE")]
    random_erasing: Option<f32>,

    /// Blend neighbours in a batch and their labels, by this alpha, such as 0.2 [default: 0, none].
    #[arg(long, value_name = "ALPHA")]
    mixup: Option<f32>,

    /// Exchange rectangles of neighbours in a batch and their labels, by this alpha, such as 1; together with --mixup,
    /// each has half of the batches [default: 0, none].
    #[arg(long, value_name = "ALPHA")]
    cutmix: Option<f32>,

    /// Share of each label that is spread evenly over all classes, such as 0.1 [default: 0].
    #[arg(long, value_name = "SHARE")]
    label_smoothing: Option<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CropKind {
    /// The centre, as in evaluation.
    Centre,
    /// A random place in the image's central square: the paper's.
    Square,
    /// A part of random size and proportions of the whole image: torchvision's RandomResizedCrop.
    Resized,
}

fn colour_jitter(text: &str) -> Result<ColourJitter, String> {
    let numbers: Vec<f32> = text.split(',').map_while(|number| number.trim().parse().ok()).collect();
    match numbers.as_slice() {
        &[brightness, contrast, saturation, hue] if text.split(',').count() == 4 => {
            Ok(ColourJitter { brightness, contrast, saturation, hue })
        }
        _ => Err("four numbers are needed, with commas between them: brightness, contrast, saturation, hue".into()),
    }
}

impl AugmentArgs {
    pub fn apply(&self, config: &mut TrainConfig) {
        let data = &mut config.data;
        if let Some(kind) = self.crop {
            data.random_crop = kind != CropKind::Centre;
            // The ranges that a configuration file gives stay.
            let rule = data.random_resized_crop.unwrap_or_default();
            data.random_resized_crop = (kind == CropKind::Resized).then_some(rule);
        }
        if let Some(strength) = self.colour_noise {
            data.colour_noise = strength;
        }
        if let Some(jitter) = self.colour_jitter {
            data.colour_jitter = (jitter != ColourJitter::default()).then_some(jitter);
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
        let line = "--crop resized --colour-noise 0 --colour-jitter 0.4,0.3,0.2,0.1 --random-erasing 0.25 --mixup 0.2 \
                    --cutmix 1 --label-smoothing 0.1";
        let mut expected = plain;
        expected.data.random_resized_crop = Some(RandomResizedCrop::default());
        expected.data.colour_noise = 0.0;
        expected.data.colour_jitter = Some(ColourJitter { brightness: 0.4, contrast: 0.3, saturation: 0.2, hue: 0.1 });
        expected.data.random_erasing = Some(RandomErasing::new(0.25));
        (expected.data.mixup, expected.data.cutmix, expected.label_smoothing) = (Some(0.2), Some(1.0), 0.1);
        assert_eq!(applied(line, "alexnet"), expected);
    }

    #[test]
    fn everything_can_be_turned_off() {
        let data =
            applied("--crop centre --mixup 0 --colour-jitter 0,0,0,0 --random-erasing 0", "alexnet-torchvision").data;
        assert_eq!((data.random_crop, data.random_resized_crop), (false, None));
        assert_eq!((data.mixup, data.colour_jitter, data.random_erasing), (None, None, None));
        let data = applied("--crop square", "alexnet-torchvision").data;
        assert_eq!((data.random_crop, data.random_resized_crop), (true, None));
    }

    #[test]
    fn jitter_needs_four_numbers() {
        for text in ["", "1", "1,2,3", "1,2,3,4,5", "1,2,3,x", "1,,2,3"] {
            assert!(colour_jitter(text).is_err(), "{text}");
        }
    }
}
