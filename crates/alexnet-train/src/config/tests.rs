use super::*;

#[test]
fn files_say_what_was_written() {
    for arch in ["alexnet", "alexnet-torchvision"] {
        let mut config = TrainConfig::recipe(arch, "some \"data\"".into());
        config.label_smoothing = 0.1;
        config.data.color_jitter = Some(ColorJitter { hue: 0.1, ..Default::default() });
        config.data.random_erasing = Some(RandomErasing::new(0.5));
        config.data.mixup = Some(0.2);
        config.data.shuffle_buffer = NonZeroU32::new(1000);
        config.solver.exceptions.push(SolverException::new("conv1", 0.0));
        config = config.manual_2012().unwrap();
        config.validate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, config.to_toml()).unwrap();
        assert_eq!(TrainConfig::read(&path).unwrap(), config);
        assert_eq!(config.difference(&config.clone()), None);
    }
}

/// Files with the old British spelling of keys.
#[test]
fn old_keys_are_read() {
    let mut config = TrainConfig::recipe("alexnet", "data".into());
    config.data.color_noise_epochs = Some(3);
    config.data.color_jitter = Some(ColorJitter { hue: 0.1, ..Default::default() });
    let old = config.to_toml().replace("color", "colour");
    assert_eq!(old.matches("colour_").count(), 3, "{old}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, old).unwrap();
    assert_eq!(TrainConfig::read(&path).unwrap(), config);
}

#[test]
fn unknown_keys_are_refused_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let text = TrainConfig::recipe("alexnet", "data".into()).to_toml().replace("momentum", "momentun");
    std::fs::write(&path, &text).unwrap();
    let message = TrainConfig::read(&path).unwrap_err().to_string();
    let line = 1 + text.lines().position(|line| line.starts_with("momentun")).unwrap();
    assert!(message.contains(&format!("config.toml: line {line}: unknown field `momentun`")), "{message}");
}

#[test]
fn values_out_of_range_are_named() {
    let message = |change: fn(&mut TrainConfig)| {
        let mut config = TrainConfig::recipe("alexnet", "data".into());
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert_eq!(message(|c| c.batch_size = 0), "batch_size is 0, but it must be at least 1");
    assert!(message(|c| c.solver.learning_rate = -1.0).contains("solver.learning_rate is -1"));
    assert!(message(|c| c.solver.momentum = 1.0).contains("solver.momentum is 1"));
    assert!(message(|c| c.data.color_noise = f32::NAN).contains("data.color_noise is NaN"));
    assert!(message(|c| c.seed = u64::MAX).contains("seed is 18446744073709551615"));
    assert!(message(|c| c.data.hold_out = 1.0).contains("data.hold_out is 1"));
    assert!(message(|c| c.label_smoothing = 1.0).contains("label_smoothing is 1"));
    assert!(message(|c| c.data.cutmix = Some(-1.0)).contains("alpha of cutmix is -1"));
}

#[test]
fn the_first_difference_is_named() {
    let config = TrainConfig::recipe("alexnet", "data".into());
    let mut other = config.clone();
    other.solver.momentum = 0.5;
    let expected = Some(("solver.momentum".into(), "0.9".into(), "0.5".into()));
    assert_eq!(config.difference(&other), expected);
    other = config.clone();
    other.bias_schedule = None;
    assert!(config.difference(&other).unwrap().0.starts_with("bias_schedule"));
}
