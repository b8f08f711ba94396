//! Checkpoints: the complete state for a bit-exact resume.
//!
//! A checkpoint is a safetensors file with the parameters and buffers under their names, the velocities as
//! `velocity.{name}`, and the mean image as `input.mean` if the run started from pretrained weights, which may contain
//! a different one. The metadata contains the counters, the sums of the current epoch, the state of the schedules and
//! the configuration. Random numbers need no state: they are functions of the seed and the counters.

use std::collections::BTreeMap;
use std::path::Path;

use alexnet_model::{InputSpec, Model, Network, Parameter, write_safetensors};
use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::error::{Error, Result, io};
use crate::metrics::Metrics;
use crate::results::EpochRecord;
use crate::schedule::Plateau;
use crate::solver::Solver;

const FORMAT: &str = "alexnet-checkpoint 1";
const MEAN_IMAGE: &str = "input.mean";

/// The state of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Complete epochs.
    pub epoch: u32,
    /// Complete batches of the current epoch.
    pub batch: usize,
    /// Steps taken, over all epochs.
    pub step: u64,
    /// Training metrics of the current epoch.
    pub train: Metrics,
    /// Unreadable images in the current epoch.
    pub bad: usize,
    /// State of the weights' schedule.
    pub plateau: Plateau,
    /// State of the biases' schedule.
    pub bias_plateau: Plateau,
    /// Records of the complete epochs.
    pub epochs: Vec<EpochRecord>,
    /// Seconds of training and validation.
    pub seconds: f64,
    /// Seconds of training in the current epoch.
    pub epoch_seconds: f64,
    /// Seconds of `epoch_seconds` spent waiting for images.
    #[serde(default)]
    pub wait_seconds: f64,
    /// The learning rate of weights in the last step.
    pub learning_rate: f64,
    /// Number of images in the training and the validation split, which must be the same when the run is resumed.
    pub images: [usize; 2],
    /// The class names, which must be the same when the run is resumed.
    pub classes: Vec<String>,
}

impl State {
    /// The epoch with the best validation top-1 so far; the earliest in case of ties.
    pub fn best(&self) -> Option<&EpochRecord> {
        self.epochs.iter().reduce(|best, next| if next.val_top1 > best.val_top1 { next } else { best })
    }
}

/// Writes a checkpoint atomically.
pub(crate) fn save(path: &Path, model: &Model, solver: &Solver, state: &State, config: &TrainConfig) -> Result<()> {
    let mut tensors: Vec<(String, Tensor)> = entries(model.network.parameters(), solver.velocities()).collect();
    if let Some(mean) = model.mean_image.as_ref().filter(|_| config.weights.is_some()) {
        let side = model.network.spec().input_spec().source_size;
        tensors.push((MEAN_IMAGE.into(), Tensor::from_slice(mean, (3, side, side), &Device::Cpu)?));
    }
    let state = serde_json::to_string(state).map_err(|e| wrong(path, e.to_string()))?;
    let metadata = BTreeMap::from([
        ("format".into(), FORMAT.into()),
        ("state".into(), state),
        ("config".into(), config.to_toml()),
    ]);
    Ok(write_safetensors(path, &metadata, &tensors)?)
}

/// The tensors of a checkpoint, which share storage with the network and the solver: each parameter, followed by its
/// velocity if it has one.
fn entries<'a>(
    parameters: &'a [Parameter],
    velocities: &'a [Option<Tensor>],
) -> impl Iterator<Item = (String, Tensor)> + 'a {
    parameters.iter().zip(velocities).flat_map(|(parameter, velocity)| {
        let name = &parameter.spec.name;
        let velocity = velocity.iter().map(move |velocity| (format!("velocity.{name}"), velocity.clone()));
        [(name.clone(), parameter.var.as_tensor().clone())].into_iter().chain(velocity)
    })
}

/// The mean image in a checkpoint, `[3, source_size, source_size]`, if there is one.
pub(crate) fn mean_image(path: &Path, spec: &InputSpec) -> Result<Option<Vec<f32>>> {
    let bytes = std::fs::read(path).map_err(io(path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| wrong(path, format!("this is not a checkpoint: {e}")))?;
    let Ok(mean) = file.tensor(MEAN_IMAGE) else { return Ok(None) };
    let expected = [3, spec.source_size, spec.source_size];
    if mean.shape() != expected {
        return Err(wrong(path, format!("{MEAN_IMAGE} has shape {:?}, expected {expected:?}", mean.shape())));
    }
    Ok(Some(mean.load(&Device::Cpu)?.flatten_all()?.to_vec1()?))
}

/// Reads a checkpoint into the network and the solver.
///
/// # Errors
/// [`Error::Checkpoint`] if the file is damaged or for another network; [`Error::OtherConfig`] if it was written with a
/// configuration that differs from `config`.
pub(crate) fn load(path: &Path, network: &Network, solver: &Solver, config: &TrainConfig) -> Result<State> {
    let bytes = std::fs::read(path).map_err(io(path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| wrong(path, format!("this is not a checkpoint: {e}")))?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| wrong(path, e.to_string()))?;
    let metadata = metadata.metadata().clone().unwrap_or_default();
    let entry = |key: &str| metadata.get(key).ok_or_else(|| wrong(path, format!("its metadata has no {key:?}")));
    if entry("format")? != FORMAT {
        return Err(wrong(path, format!("its format is {:?}, expected {FORMAT:?}", entry("format")?)));
    }
    let saved: TrainConfig =
        toml::from_str(entry("config")?).map_err(|e| wrong(path, format!("its configuration: {e}")))?;
    if let Some((what, old, new)) = saved.difference(config) {
        return Err(Error::OtherConfig { path: path.into(), what, old, new });
    }
    let state = serde_json::from_str(entry("state")?).map_err(|e| wrong(path, format!("its state: {e}")))?;
    for (name, to) in entries(network.parameters(), solver.velocities()) {
        let from = file.tensor(&name).map_err(|e| wrong(path, format!("{name}: {e}")))?;
        if from.shape() != to.dims() {
            return Err(wrong(path, format!("{name} has shape {:?}, expected {:?}", from.shape(), to.dims())));
        }
        alexnet_kernels::add::scale_into(&from.load(to.device())?, 1.0, &to)?;
    }
    network.refresh_copies()?;
    Ok(state)
}

fn wrong(path: &Path, reason: String) -> Error {
    Error::Checkpoint { path: path.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alexnet_model::{Conv2d, Flatten, Init, Input, Layer, Linear, ParameterSpec, Role, Specification};
    use candle_core::Var;

    /// The model, solver and state stored in `golden/checkpoint-1.safetensors`. Its values increase in steps of 1/64,
    /// parameters first, then velocities.
    fn run() -> (Model, Solver, State, TrainConfig) {
        let layers = vec![
            Layer::new("data", Input { channels: 3, size: [4, 4] }),
            Layer::new("conv1", Conv2d::new(4, 3, 0.1, 0.5)),
            Layer::new("flatten", Flatten),
            Layer::new("fc2", Linear::new(2, 0.1, 0.0)),
        ];
        let input = InputSpec { size: 4, source_size: 5, ..InputSpec::ALEXNET_2012 };
        let spec = Specification::new("small", input, layers).unwrap();
        let network = Network::new(spec, 3, &[Device::Cpu]).unwrap();
        let config = TrainConfig { weights: Some("weights".into()), ..TrainConfig::recipe("alexnet", "data".into()) };
        let solver = Solver::new(&config.solver, &network).unwrap();
        let mean_image = Some((0..75).map(|i| i as f32 / 4.0).collect());
        let classes = vec!["cat".to_owned(), "dog \"quoted\"".to_owned()];
        let (mut plateau, mut train) = (Plateau::default(), Metrics::default());
        config.schedule.observe(0.5, &mut plateau);
        train.add(0.5, &[0.25, 0.75], 1);
        let state = State {
            epoch: 3,
            batch: 5,
            step: 17,
            train,
            bad: 2,
            plateau,
            seconds: 1.5,
            epoch_seconds: 0.25,
            wait_seconds: 0.125,
            learning_rate: 0.01,
            images: [40, 8],
            classes: classes.clone(),
            ..State::default()
        };
        (Model { network, classes, mean_image }, solver, state, config)
    }

    /// The tensors of all parameters, then of all velocities.
    fn tensors(model: &Model, solver: &Solver) -> Vec<Tensor> {
        let parameters = model.network.parameters().iter().map(|parameter| parameter.var.as_tensor().clone());
        parameters.chain(solver.velocities().iter().flatten().cloned()).collect()
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().and_then(|t| t.to_vec1()).unwrap()
    }

    /// The expected values of tensor `index`.
    fn counted(index: usize, like: &Tensor) -> Vec<f32> {
        (0..like.elem_count()).map(|i| (i + 1000 * index) as f32 / 64.0 - 20.0).collect()
    }

    #[test]
    fn a_buffer_is_kept_and_has_no_velocity() {
        let spec = |name: &str, role| {
            let (name, shape, init) = (format!("norm.{name}"), vec![1], Init::Constant(0.0));
            ParameterSpec { name, layer: 1, role, shape, fan_in: 1, init }
        };
        let tensor = |value: f32| Tensor::new(&[value], &Device::Cpu).unwrap();
        let parameters =
            [("weight", Role::Weight, 1.0), ("running_mean", Role::Buffer, 2.0)].map(|(name, role, value)| Parameter {
                spec: spec(name, role),
                var: Var::from_tensor(&tensor(value)).unwrap(),
                copy: None,
            });
        let velocities = [Some(tensor(3.0)), None];
        let all = entries(&parameters, &velocities).map(|(name, tensor)| (name, values(&tensor)[0]));
        let expected = [("norm.weight", 1.0), ("velocity.norm.weight", 3.0), ("norm.running_mean", 2.0)];
        assert_eq!(all.collect::<Vec<_>>(), expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn checkpoints_of_the_first_version_load() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/checkpoint-1.safetensors");
        let (model, solver, state, config) = run();
        assert_eq!(load(&path, &model.network, &solver, &config).unwrap(), state);
        for (index, tensor) in tensors(&model, &solver).iter().enumerate() {
            assert_eq!(values(tensor), counted(index, tensor));
        }
        assert_eq!(mean_image(&path, model.network.spec().input_spec()).unwrap(), model.mean_image);
        // Saving and loading it again gives the same state.
        let folder = tempfile::tempdir().unwrap();
        let again = folder.path().join("again.safetensors");
        save(&again, &model, &solver, &state, &config).unwrap();
        let (other, other_solver, ..) = run();
        assert_eq!(load(&again, &other.network, &other_solver, &config).unwrap(), state);
        for (a, b) in tensors(&model, &solver).iter().zip(tensors(&other, &other_solver)) {
            assert_eq!(values(a), values(&b));
        }
    }
}
