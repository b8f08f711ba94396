use super::*;
use crate::cases::*;
use alexnet_random::{Purpose, Stream};
use candle_core::{Device, Var};

#[test]
fn agrees_with_pytorch_in_every_way() -> Result<()> {
    let golden = golden();
    for case in cases("softmax_cross_entropy") {
        let (name, n, classes) = (case.name(), case.size("n"), case.size("classes"));
        let logits = case.scaled(0, n * classes);
        let mut stream = Stream::new(seed_of(name), Purpose::Synthetic, 0, 1);
        let labels: Vec<u32> = (0..n).map(|_| stream.next_u32() % classes as u32).collect();

        let (losses, grad) = reference::forward(&logits, &labels, classes);
        golden.assert(&format!("softmax_cross_entropy/{name}/losses"), &losses, 1e-6);
        golden.assert(&format!("softmax_cross_entropy/{name}/grad_logits"), &grad, 1e-6);

        let labels = Tensor::from_vec(labels, n, &Device::Cpu)?;
        let run = || {
            let empty = |dims: &[usize]| full(&vec![f32::NAN; dims.iter().product()], dims);
            let (out, grad_logits) = (empty(&[n]), empty(&[n, classes]));
            forward_into(
                &tensor(&logits, &[n, classes]),
                &labels.to_device(out.device()).unwrap(),
                &out,
                Some(&grad_logits),
            )
            .unwrap();
            assert_close(&format!("{name}: losses"), &values(&out), &losses, 1e-6);
            assert_close(&format!("{name}: gradient"), &values(&grad_logits), &grad, 2e-6);
            [values(&out), values(&grad_logits)].concat()
        };
        assert_thread_independent(name, run);
        for_each_device(|_| drop(run()));

        let logits = Var::from_tensor(&tensor(&logits, &[n, classes]))?;
        let loss = softmax_cross_entropy(&logits.t()?.contiguous()?.t()?, &labels)?;
        let mean = losses.iter().sum::<f32>() / n as f32;
        assert_close(&format!("{name}: loss"), &[loss.to_scalar()?], &[mean], 1e-6);
        let grads = (loss * 3.0)?.backward()?;
        let tripled: Vec<f32> = grad.iter().map(|g| g * 3.0).collect();
        assert_close(&format!("{name}: autograd"), &values(grads.get(&logits).unwrap()), &tripled, 2e-6);
    }
    Ok(())
}

/// Two labels mixed with weights 0.3 and 0.7, then smoothed by 0.1, as in mixup and label smoothing.
#[test]
fn weights_agree_with_pytorch_in_every_way() -> Result<()> {
    let golden = golden();
    for case in cases("softmax_cross_entropy") {
        let (name, n, classes) = (case.name(), case.size("n"), case.size("classes"));
        let logits = case.scaled(0, n * classes);
        let mut stream = Stream::new(seed_of(name), Purpose::Synthetic, 0, 1);
        let labels: Vec<usize> = (0..n).map(|_| stream.next_u32() as usize % classes).collect();
        let mut weights = vec![0.1 / classes as f32; n * classes];
        for row in 0..n {
            weights[row * classes + labels[row]] += 0.9 * 0.3;
            weights[row * classes + labels[(row + n - 1) % n]] += 0.9 * 0.7;
        }
        let (losses, grad) = reference::forward_weighted(&logits, &weights, classes);
        golden.assert(&format!("softmax_cross_entropy/{name}/mixed_losses"), &losses, 1e-6);
        golden.assert(&format!("softmax_cross_entropy/{name}/mixed_grad_logits"), &grad, 1e-6);

        let weights = tensor(&weights, &[n, classes]);
        let run = || {
            let empty = |dims: &[usize]| full(&vec![f32::NAN; dims.iter().product()], dims);
            let (out, grad_logits) = (empty(&[n]), empty(&[n, classes]));
            forward_into(
                &tensor(&logits, &[n, classes]),
                &weights.to_device(out.device()).unwrap(),
                &out,
                Some(&grad_logits),
            )
            .unwrap();
            assert_close(&format!("{name}: losses"), &values(&out), &losses, 1e-6);
            assert_close(&format!("{name}: gradient"), &values(&grad_logits), &grad, 2e-6);
            [values(&out), values(&grad_logits)].concat()
        };
        assert_thread_independent(name, run);
        for_each_device(|_| drop(run()));

        let logits = Var::from_tensor(&tensor(&logits, &[n, classes]))?;
        let loss = softmax_cross_entropy(&logits, &weights)?;
        let mean = losses.iter().sum::<f32>() / n as f32;
        assert_close(&format!("{name}: loss"), &[loss.to_scalar()?], &[mean], 1e-6);
        let grads = loss.backward()?;
        assert_close(&format!("{name}: autograd"), &values(grads.get(&logits).unwrap()), &grad, 2e-6);
    }
    Ok(())
}

#[test]
fn extreme_logits_stay_finite_and_nans_show() -> Result<()> {
    let labels = Tensor::new(&[0u32], &Device::Cpu)?;
    let loss = |logits: &[f32]| softmax_cross_entropy(&tensor(logits, &[1, 2]), &labels)?.to_scalar::<f32>();
    assert_eq!(loss(&[-3e38, 3e38])?, f32::INFINITY);
    assert_eq!(loss(&[3e38, -3e38])?, 0.0);
    assert_eq!(loss(&[1e30, 1e30])?, 2f32.ln());
    assert!(loss(&[f32::NAN, 1.0])?.is_nan() && loss(&[1.0, f32::NAN])?.is_nan());
    Ok(())
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let logits = zeros(&[2, 3]);
    let message = |labels: &[u32]| {
        let labels = Tensor::new(labels, &Device::Cpu).unwrap();
        softmax_cross_entropy(&logits, &labels).unwrap_err().to_string()
    };
    assert!(message(&[0, 3]).contains("label 3 of row 1 is not below the 3 classes"));
    assert!(message(&[0]).contains("labels must be [2], one per row of logits, or [2, 3]"), "{}", message(&[0]));
    let labels = Tensor::new(&[[0u32, 1, 2], [0, 1, 2]], &Device::Cpu).unwrap();
    let wrong = softmax_cross_entropy(&logits, &labels).unwrap_err().to_string();
    assert!(wrong.contains("labels must be f32, but is u32"), "{wrong}");
    let labels = zeros(&[2]);
    let wrong = softmax_cross_entropy(&logits, &labels).unwrap_err().to_string();
    assert!(wrong.contains("labels must be u32, but is f32"), "{wrong}");
    for_each_backend(|backend| {
        let (logits, losses) = (zeros(&[2, 3]), zeros(&[2]));
        let wrong = forward_into(&logits, &zeros(&[2]), &losses, None).unwrap_err().to_string();
        assert!(wrong.contains("labels must be u32, but is f32"), "{backend}: {wrong}");
    });
}
