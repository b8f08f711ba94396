//! The specification, in `f64`.

/// Each row's loss, and the gradient of their mean with respect to the logits.
pub fn forward(logits: &[f32], labels: &[u32], classes: usize) -> (Vec<f32>, Vec<f32>) {
    let n = labels.len() as f64;
    let (mut losses, mut grad) = (Vec::new(), Vec::new());
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        let largest = row.iter().fold(f64::NEG_INFINITY, |m, &x| m.max(f64::from(x)));
        let sum: f64 = row.iter().map(|&x| (f64::from(x) - largest).exp()).sum();
        losses.push((sum.ln() + largest - f64::from(row[label as usize])) as f32);
        for (class, &x) in row.iter().enumerate() {
            let p = (f64::from(x) - largest).exp() / sum;
            grad.push(((p - f64::from(u8::from(class == label as usize))) / n) as f32);
        }
    }
    (losses, grad)
}
