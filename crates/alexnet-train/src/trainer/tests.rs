use std::path::Path;
use std::sync::Mutex;

use alexnet_data::OnBadSample;
use alexnet_data::shapes::{self, ShapesConfig};
use alexnet_testing::skip;
use candle_core::Device;

use super::*;
use crate::config::SolverException;
use crate::schedule::Schedule;

/// The losses of all steps in order, and the outcome of training.
fn train(folder: &Path, batch_size: usize, device: &Device) -> (Vec<f64>, Result<Outcome>) {
    let mut config =
        TrainConfig { epochs: 1, batch_size, ..TrainConfig::recipe("alexnet-torchvision", folder.join("shapes")) };
    config.data.on_bad_sample = OnBadSample::Fail;
    let run = tempfile::tempdir_in(folder).unwrap();
    let run = RunDir::create(&run.path().join("run"), &config).unwrap();
    let seen = Mutex::new(Vec::new());
    let show = |event: &Event<'_>| {
        if let Event::Step { record, done, .. } = event {
            let done = *done;
            let mut seen = seen.lock().unwrap();
            seen.push(record.loss);
            assert_eq!(done, [seen.len(), 10usize.div_ceil(batch_size)]);
            assert_eq!(record.step, seen.len() as u64);
        }
    };
    let observers = Observers::none().with(show);
    let mut trainer = Trainer::new(config, run, device, 2, observers).unwrap();
    let outcome = trainer.run(&AtomicBool::new(false));
    drop(trainer);
    (seen.into_inner().unwrap(), outcome)
}

/// Ten training and ten validation images.
fn shapes_in(folder: &Path) {
    let config = ShapesConfig { train: 10, val: 10, ..Default::default() };
    shapes::prepare(&folder.join("shapes"), &config, 2, &|_, _| {}).unwrap();
}

fn gpu() -> Option<Device> {
    match alexnet_kernels::cuda_device(0) {
        Ok(device) => Some(device),
        Err(error) => {
            skip("cuda", &error.to_string());
            None
        }
    }
}

/// On a GPU, images are transferred as bytes, one batch ahead, and losses are read one step later.
#[test]
fn a_gpu_trains_as_the_processor_does() {
    let Some(device) = gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    shapes_in(folder.path());
    let [processor, gpu] = [Device::Cpu, device].map(|device| {
        let (mut losses, outcome) = train(folder.path(), 4, &device);
        losses.push(outcome.unwrap().last.unwrap().val_loss);
        losses
    });
    // Three steps, the last with two images.
    assert_eq!((processor.len(), gpu.len()), (4, 4));
    for (a, b) in processor.iter().zip(&gpu) {
        assert!((a - b).abs() < 1e-3 * a.abs(), "{processor:?} and {gpu:?}");
    }
}

/// If an error ends an epoch, the steps before it are still reported.
#[test]
fn an_image_that_ends_a_run_comes_after_the_steps_before_it() {
    let folder = tempfile::tempdir().unwrap();
    shapes_in(folder.path());
    let class =
        std::fs::read_dir(folder.path().join("shapes/train")).unwrap().flatten().map(|entry| entry.path()).min();
    let image = std::fs::read_dir(class.unwrap()).unwrap().flatten().next().unwrap().path();
    std::fs::write(&image, "no image").unwrap();
    let (steps, outcome) = train(folder.path(), 1, &Device::Cpu);
    let message = outcome.unwrap_err().to_string();
    assert!(message.contains(image.file_name().unwrap().to_str().unwrap()), "{message}");
    assert!(
        (1..10).contains(&steps.len()),
        "the image must be in the middle of the epoch, not after {} steps",
        steps.len()
    );
    let Some(device) = gpu() else { return };
    let (on_gpu, outcome) = train(folder.path(), 1, &device);
    assert_eq!((on_gpu.len(), outcome.unwrap_err().to_string()), (steps.len(), message));
}

/// Settings with a start epoch (end of the color noise, a frozen layer) change exactly at that epoch, both in a resumed
/// run and in an uninterrupted one.
#[test]
fn an_epoch_may_have_rules_of_its_own() {
    if alexnet_testing::cpu_only() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    shapes_in(folder.path());
    let recipe = TrainConfig::recipe("alexnet-paper", folder.path().join("shapes"));
    let mut config = TrainConfig { epochs: 2, batch_size: 4, schedule: Schedule::Constant, ..recipe };
    config.bias_schedule = None;
    config.solver.learning_rate = 0.001;
    let run = |name: &str, config: &TrainConfig, stop_after: usize| {
        let path = folder.path().join(name);
        let run = if path.exists() { RunDir::open(&path) } else { RunDir::create(&path, config) };
        let (stop, seen) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        let show = |event: &Event<'_>| {
            if let Event::Step { record, .. } = event {
                let mut seen = seen.lock().unwrap();
                seen.push(record.loss);
                stop.store(seen.len() >= stop_after, Ordering::Relaxed);
            }
        };
        let run = run.unwrap();
        let observers = Observers::of_run(&run, config).with(show);
        let mut trainer = Trainer::new(config.clone(), run, &Device::Cpu, 2, observers).unwrap();
        trainer.run(&stop).unwrap();
        let weights = |name: &str| -> Vec<f32> {
            trainer.model.network.parameter(name).unwrap().var.flatten_all().unwrap().to_vec1().unwrap()
        };
        let weights = ["conv1.weight", "conv1.bias", "fc8.weight"].map(weights);
        if name != "halves" {
            // A checkpoint and two models take 900 MB.
            std::fs::remove_dir_all(&path).unwrap();
        }
        let memory = trainer.model.network.pass_memory(4, alexnet_model::Mode::train(0, 0));
        drop(trainer);
        (seen.into_inner().unwrap(), weights, memory)
    };
    // Three steps per epoch.
    let (plain, _, whole) = run("plain", &config, 9);
    config.data.color_noise_epochs = Some(1);
    let (noiseless, ..) = run("noiseless", &config, 9);
    assert!(noiseless[..3] == plain[..3] && noiseless[3] != plain[3], "{noiseless:?} {plain:?}");
    config.solver.exceptions = vec![SolverException::new("conv1", 0.0).from_epoch(1)];
    let (frozen, after, part) = run("frozen", &config, 9);
    assert!(frozen[..4] == noiseless[..4] && frozen[5] != noiseless[5], "{frozen:?} {noiseless:?}");
    assert!(part < whole, "without conv1's gradient, {part} of {whole} bytes");
    let (_, before, _) = run("first epoch", &TrainConfig { epochs: 1, ..config.clone() }, 9);
    assert_eq!((after[..2] == before[..2], after[2] == before[2]), (true, false), "conv1 and fc8 after another epoch");

    let (mut halves, ..) = run("halves", &config, 5);
    assert_eq!(halves.len(), 5);
    let (rest, end, _) = run("halves", &config, 9);
    halves.extend(rest);
    assert!(halves == frozen && end == after, "{halves:?} {frozen:?}");
}

/// The hook sees every gradient of every step, and a plan of two devices trains like one.
#[test]
fn gradients_pass_the_hook_on_any_plan() {
    use alexnet_model::{Conv2d, Flatten, Input, Layer, Linear, Specification};

    if alexnet_testing::cpu_only() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    shapes_in(folder.path());
    let run = |name: &str, devices: Vec<Device>, hook: Option<Box<GradientHook>>| {
        let layers = vec![
            Layer::new("data", Input { channels: 3, size: [224; 2] }),
            Layer::new("conv", Conv2d::new(4, 11, 0.01, 0.0).stride(8)),
            Layer::new("flat", Flatten).on(devices.len() - 1),
            Layer::new("logits", Linear::new(10, 0.01, 0.0)).on(devices.len() - 1),
        ];
        let mut config = TrainConfig::recipe("alexnet-torchvision", folder.path().join("shapes"));
        let spec = alexnet_model::build("alexnet-torchvision", 10).unwrap().input_spec().clone();
        config.network = Some(Specification::new("alexnet-torchvision", spec, layers).unwrap());
        (config.epochs, config.batch_size) = (1, 4);
        let run = RunDir::create(&folder.path().join(name), &config).unwrap();
        let losses = Mutex::new(Vec::new());
        let observers = Observers::none().with(|event: &Event<'_>| {
            if let Event::Step { record, .. } = event {
                losses.lock().unwrap().push(record.loss);
            }
        });
        let mut trainer = Trainer::new(config, run, DevicePlan::of_layers(devices), 2, observers).unwrap();
        if let Some(hook) = hook {
            trainer.set_gradient_hook(hook);
        }
        let error = trainer.run(&AtomicBool::new(false)).err().map(|error| error.to_string());
        drop(trainer);
        (losses.into_inner().unwrap(), error)
    };
    let (plain, none) = run("plain", vec![Device::Cpu], None);
    assert_eq!((plain.len(), none), (3, None));
    let (sender, receiver) = std::sync::mpsc::channel();
    let count = move |parameter: &ParameterSpec, gradient: &Tensor| {
        assert_eq!(parameter.shape, gradient.dims());
        sender.send(parameter.name.clone()).unwrap();
        Ok(())
    };
    let (hooked, _) = run("hooked", vec![Device::Cpu, Device::Cpu], Some(Box::new(count)));
    assert_eq!(hooked, plain);
    let seen: Vec<String> = receiver.iter().collect();
    assert_eq!(seen.len(), 3 * 4);
    assert!(seen.iter().take(2).all(|name| name.starts_with("logits.")), "{seen:?}");
    let fail = |_: &ParameterSpec, _: &Tensor| {
        let rule = "it came too late".into();
        Err(Error::Config { what: "the gradient".into(), found: "old".into(), rule })
    };
    let (_, error) = run("failing", vec![Device::Cpu], Some(Box::new(fail)));
    assert!(error.unwrap().contains("it came too late"));
    let run = RunDir::open(&folder.path().join("plain")).unwrap();
    let config = TrainConfig::read(&run.config()).unwrap();
    let none = Trainer::new(config, run, DevicePlan::of_layers(Vec::new()), 2, Observers::none()).err();
    assert!(none.unwrap().to_string().contains("at least one"));
}
