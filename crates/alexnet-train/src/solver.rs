//! The solver: SGD with momentum and per-parameter rates.

use alexnet_kernels::linear::update_weight;
use alexnet_kernels::sgd::{SgdParams, update_with_copy};
use alexnet_model::{Gradient, Network, ParameterSpec, Role};
use candle_core::Tensor;

use crate::config::{SolverConfig, SolverException};
use crate::error::{Error, Result};

/// SGD with momentum: the velocities of all parameters and the factors for their rates.
#[derive(Debug)]
pub struct Solver {
    config: SolverConfig,
    /// `None` for a buffer, which is not updated.
    velocities: Vec<Option<Tensor>>,
    /// Layer name, parameter name and role of each parameter.
    names: Vec<(String, String, Role)>,
    /// The factors of the current epoch.
    factors: Vec<Factors>,
}

/// The schedules' factors for one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Factor for weights.
    pub weight: f64,
    /// Factor for biases.
    pub bias: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Factors {
    learning_rate: f64,
    weight_decay: f64,
    role: Role,
}

impl Solver {
    /// A solver with zero velocities, for the first epoch.
    ///
    /// # Errors
    /// [`Error::Config`] for an exception that matches no layer or parameter, and for an epoch in which all parameters
    /// would be frozen; a device that is out of memory.
    pub fn new(config: &SolverConfig, network: &Network) -> Result<Self> {
        let layer_of = |spec: &ParameterSpec| network.spec().layers()[spec.layer].name.clone();
        for exception in &config.exceptions {
            let trained = || network.parameters().iter().map(|p| &p.spec).filter(|spec| spec.role.is_trained());
            if !trained().any(|spec| exception.of == spec.name || exception.of == layer_of(spec)) {
                let names: Vec<&str> = trained().map(|spec| spec.name.as_str()).collect();
                return Err(Error::Config {
                    what: "solver.exceptions.of".into(),
                    found: format!("{:?}", exception.of),
                    rule: format!("it must be a layer or one of {}", names.join(", ")),
                });
            }
        }
        let names = network.parameters().iter().map(|p| (layer_of(&p.spec), p.spec.name.clone(), p.spec.role));
        let mut solver = Self {
            config: config.clone(),
            names: names.collect(),
            factors: Vec::new(),
            velocities: network
                .parameters()
                .iter()
                .map(|p| p.spec.role.is_trained().then(|| p.var.zeros_like()).transpose())
                .collect::<candle_core::Result<_>>()?,
        };
        for epoch in config.exceptions.iter().map(|exception| exception.from_epoch).chain([0]) {
            solver.start_epoch(epoch);
            if !(0..solver.factors.len()).any(|index| solver.learns(index)) {
                let (what, found) =
                    (format!("the learning rate of every layer in epoch {}", epoch.saturating_add(1)), "0".into());
                return Err(Error::Config { what, found, rule: "at least one layer must be trained".into() });
            }
        }
        Ok(solver)
    }

    /// Selects the exceptions that apply in an epoch, counted from 0.
    pub fn start_epoch(&mut self, epoch: u32) {
        let config = &self.config;
        let mut layers: Vec<&String> = self.names.iter().map(|(layer, ..)| layer).collect();
        layers.dedup();
        layers.truncate(config.freeze);
        let factors = |(layer, name, role): &(String, String, Role)| {
            let (mut learning_rate, mut weight_decay) = match role {
                Role::Weight => (1.0, 1.0),
                Role::Bias => (config.bias_learning_rate_factor, config.bias_weight_decay_factor),
                Role::Buffer => (0.0, 0.0),
            };
            let counts = |e: &&SolverException| e.from_epoch <= epoch && (e.of == *name || e.of == *layer);
            if let Some(exception) = config.exceptions.iter().rev().find(counts) {
                learning_rate *= exception.learning_rate_factor;
                weight_decay *= exception.weight_decay_factor;
            }
            if layers.contains(&layer) {
                learning_rate = 0.0;
            }
            Factors { learning_rate, weight_decay, role: *role }
        };
        self.factors = self.names.iter().map(factors).collect();
    }

    /// The velocities, one per parameter of the network; `None` for a buffer.
    pub fn velocities(&self) -> &[Option<Tensor>] {
        &self.velocities
    }

    /// Whether parameter `index` is updated in this epoch.
    pub fn learns(&self, index: usize) -> bool {
        self.factors[index].learning_rate > 0.0
    }

    /// The frozen layers: those with parameters, none of which is updated in this epoch.
    pub fn frozen(&self) -> Vec<&str> {
        let trained = self.names.iter().filter(|(.., role)| role.is_trained());
        let mut layers: Vec<&str> = trained.map(|(layer, ..)| layer.as_str()).collect();
        layers.dedup();
        let learns =
            |of: &str| self.names.iter().enumerate().any(|(index, (layer, ..))| layer == of && self.learns(index));
        layers.into_iter().filter(|layer| !learns(layer)).collect()
    }

    /// The learning rate of parameter `index`.
    pub fn learning_rate(&self, index: usize, rates: Rates) -> f64 {
        let Factors { learning_rate, role, .. } = self.factors[index];
        let scheduled = match role {
            Role::Weight => rates.weight,
            Role::Bias => rates.bias,
            Role::Buffer => 0.0,
        };
        self.config.learning_rate * learning_rate * scheduled
    }

    /// Updates parameter `index` of `network` from its gradient. A parameter with learning rate 0 is not changed: the
    /// 2012 code skips it, so neither weight decay nor momentum changes it. Buffers are not changed either.
    ///
    /// # Errors
    /// A gradient of the wrong shape.
    pub fn update<'a>(
        &self,
        network: &Network,
        index: usize,
        gradient: impl Into<Gradient<'a>>,
        rates: Rates,
    ) -> candle_core::Result<()> {
        let weight_decay = self.factors[index].weight_decay;
        let learning_rate = self.learning_rate(index, rates);
        let Some(velocity) = self.velocities[index].as_ref().filter(|_| learning_rate != 0.0) else {
            return Ok(());
        };
        let params = SgdParams {
            rule: self.config.rule.into(),
            learning_rate: learning_rate as f32,
            momentum: self.config.momentum as f32,
            weight_decay: (self.config.weight_decay * weight_decay) as f32,
        };
        let parameter = &network.parameters()[index];
        let weight = parameter.var.as_tensor();
        match gradient.into() {
            Gradient::Values(grad) => update_with_copy(weight, velocity, grad, &params, parameter.copy.as_ref()),
            Gradient::Product { x, grad_y } => update_weight(x, grad_y, weight, velocity, &params),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Rule, TrainConfig};
    use alexnet_model::{Flatten, Input, InputSpec, Layer, Linear, Specification};
    use candle_core::Device;

    fn network() -> Network {
        let layers = vec![
            Layer::new("data", Input { channels: 1, size: [1, 1] }),
            Layer::new("flat", Flatten),
            Layer::new("a", Linear::new(1, 0.0, 1.0)),
            Layer::new("b", Linear::new(1, 0.0, 1.0)),
        ];
        let spec = Specification::new("two", InputSpec::TORCHVISION, layers).unwrap();
        let network = Network::new(spec, 0, &[Device::Cpu]).unwrap();
        for parameter in network.parameters() {
            parameter.var.set(&parameter.var.ones_like().unwrap()).unwrap();
        }
        network
    }

    fn values(network: &Network) -> Vec<f64> {
        let value = |t: &Tensor| f64::from(t.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0]);
        network.parameters().iter().map(|parameter| value(&parameter.var)).collect()
    }

    fn run(config: &SolverConfig, rates: &[Rates]) -> Vec<f64> {
        let network = network();
        let solver = Solver::new(config, &network).unwrap();
        for &rates in rates {
            for index in 0..4 {
                let grad = (network.parameters()[index].var.ones_like().unwrap() * 0.5).unwrap();
                solver.update(&network, index, &grad, rates).unwrap();
            }
        }
        values(&network)
    }

    fn config(rule: Rule) -> SolverConfig {
        SolverConfig { rule, ..TrainConfig::recipe("alexnet", "data".into()).solver }
    }

    /// Weight 1, gradient 0.5, rate .01 three times, then .001 three times: the two rules give different results.
    #[test]
    fn both_rules_give_the_numbers_of_their_sources() {
        let rates: Vec<Rates> = [1.0, 1.0, 1.0, 0.1, 0.1, 0.1].map(|r| Rates { weight: r, bias: r }).to_vec();
        for (rule, expected) in [(Rule::Alexnet2012, 0.936033101759539), (Rule::Pytorch, 0.965806220747625)] {
            let weight = run(&config(rule), &rates)[0];
            assert!((weight - expected).abs() < 2e-7, "{rule:?}: {weight}, expected {expected}");
            let weight = run(&config(rule), &rates[..3])[0];
            assert!((weight - 0.971922070119875).abs() < 2e-7, "{rule:?}: {weight} after three steps");
        }
    }

    #[test]
    fn biases_move_twice_as_fast_and_do_not_decay() {
        let values = run(&config(Rule::Alexnet2012), &[Rates { weight: 1.0, bias: 1.0 }]);
        for (value, expected) in values.iter().zip([1.0 - 0.005 - 5e-6, 0.99, 1.0 - 0.005 - 5e-6, 0.99]) {
            assert!((value - expected).abs() < 1e-7, "{values:?}");
        }
        // Biases with a separate schedule.
        let values = run(&config(Rule::Alexnet2012), &[Rates { weight: 1.0, bias: 0.1 }]);
        assert!((values[1] - 0.999).abs() < 1e-7, "{values:?}");
    }

    #[test]
    fn exceptions_freeze_and_the_last_one_counts() {
        let exception = |of: &str, rate| SolverException::new(of, rate);
        let mut config = config(Rule::Alexnet2012);
        config.exceptions = vec![exception("a", 0.0), exception("b.bias", 10.0), exception("b.bias", 5.0)];
        let rates = Rates { weight: 1.0, bias: 1.0 };
        let values = run(&config, &[rates, rates]);
        assert_eq!(values[..2], [1.0, 1.0], "frozen: no decay, no momentum");
        let alone = run(&SolverConfig { exceptions: Vec::new(), ..config.clone() }, &[rates, rates]);
        assert_eq!(values[2], alone[2]);
        assert!((1.0 - values[3] - 5.0 * (1.0 - alone[3])).abs() < 1e-6, "{values:?} {alone:?}");

        let frozen = SolverConfig { freeze: 1, exceptions: vec![exception("a", 3.0)], ..config.clone() };
        let values = run(&frozen, &[rates, rates]);
        assert_eq!((&values[..2], &values[2..]), (&[1.0, 1.0][..], &alone[2..]), "freeze outranks exceptions");
        let message = Solver::new(&SolverConfig { freeze: 2, ..frozen }, &network()).unwrap_err().to_string();
        assert!(message.contains("every layer in epoch 1 is 0"), "{message}");

        config.exceptions = vec![exception("c", 0.0)];
        let message = Solver::new(&config, &network()).unwrap_err().to_string();
        assert!(message.contains("\"c\"") && message.contains("a.weight, a.bias"), "{message}");
    }

    /// The test marks the first weight as a buffer.
    #[test]
    fn buffers_are_left_alone() {
        let network = network();
        let mut solver = Solver::new(&config(Rule::Alexnet2012), &network).unwrap();
        (solver.names[0].2, solver.velocities[0]) = (Role::Buffer, None);
        solver.start_epoch(0);
        assert!(!solver.learns(0) && solver.learns(1) && solver.frozen().is_empty());
        let rates = Rates { weight: 1.0, bias: 1.0 };
        assert_eq!(solver.learning_rate(0, rates), 0.0);
        for index in 0..2 {
            let grad = network.parameters()[index].var.ones_like().unwrap();
            solver.update(&network, index, &grad, rates).unwrap();
        }
        let values = values(&network);
        assert!(values[0] == 1.0 && values[1] < 1.0, "{values:?}");
        // A layer with buffers only does not count as frozen.
        solver.names[1].2 = Role::Buffer;
        solver.start_epoch(0);
        assert!(solver.frozen().is_empty());
    }

    #[test]
    fn exceptions_begin_when_they_say() {
        let mut config = config(Rule::Alexnet2012);
        let from = |of: &str, rate, epoch| SolverException::new(of, rate).from_epoch(epoch);
        config.exceptions = vec![from("a", 0.5, 2), from("a", 0.0, 3), from("b.weight", 0.0, 1)];
        let network = network();
        let mut solver = Solver::new(&config, &network).unwrap();
        let rates = |solver: &Solver| solver.factors.iter().map(|f| f.learning_rate).collect::<Vec<_>>();
        for (epoch, expected) in
            [(0, [1., 2., 1., 2.]), (1, [1., 2., 0., 2.]), (2, [0.5, 1., 0., 2.]), (3, [0., 0., 0., 2.])]
        {
            solver.start_epoch(epoch);
            assert_eq!(rates(&solver), expected, "epoch {epoch}");
            assert_eq!([0, 1, 2, 3].map(|index| solver.learns(index)), expected.map(|rate| rate > 0.0));
            // The bias of b is still trained.
            assert_eq!(solver.frozen(), if epoch == 3 { &["a"][..] } else { &[] });
        }
        // A resumed run may start at any epoch.
        solver.start_epoch(1);
        assert_eq!(rates(&solver), [1., 2., 0., 2.]);
        config.exceptions.push(from("b", 0.0, 9));
        let message = Solver::new(&config, &network).unwrap_err().to_string();
        assert!(message.contains("every layer in epoch 10 is 0"), "{message}");
    }
}
