use super::*;
use crate::cases::*;
use candle_core::Device;

/// Bytes, the parameters of three images, and a mean image larger than they are.
fn batch() -> (Vec<u8>, Vec<f32>, Vec<f32>) {
    let bytes = uniform("bytes", 0, 3 * 5 * 7 * 3).iter().map(|v| ((v + 1.0) * 127.5) as u8).collect();
    let mut numbers = Vec::new();
    for (image, at) in [[0.0, 0.0], [2.0, 1.0], [1.0, 3.0]].into_iter().enumerate() {
        let draws = uniform("numbers", image as u32, 7);
        numbers.extend(draws[..6].iter().map(|v| v * 3.0));
        numbers.push(1.0 + draws[6].abs());
        numbers.extend(at);
        numbers.extend([f32::from(image != 0), f32::from(image == 2)]);
    }
    (bytes, numbers, uniform("mean", 0, 3 * 8 * 9).iter().map(|v| v * 100.0).collect())
}

#[test]
fn every_backend_gives_the_bits_of_the_reference() {
    let (x, numbers, mean) = batch();
    for channels in [[0, 1, 2], [2, 1, 0]] {
        for with_mean in [false, true] {
            let expected =
                reference::normalize(&x, [3, 5, 7], &numbers, channels, with_mean.then_some((&mean, [8, 9])));
            for_each_backend(|backend| {
                let (numbers, mean) = (tensor(&numbers, &[3, NUMBERS]), tensor(&mean, &[3, 8, 9]));
                let x = Tensor::from_slice(&x, (3, 5, 7, 3), numbers.device()).unwrap();
                let y = zeros(&[3, 5, 7, 3]);
                let params = PixelsParams { channels, mean: with_mean.then_some(&mean) };
                normalize_into(&x, &numbers, &params, &y).unwrap();
                assert_same_bits(&format!("{backend}, {channels:?}"), &values(&y), &expected);
            });
        }
    }
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let (x, numbers, mean) = batch();
    let x = Tensor::from_slice(&x, (3, 5, 7, 3), &Device::Cpu).unwrap();
    let (mut far, y) = (numbers.clone(), zeros(&[3, 5, 7, 3]));
    far[NUMBERS + 8] = 4.0;
    let message = |numbers: &[f32], channels, mean: Option<&Tensor>| {
        let numbers = tensor(numbers, &[numbers.len() / NUMBERS, NUMBERS]);
        normalize_into(&x, &numbers, &PixelsParams { channels, mean }, &y).unwrap_err().to_string()
    };
    let mean = tensor(&mean, &[3, 8, 9]);
    let found = message(&far, [0, 1, 2], Some(&mean));
    assert!(found.contains("within the mean image of 8×9, but image 1 has 5×7 pixels from (4, 2) on"), "{found}");
    assert!(message(&numbers[..NUMBERS], [0, 1, 2], None).contains("numbers must be [3, 11]"));
    assert!(message(&numbers, [0, 1, 3], None).contains("[0, 1, 3]"));
    assert!(message(&numbers, [0, 1, 2], Some(&zeros(&[3, 4, 9]))).contains("5 or more"));
}
