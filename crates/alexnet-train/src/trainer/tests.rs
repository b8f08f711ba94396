use std::sync::Mutex;

use alexnet_data::shapes::{self, ShapesConfig};
use alexnet_testing::skip;

use super::*;

/// The losses of the steps, in their order, and that of validating.
fn losses(folder: &std::path::Path, device: &Device) -> Vec<f64> {
    let config =
        TrainConfig { epochs: 1, batch_size: 4, ..TrainConfig::recipe("alexnet-torchvision", folder.join("shapes")) };
    let run = tempfile::tempdir_in(folder).unwrap();
    let run = RunDir::create(&run.path().join("run"), &config).unwrap();
    let seen = Mutex::new(Vec::new());
    let show = |event: Event<'_>| {
        if let Event::Step { record, done, .. } = event {
            let mut seen = seen.lock().unwrap();
            seen.push(record.loss);
            assert_eq!(done, [seen.len(), 3]);
            assert_eq!(record.step, seen.len() as u64);
        }
    };
    let mut trainer = Trainer::new(config, run, device, 2, &show).unwrap();
    let outcome = trainer.run(&AtomicBool::new(false), &show).unwrap();
    let mut losses = seen.into_inner().unwrap();
    losses.push(outcome.last.unwrap().val_loss);
    losses
}

/// A GPU's images come as bytes, one batch ahead, and its losses are looked at a step later.
#[test]
fn a_gpu_trains_as_the_processor_does() {
    let device = match alexnet_kernels::cuda_device(0) {
        Ok(device) => device,
        Err(error) => return skip("cuda", &error.to_string()),
    };
    let folder = tempfile::tempdir().unwrap();
    let config = ShapesConfig { train: 10, val: 10, ..Default::default() };
    shapes::prepare(&folder.path().join("shapes"), &config, 2, &|_, _| {}).unwrap();
    let [processor, gpu] = [Device::Cpu, device].map(|device| losses(folder.path(), &device));
    // Three steps, the last with two images.
    assert_eq!((processor.len(), gpu.len()), (4, 4));
    for (a, b) in processor.iter().zip(&gpu) {
        assert!((a - b).abs() < 1e-3 * a.abs(), "{processor:?} and {gpu:?}");
    }
}
