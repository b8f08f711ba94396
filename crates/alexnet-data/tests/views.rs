//! The pipeline's output for images whose pixel values encode their positions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod pictures;

use std::sync::Arc;

use alexnet_data::{
    Augment, Centering, ChannelOrder, ColorNoise, ColorShift, Error, Mean, MeanImage, Pipeline, PixelRange, Preprocess,
    ResizeRule, Scratch, View, Views,
};

const SOURCE: u32 = 40;
const CROP: u32 = 32;
const PAPER: Preprocess = Preprocess::ALEXNET_2012;
const PLANE: usize = (CROP * CROP) as usize;

/// Unresized 40x40 squares, views of 32x32, unchanged bytes.
const PLAIN: Preprocess = Preprocess {
    resize: ResizeRule::None,
    source_size: SOURCE,
    crop_size: CROP,
    mean: Mean::None,
    ..Preprocess::ALEXNET_2012
};

/// Renders views of an image 44 wide and 41 high, with red = column, green = row, blue = 200.
fn render(preprocess: Preprocess, mean_image: Option<MeanImage>, views: &[View]) -> Vec<f32> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    pictures::write_png(&path, 44, 41, |x, y| [x as u8, y as u8, 200]);
    let pipeline = Pipeline::new(preprocess, Augment::NONE, mean_image.map(Arc::new)).unwrap();
    let mut output = vec![f32::NAN; views.len() * preprocess.view_len()];
    pipeline.load_into(&path.as_path().into(), views, &mut Scratch::default(), &mut output).unwrap();
    output
}

fn at(x: u32, y: u32, flip: bool) -> View {
    View { flip, ..View::at(x, y) }
}

/// Calls `check` with plane, row, column and value.
fn for_each(values: &[f32], mut check: impl FnMut(usize, usize, usize, f32)) {
    assert_eq!(values.len(), 3 * PLANE);
    for (i, &value) in values.iter().enumerate() {
        check(i / PLANE, i % PLANE / CROP as usize, i % CROP as usize, value);
    }
}

#[test]
fn a_view_is_cut_from_the_central_square() {
    for (x0, y0, flip) in [(0, 0, false), (8, 8, false), (3, 7, true), (4, 4, true)] {
        for_each(&render(PLAIN, None, &[at(x0, y0, flip)]), |c, y, x, value| {
            let x = if flip { CROP as usize - 1 - x } else { x };
            // The square starts at column (44 - 40) / 2 = 2, row (41 - 40) / 2 = 0.
            let expected = [2 + x0 as usize + x, y0 as usize + y, 200][c];
            assert_eq!(value, expected as f32, "{x0} {y0} {flip}: {c} {y} {x}");
        });
    }
    // With torchvision's rounding, half of a margin of 1 is also 0, half of 3 is 2.
    let offsets =
        [0, 1, 2, 3, 4, 5, 32].map(|margin| (Centering::Down.offset(margin), Centering::HalfToEven.offset(margin)));
    assert_eq!(offsets, [(0, 0), (0, 0), (1, 1), (1, 2), (2, 2), (2, 2), (16, 16)]);
}

#[test]
fn order_scale_mean_and_deviation() {
    let mean = [0.1, 0.2, 0.3];
    let std = [0.5, 0.25, 0.125];
    let rgb = Preprocess { scale: PixelRange::Unit, mean: Mean::Channels(mean), std, ..PLAIN };
    let view = [at(5, 6, false)];
    let values = render(rgb, None, &view);
    for_each(&values, |c, y, x, value| {
        let byte = [7 + x, 6 + y, 200][c] as f32;
        let expected = (byte / 255.0 - mean[c]) / std[c];
        assert!((value - expected).abs() < 2e-6, "{c} {y} {x}: {value} {expected}");
    });
    let bgr = render(Preprocess { channel_order: ChannelOrder::Bgr, ..rgb }, None, &view);
    let (red, rest) = values.split_at(PLANE);
    let (green, blue) = rest.split_at(PLANE);
    assert_eq!(bgr, [blue, green, red].concat());
}

#[test]
fn ten_views_come_in_the_order_of_2012() {
    let places = View::ten(32, Centering::Down).map(|view| (view.y, view.x, view.flip));
    let five = [(0, 0), (0, 32), (16, 16), (32, 0), (32, 32)];
    assert_eq!(places[..5], five.map(|(y, x)| (y, x, false)));
    assert_eq!(places[5..], five.map(|(y, x)| (y, x, true)));

    let pipeline = Pipeline::new(PLAIN, Augment::CROP_AND_FLIP, None).unwrap();
    let views = pipeline.views(Views::Ten, 1, 2, 3);
    let values = render(PLAIN, None, &views);
    let corners: Vec<_> = values.chunks(3 * PLANE).map(|view| (view[0], view[PLANE])).collect();
    let left = [(2., 0.), (10., 0.), (6., 4.), (2., 8.), (10., 8.)];
    // The first pixel of a flipped view is the last of the unflipped one.
    let right = left.map(|(x, y)| (x + 31.0, y));
    assert_eq!(corners, [left, right].concat());
    assert_eq!(pipeline.views(Views::Center, 1, 2, 3), [at(4, 4, false)]);
}

#[test]
fn crops_and_flips_are_uniform() {
    let n = 33 * 33 * 20;
    let mut places = vec![0_u32; 33 * 33];
    let mut flips = 0;
    for index in 0..n {
        let view = Augment::CROP_AND_FLIP.view(5, 1, index, &PAPER);
        places[(view.y * 33 + view.x) as usize] += 1;
        flips += u32::from(view.flip);
    }
    // Pearson's statistic has mean 1088 and standard deviation 46.6 for 1,089 equally likely positions; the tolerance is
    // five standard deviations.
    let chi_squared: f64 = places.iter().map(|&count| (f64::from(count) - 20.0).powi(2) / 20.0).sum();
    assert!((855.0..1321.0).contains(&chi_squared), "{chi_squared}");
    // Standard deviation 73.8.
    assert!(flips.abs_diff(n / 2) < 370, "{flips} of {n}");
}

#[test]
fn augmentations_are_independent_switches() {
    let noise = Some(ColorNoise::IMAGENET);
    let all = Augment { color_noise: noise, ..Augment::CROP_AND_FLIP };
    let view = |augment: Augment, epoch, index| augment.view(9, epoch, index, &PAPER);
    let mut different = 0;
    for index in 0..50 {
        let full = view(all, 3, index);
        assert_eq!(full, view(all, 3, index));
        assert_eq!(View { color_shift: None, ..full }, view(Augment::CROP_AND_FLIP, 3, index));
        assert_eq!(View { x: 16, y: 16, ..full }, view(Augment { random_crop: false, ..all }, 3, index));
        assert_eq!(View { flip: false, ..full }, view(Augment { flip: false, ..all }, 3, index));
        assert_eq!(view(Augment::NONE, 3, index), View::center(32, Centering::Down));
        different += u32::from((full.x, full.y) != (view(all, 4, index).x, view(all, 4, index).y));
    }
    assert!(different > 40, "{different} of 50 positions changed with the epoch");
}

#[test]
fn the_mean_image_lies_at_the_center_or_at_the_crop() {
    let mean_at = |c: usize, y: usize, x: usize| (1000 * c + 50 * y + x) as f32 / 8.0;
    let side = SOURCE as usize;
    let values = (0..3 * side * side).map(|i| mean_at(i / (side * side), i / side % side, i % side)).collect();
    let image = MeanImage { size: SOURCE, values };
    for mean in [Mean::CenterOfImage, Mean::Image] {
        for flip in [false, true] {
            let preprocess = Preprocess { mean, ..PLAIN };
            let view = [at(1, 7, flip)];
            let plain = render(PLAIN, None, &view);
            let difference: Vec<f32> =
                plain.iter().zip(render(preprocess, Some(image.clone()), &view)).map(|(a, b)| a - b).collect();
            for_each(&difference, |c, y, x, value| {
                let expected = match (mean == Mean::CenterOfImage, flip) {
                    (true, _) => mean_at(c, y + 4, x + 4),
                    (false, true) => mean_at(c, y + 7, 1 + 31 - x),
                    (false, false) => mean_at(c, y + 7, 1 + x),
                };
                assert_eq!(value, expected, "{mean:?} {flip}: {c} {y} {x}");
            });
        }
    }
    // Planes, scale and standard deviation are in the order of the output.
    let preprocess = Preprocess {
        channel_order: ChannelOrder::Bgr,
        scale: PixelRange::Unit,
        std: [0.5, 0.25, 0.125],
        mean: Mean::CenterOfImage,
        ..PLAIN
    };
    for_each(&render(preprocess, Some(image), &[at(0, 0, false)]), |c, y, x, value| {
        let byte = [2 + x, y, 200][2 - c] as f32;
        let expected = (byte - mean_at(2 - c, y + 4, x + 4)) / 255.0 / [0.125, 0.25, 0.5][c];
        assert!((value - expected).abs() < 1e-4, "{c} {y} {x}: {value} {expected}");
    });
}

#[test]
fn color_noise_follows_its_formula() {
    let shift = ColorShift { shift: [10.0, -20.0, 5.0], divisor: 1.1 };
    let view = [View { color_shift: Some(shift), ..at(0, 0, false) }];
    let mean = [120.0, 118.0, 104.0];
    for_each(&render(Preprocess { mean: Mean::Channels(mean), ..PLAIN }, None, &view), |c, y, x, value| {
        let byte = [2 + x, y, 200][c] as f32;
        let expected = (byte - mean[c] + shift.shift[c]) / 1.1;
        assert!((value - expected).abs() < 1e-4, "{c} {y} {x}: {value} {expected}");
    });
    // The mean image is divided, too.
    let side = SOURCE as usize;
    let image = MeanImage { size: SOURCE, values: vec![50.0; 3 * side * side] };
    let preprocess = Preprocess { mean: Mean::Image, ..PLAIN };
    for_each(&render(preprocess, Some(image), &view), |c, y, x, value| {
        let expected = ([2 + x, y, 200][c] as f32 - 50.0 + shift.shift[c]) / 1.1;
        assert!((value - expected).abs() < 1e-4, "{c} {y} {x}: {value} {expected}");
    });
    // The same in other units and another channel order.
    let torchvision = Preprocess {
        channel_order: ChannelOrder::Bgr,
        scale: PixelRange::Unit,
        mean: Mean::Channels([0.485, 0.456, 0.406]),
        std: [0.229, 0.224, 0.225],
        ..PLAIN
    };
    for_each(&render(torchvision, None, &view), |c, y, x, value| {
        let byte = [200, y, 2 + x][c] as f32;
        let (mean, std) = [(0.406, 0.225), (0.456, 0.224), (0.485, 0.229)][c];
        let expected = (byte / 255.0 - mean + shift.shift[2 - c] / 255.0) / std / 1.1;
        assert!((value - expected).abs() < 2e-6, "{c} {y} {x}: {value} {expected}");
    });
}

#[test]
fn color_noise_has_the_covariance_of_its_components() {
    let noise = ColorNoise::IMAGENET;
    let n = 40_000;
    let augment = Augment { color_noise: Some(noise), ..Augment::NONE };
    let shifts: Vec<[f32; 3]> = (0..n)
        .map(|index| {
            let shift = augment.view(1, 0, index, &PAPER).color_shift.unwrap();
            assert_eq!(shift.divisor, 1.1);
            shift.shift
        })
        .collect();
    for i in 0..3 {
        let mean = shifts.iter().map(|shift| f64::from(shift[i])).sum::<f64>() / f64::from(n);
        // The standard deviation of each shift is about 7.4, that of the mean 0.037.
        assert!(mean.abs() < 0.19, "channel {i}: {mean}");
        for j in 0..3 {
            let covariance = shifts.iter().map(|shift| f64::from(shift[i]) * f64::from(shift[j])).sum::<f64>();
            let covariance = covariance / f64::from(n);
            let expected: f64 = noise
                .std_devs
                .iter()
                .zip(noise.components)
                .map(|(&s, p)| (0.1 * f64::from(s)).powi(2) * f64::from(p[i]) * f64::from(p[j]))
                .sum();
            // About 50, with a relative standard deviation of √(2/n) = 0.7 %.
            assert!((covariance - expected).abs() < 0.04 * 55.0, "{i} {j}: {covariance} {expected}");
        }
    }
    // Along the first component 0.1 · 121.8 = 12.2 gray levels, not the 1,483 that eigenvalues would give.
    let along: f32 = shifts.iter().map(|s| (0..3).map(|c| s[c] * noise.components[0][c]).sum::<f32>().powi(2)).sum();
    let deviation = (along / n as f32).sqrt();
    assert!((deviation - 12.178).abs() < 0.22, "{deviation}");
}

#[test]
fn settings_are_checked() {
    let message = |preprocess, mean_image: Option<MeanImage>| {
        Pipeline::new(preprocess, Augment::NONE, mean_image.map(Arc::new)).unwrap_err().to_string()
    };
    let expected = "crop_size is 41, but it must be from 1 to source_size, 40";
    assert_eq!(message(Preprocess { crop_size: 41, ..PLAIN }, None), expected);
    assert!(message(Preprocess { crop_size: 0, ..PLAIN }, None).starts_with("crop_size is 0"));
    let warp = ResizeRule::Warp { width: 39, height: 100 };
    let expected = "shorter side after resizing is 39, but it must be at least source_size, 40";
    assert_eq!(message(Preprocess { resize: warp, ..PLAIN }, None), expected);
    assert!(message(Preprocess { std: [1.0, 0.0, 1.0], ..PLAIN }, None).starts_with("std is 0"));
    let nan = Mean::Channels([0.0, f32::NAN, 0.0]);
    assert!(message(Preprocess { mean: nan, ..PLAIN }, None).starts_with("mean is NaN"));
    let image = Mean::CenterOfImage;
    let expected = "mean is image, but the mean image of the training set must be given with it";
    assert_eq!(message(Preprocess { mean: image, ..PLAIN }, None), expected);
    let wrong = MeanImage { size: 32, values: vec![0.0; 3 * 32 * 32] };
    let expected = "size of the mean image is 32, but the preprocessing cuts squares of 40 pixels";
    assert_eq!(message(Preprocess { mean: image, ..PLAIN }, Some(wrong)), expected);
    for preset in [Preprocess::ALEXNET_2012, Preprocess::CAFFE, Preprocess::TORCHVISION] {
        preset.validate().unwrap();
    }
}

#[test]
fn small_images_are_named_with_both_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.png");
    pictures::write_png(&path, 100, 39, |_, _| [0; 3]);
    let pipeline = Pipeline::new(PLAIN, Augment::NONE, None).unwrap();
    let error = pipeline.load(&path, Views::Center).unwrap_err();
    assert!(matches!(error, Error::Sample { .. }));
    let expected = "100x39 pixels after resizing, smaller than the 40x40 to be cut from it";
    assert_eq!(error.to_string(), format!("{}: {expected}", path.display()));

    let error = pipeline.load(&folder.path().join("none.png"), Views::Center).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot read {}", folder.path().join("none.png").display())));
}

#[test]
fn outputs_and_views_must_fit() {
    let pipeline = Pipeline::new(PLAIN, Augment::NONE, None).unwrap();
    let mut output = vec![0.0; PLAIN.view_len()];
    let mut load = |view: View, length: usize| {
        let nowhere = std::path::Path::new("nowhere");
        pipeline
            .load_into(&nowhere.into(), &[view], &mut Scratch::default(), &mut output[..length])
            .unwrap_err()
            .to_string()
    };
    assert!(load(at(0, 0, false), 7).contains("length of the output is 7"));
    assert!(load(at(9, 0, false), 3 * PLANE).contains("view is at (9, 0)"));
    assert!(load(at(8, 8, false), 3 * PLANE).contains("cannot read nowhere"));
}

#[test]
fn settings_survive_json() {
    for preset in [Preprocess::ALEXNET_2012, Preprocess::CAFFE, Preprocess::TORCHVISION] {
        let text = serde_json::to_string(&preset).unwrap();
        assert_eq!(serde_json::from_str::<Preprocess>(&text).unwrap(), preset, "{text}");
        assert!(serde_json::from_str::<Preprocess>(&text.replace("\"std\"", "\"sdt\"")).is_err());
        let unknown = text.replacen('{', "{\"sharpen\":true,", 1);
        assert!(serde_json::from_str::<Preprocess>(&unknown).unwrap_err().to_string().contains("sharpen"));
    }
    let augment = Augment { color_noise: Some(ColorNoise::IMAGENET), ..Augment::CROP_AND_FLIP };
    let text = serde_json::to_string(&augment).unwrap();
    assert_eq!(serde_json::from_str::<Augment>(&text).unwrap(), augment);
    let expected = r#"{"shorter_side":{"size":256,"rounding":"nearest"}}"#;
    assert_eq!(serde_json::to_string(&Preprocess::ALEXNET_2012.resize).unwrap(), expected);
}

#[test]
fn resized_sizes_follow_their_sources() {
    use alexnet_data::SideRounding::{Down, Nearest};
    let size = |rounding, width, height| ResizeRule::ShorterSide { size: 256, rounding }.output_size(width, height);
    // 500 · 256 / 375 = 341.33, 97 · 256 / 61 = 407.08, 400 · 256 / 333 = 307.507, 5 · 256 / 2 = 640.
    assert_eq!((size(Down, 500, 375), size(Nearest, 500, 375)), ((341, 256), (341, 256)));
    assert_eq!((size(Down, 61, 97), size(Nearest, 61, 97)), ((256, 407), (256, 407)));
    assert_eq!((size(Down, 400, 333), size(Nearest, 400, 333)), ((307, 256), (308, 256)));
    assert_eq!((size(Down, 2, 5), size(Nearest, 1, 1)), ((256, 640), (256, 256)));
    // 3 · 1 / 2 = 1.5: a half goes up.
    let half = ResizeRule::ShorterSide { size: 1, rounding: Nearest };
    assert_eq!(half.output_size(3, 2), (2, 1));
    assert_eq!(ResizeRule::Warp { width: 5, height: 6 }.output_size(1, 2), (5, 6));
    assert_eq!(ResizeRule::None.output_size(1, 2), (1, 2));
}

/// Values serialized with the former spelling of the keys.
#[test]
fn old_spellings_are_read() {
    let preprocess = Preprocess::ALEXNET_2012;
    let now = serde_json::to_string(&preprocess).unwrap();
    let old = now.replace("\"centering\"", "\"centring\"").replace("center_of_image", "centre_of_image");
    assert!(now.contains("\"centering\":\"down\"") && now.contains("\"mean\":\"center_of_image\""), "{now}");
    assert!(old.contains("\"centring\"") && old.contains("\"centre_of_image\""), "{old}");
    assert_eq!(serde_json::from_str::<Preprocess>(&old).unwrap(), preprocess);

    let augment = Augment { color_noise: Some(ColorNoise::IMAGENET), ..Augment::CROP_AND_FLIP };
    let old = serde_json::to_string(&augment).unwrap().replace("color_", "colour_");
    assert!(old.contains("colour_noise") && old.contains("colour_jitter"), "{old}");
    assert_eq!(serde_json::from_str::<Augment>(&old).unwrap(), augment);
}
