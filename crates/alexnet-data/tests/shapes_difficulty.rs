//! The difficulty of the synthetic data set: the accuracy of a linear classifier and of the mean color.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::thread;

use alexnet_data::shapes::{ShapesConfig, ShapesSplit, render};

const CLASSES: usize = 10;
const SIDE: usize = 16;

/// A picture's 16x16 thumbnail (RGB, block means, centered at 0) followed by a 1, and its label.
fn thumbnail(split: ShapesSplit, index: u32, size: u32) -> (Vec<f64>, usize) {
    let (picture, label) = render(0, split, index, size);
    let cell = size as usize / SIDE;
    let mut features = vec![0.0; SIDE * SIDE * 3 + 1];
    for (i, pixel) in picture.pixels.chunks_exact(3).enumerate() {
        let (x, y) = (i % size as usize / cell, i / size as usize / cell);
        for (feature, &value) in features[(y * SIDE + x) * 3..].iter_mut().zip(pixel) {
            *feature += (f64::from(value) - 127.5) / 127.5 / (cell * cell) as f64;
        }
    }
    features[SIDE * SIDE * 3] = 1.0;
    (features, label as usize)
}

fn thumbnails(split: ShapesSplit, count: u32, size: u32) -> Vec<(Vec<f64>, usize)> {
    let half = |range: std::ops::Range<u32>| thread::spawn(move || range.map(|i| thumbnail(split, i, size)).collect());
    let halves = [half(0..count / 2), half(count / 2..count)];
    halves.into_iter().flat_map(|thread: thread::JoinHandle<Vec<_>>| thread.join().unwrap()).collect()
}

/// Ridge regression on one-hot classes, by Cholesky decomposition of the normal equations; returns the accuracy on `val`.
fn linear_accuracy(train: &[(Vec<f64>, usize)], val: &[(Vec<f64>, usize)], ridge: f64) -> f64 {
    let n = train[0].0.len();
    let mut matrix = vec![0.0; n * n];
    let mut weights = vec![[0.0; CLASSES]; n];
    for (features, label) in train {
        for (i, &a) in features.iter().enumerate() {
            for (sum, &b) in matrix[i * n..=i * n + i].iter_mut().zip(features) {
                *sum += a * b;
            }
            weights[i][*label] += a;
        }
    }
    for i in 0..n {
        matrix[i * n + i] += ridge;
    }
    for i in 0..n {
        let (above, row) = matrix.split_at_mut(i * n);
        for j in 0..=i {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            if j < i {
                row[j] = (row[j] - dot(&row[..j], &above[j * n..j * n + j])) / above[j * n + j];
            } else {
                row[i] = (row[i] - dot(&row[..i], &row[..i])).sqrt();
            }
        }
    }
    // Forward substitution L y = b, then back substitution Lᵀ x = y, for all classes at once.
    for i in 0..n {
        for j in 0..i {
            let (known, solving) = weights.split_at_mut(i);
            subtract(&mut solving[0], matrix[i * n + j], &known[j]);
        }
        weights[i] = weights[i].map(|value| value / matrix[i * n + i]);
    }
    for i in (0..n).rev() {
        for j in i + 1..n {
            let (solving, known) = weights.split_at_mut(j);
            subtract(&mut solving[i], matrix[j * n + i], &known[0]);
        }
        weights[i] = weights[i].map(|value| value / matrix[i * n + i]);
    }
    let output = |features: &[f64], class: usize| -> f64 {
        features.iter().zip(&weights).map(|(feature, weight)| feature * weight[class]).sum()
    };
    let right = val.iter().filter(|(features, label)| {
        let best = (0..CLASSES).max_by(|&a, &b| output(features, a).total_cmp(&output(features, b)));
        best == Some(*label)
    });
    right.count() as f64 / val.len() as f64
}

fn subtract(row: &mut [f64; CLASSES], factor: f64, other: &[f64; CLASSES]) {
    row.iter_mut().zip(other).for_each(|(value, other)| *value -= factor * other);
}

/// The three channel means, followed by a 1.
fn mean_color((features, label): &(Vec<f64>, usize)) -> (Vec<f64>, usize) {
    let mean = |c: usize| features[..SIDE * SIDE * 3].iter().skip(c).step_by(3).sum::<f64>() / (SIDE * SIDE) as f64;
    (vec![mean(0), mean(1), mean(2), 1.0], *label)
}

#[test]
fn linear_classifiers_do_not_get_far() {
    let ShapesConfig { train, val, size, .. } = ShapesConfig::default();
    let (train, val) = (thumbnails(ShapesSplit::Train, train, size), thumbnails(ShapesSplit::Val, val, size));
    // The best of several regularization strengths on the validation set: an upper bound for tuning.
    let pixels = [1.0, 10.0, 100.0, 1000.0].map(|ridge| linear_accuracy(&train, &val, ridge));
    let colors = |set: &[(Vec<f64>, usize)]| set.iter().map(mean_color).collect::<Vec<_>>();
    let color = linear_accuracy(&colors(&train), &colors(&val), 1e-6);
    println!("linear on 16x16 pixels: {pixels:.3?}, on the mean color: {color:.3}");
    let best = pixels.into_iter().fold(0.0, f64::max);
    assert!(best < 0.6 && best > 0.1, "{best}");
    // Chance is 0.1, with a standard deviation of 0.013 on 500 pictures.
    assert!(color < 0.2, "{color}");
}
