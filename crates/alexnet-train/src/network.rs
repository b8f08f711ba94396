//! The network of a run: the name of a variant or a custom specification.

use std::path::Path;

use alexnet_model::{InputSpec, Specification, build};

use crate::config::{TrainConfig, read_toml};
use crate::error::{Error, Result};

impl TrainConfig {
    /// The network for a number of classes.
    ///
    /// # Errors
    /// An unknown variant; [`Error::Config`] for a `network` with a different number of classes.
    pub fn specification(&self, classes: usize) -> Result<Specification> {
        match &self.network {
            None => Ok(build(&self.arch, classes)?),
            Some(network) if network.classes() == classes => Ok(network.clone()),
            Some(network) => Err(Error::Config {
                what: "the number of classes of the network".into(),
                found: network.classes().to_string(),
                rule: format!("the images have {classes}: set `out_features` of its last layer to that"),
            }),
        }
    }

    /// The preprocessing the network expects, which does not depend on the number of classes.
    ///
    /// # Errors
    /// An unknown variant.
    pub fn input_spec(&self) -> Result<InputSpec> {
        Ok(match &self.network {
            Some(network) => network.input_spec().clone(),
            None => build(&self.arch, 2)?.input_spec().clone(),
        })
    }

    /// Rejects a custom network whose input is not an image of the size in its input_spec.
    pub(crate) fn validate_network(&self) -> Result<()> {
        let Some(network) = &self.network else { return Ok(()) };
        let wrong = |what: &str, found: String, rule: String| Err(Error::Config { what: what.into(), found, rule });
        if network.arch() != self.arch {
            return wrong("arch", format!("{:?}", self.arch), format!("the network's is {:?}", network.arch()));
        }
        let (found, size) = (network.input_size(), network.input_spec().size);
        if found != [3, size, size] {
            let rule = format!("it must have three channels and the size in its input_spec, {size}");
            return wrong("the network's input", format!("{found:?}"), rule);
        }
        Ok(())
    }
}

/// Reads a network specification in the format of [`write_network`].
///
/// # Errors
/// [`Error::Io`], or [`Error::ConfigFile`] for an invalid network, with the line if known.
pub fn read_network(path: &Path) -> Result<Specification> {
    read_toml(path)
}

/// Converts a network specification to TOML, the inverse of [`read_network`].
///
/// # Errors
/// [`Error::Config`] for a number that TOML cannot represent.
pub fn write_network(network: &Specification) -> Result<String> {
    let wrong = |error: toml::ser::Error| Error::Config {
        what: "the network".into(),
        found: network.arch().into(),
        rule: format!("it cannot be written as TOML: {error}"),
    };
    toml::to_string(network).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alexnet_model::{Flatten, Input, Layer, Linear};

    fn small(classes: usize) -> Specification {
        let layers = vec![
            Layer::new("data", Input { channels: 3, size: [8, 8] }),
            Layer::new("flat", Flatten),
            Layer::new("fc1", Linear::new(5, 0.1, 0.0)),
            Layer::new("fc2", Linear::new(classes, 0.1, 0.0)),
        ];
        let input = InputSpec { size: 8, source_size: 9, ..InputSpec::ALEXNET_2012 };
        Specification::new("small", input, layers).unwrap()
    }

    fn config() -> TrainConfig {
        TrainConfig { network: Some(small(4)), ..TrainConfig::recipe("small", "data".into()) }
    }

    #[test]
    fn a_list_is_read_as_it_was_written_alone_and_in_a_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.toml");
        std::fs::write(&path, write_network(&small(4)).unwrap()).unwrap();
        assert_eq!(read_network(&path).unwrap(), small(4));
        let config = config();
        config.validate().unwrap();
        std::fs::write(&path, config.to_toml()).unwrap();
        assert_eq!(TrainConfig::read(&path).unwrap(), config);
        let other = TrainConfig { network: Some(small(5)), ..config.clone() };
        assert_eq!(config.difference(&config), None);
        assert_eq!(config.difference(&other).unwrap().0, "network.layers");
        // Functions that use layer names use those of the custom network.
        let tuned = config.fine_tuning("weights".into()).unwrap().freeze(1).unwrap();
        let of: Vec<&str> = tuned.solver.exceptions.iter().map(|exception| exception.of.as_str()).collect();
        assert_eq!((of, tuned.solver.freeze), (vec!["fc2"], 1));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let config = config();
        assert_eq!((config.specification(4).unwrap(), config.input_spec().unwrap().size), (small(4), 8));
        let message = config.specification(5).unwrap_err().to_string();
        assert!(message.contains("is 4, but the images have 5: set `out_features`"), "{message}");
        let renamed = TrainConfig { arch: "large".into(), ..config.clone() };
        assert!(
            renamed.validate().unwrap_err().to_string().contains("arch is \"large\", but the network's is \"small\"")
        );
        let input = InputSpec { size: 9, ..small(4).input_spec().clone() };
        let wrong = Specification::new("small", input, small(4).layers().to_vec()).unwrap();
        let message = TrainConfig { network: Some(wrong), ..config }.validate().unwrap_err().to_string();
        assert!(message.contains("the network's input is [3, 8, 8]"), "{message}");

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.toml");
        let text = write_network(&small(4)).unwrap();
        std::fs::write(&path, text.replacen("out_features = 5", "out_features = 0", 1)).unwrap();
        let message = read_network(&path).unwrap_err().to_string();
        assert!(
            message.contains("net.toml") && message.contains("\"fc1\": out_features must be at least 1"),
            "{message}"
        );
    }
}
