//! The specification, in `f64`.

/// Each row's loss, and the gradient of their mean with respect to the logits, for one label per row.
pub fn forward(logits: &[f32], labels: &[u32], classes: usize) -> (Vec<f32>, Vec<f32>) {
    let mut weights = vec![0.0; labels.len() * classes];
    for (row, &label) in weights.chunks_exact_mut(classes).zip(labels) {
        row[label as usize] = 1.0;
    }
    forward_weighted(logits, &weights, classes)
}

/// As [`forward`], with a weight for each class of each row.
pub fn forward_weighted(logits: &[f32], weights: &[f32], classes: usize) -> (Vec<f32>, Vec<f32>) {
    let n = (logits.len() / classes) as f64;
    let (mut losses, mut grad) = (Vec::new(), Vec::new());
    for (row, weights) in logits.chunks_exact(classes).zip(weights.chunks_exact(classes)) {
        let largest = row.iter().fold(f64::NEG_INFINITY, |m, &x| m.max(f64::from(x)));
        let sum: f64 = row.iter().map(|&x| (f64::from(x) - largest).exp()).sum();
        let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        let mut loss = 0.0;
        for (&x, &weight) in row.iter().zip(weights) {
            let (x, weight) = (f64::from(x), f64::from(weight));
            loss += weight * (sum.ln() + largest - x);
            grad.push((((x - largest).exp() / sum * total - weight) / n) as f32);
        }
        losses.push(loss as f32);
    }
    (losses, grad)
}
