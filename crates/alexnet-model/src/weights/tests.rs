use super::*;
use crate::layer::Layer;
use crate::layers::{Conv2d, Flatten, Input, Linear};
use crate::tape::{Mode, Tape};
use crate::variants::build;
use crate::{InputSpec, Specification};
use ::safetensors::{SafeTensors, serialize_to_file};
use alexnet_testing::{assert_same_bits, uniform};
use candle_core::{DType, Device, Tensor};

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|t| t.to_vec1()).unwrap()
}

/// A model with few classes, so that fc8 is small.
fn model(arch: &str, classes: usize) -> Model {
    let spec = build(arch, classes).unwrap();
    let side = spec.input_spec().source_size;
    let mean_image = spec.input_spec().mean.needs_image().then(|| uniform("mean image", 0, 3 * side * side));
    let network = Network::new(spec, 3, &[Device::Cpu]).unwrap();
    Model { network, classes: (0..classes).map(|i| format!("class {i}, \"quoted\"")).collect(), mean_image }
}

#[test]
fn what_is_saved_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    for arch in ["alexnet", "alexnet-torchvision"] {
        let (saved, path) = (model(arch, 3), folder.path().join("model.safetensors"));
        saved.save(&path).unwrap();
        let loaded = Model::load(&path, None, &Device::Cpu).unwrap();
        assert_eq!((loaded.network.spec().arch(), &loaded.classes), (arch, &saved.classes));
        assert_eq!(loaded.mean_image, saved.mean_image);
        for (a, b) in saved.network.parameters().iter().zip(loaded.network.parameters()) {
            assert_eq!(a.spec, b.spec);
            assert_same_bits(&a.spec.name, &values(&b.var), &values(&a.var));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
    }
}

/// Names and shapes are exactly those of torchvision's `state_dict`, so `load_state_dict` accepts the file.
#[test]
fn torchvisions_names_are_torchvisions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model("alexnet-torchvision", 1000).save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let expected: [(&str, &[usize]); 8] = [
        ("features.0", &[64, 3, 11, 11]),
        ("features.3", &[192, 64, 5, 5]),
        ("features.6", &[384, 192, 3, 3]),
        ("features.8", &[256, 384, 3, 3]),
        ("features.10", &[256, 256, 3, 3]),
        ("classifier.1", &[4096, 9216]),
        ("classifier.4", &[4096, 4096]),
        ("classifier.6", &[1000, 4096]),
    ];
    assert_eq!(file.len(), 16);
    for (layer, shape) in expected {
        assert_eq!(file.tensor(&format!("{layer}.weight")).unwrap().shape(), shape);
        assert_eq!(file.tensor(&format!("{layer}.bias")).unwrap().shape(), &shape[..1]);
    }
}

#[test]
fn bare_weights_load_where_the_architecture_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bare.safetensors");
    let network = Network::new(build("alexnet-torchvision", 5).unwrap(), 1, &[Device::Cpu]).unwrap();
    // Half precision, as published files often are.
    let half = |p: &crate::Parameter| (p.spec.name.clone(), p.var.to_dtype(DType::F16).unwrap());
    serialize_to_file(network.parameters().iter().map(half).collect::<Vec<_>>(), None, &path).unwrap();
    let message = Model::load(&path, None, &Device::Cpu).unwrap_err().to_string();
    assert!(message.contains("does not say which architecture"), "{message}");
    let loaded = Model::load(&path, Some("alexnet-torchvision"), &Device::Cpu).unwrap();
    assert_eq!((loaded.network.spec().classes(), loaded.classes.len()), (5, 0));
    let expected = network.parameters()[0].var.to_dtype(DType::F16).unwrap().to_dtype(DType::F32).unwrap();
    assert_same_bits("half", &values(&loaded.network.parameters()[0].var), &values(&expected));

    let message = Model::load(&path, Some("alexnet-owt"), &Device::Cpu).unwrap_err().to_string();
    for part in ["do not fit alexnet-owt", "conv1.weight is missing", "features.0.bias is unexpected"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn wrong_files_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let load = |arch| Model::load(&path, arch, &Device::Cpu).unwrap_err().to_string();
    assert!(load(None).contains("model.safetensors"), "{}", load(None));
    std::fs::write(&path, b"not weights").unwrap();
    assert!(load(None).contains("not a safetensors file"), "{}", load(None));

    model("alexnet-torchvision", 2).save(&path).unwrap();
    let message = load(Some("alexnet"));
    assert!(message.contains("do not fit alexnet: the file holds weights of alexnet-torchvision"), "{message}");

    let network = Network::new(build("alexnet-torchvision", 2).unwrap(), 1, &[Device::Cpu]).unwrap();
    let mut tensors: Vec<(String, Tensor)> =
        network.parameters().iter().map(|p| (p.spec.name.clone(), p.var.as_tensor().clone())).collect();
    tensors[2].1 = tensors[2].1.transpose(0, 1).unwrap().contiguous().unwrap();
    tensors[4].1 = tensors[4].1.to_dtype(DType::U8).unwrap();
    tensors.remove(0);
    tensors.push(("extra".into(), Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap()));
    serialize_to_file(tensors, None, &path).unwrap();
    let message = load(Some("alexnet-torchvision"));
    for part in [
        "features.0.weight is missing",
        "features.3.weight has shape [64, 192, 5, 5], expected [192, 64, 5, 5]",
        "features.6.weight is U8",
        "extra is unexpected",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, b"old").unwrap();
    let layers = vec![
        Layer::new("data", Input { channels: 1, size: [2, 2] }),
        Layer::new("flat", Flatten),
        Layer::new("fc", Linear::new(2, 0.1, 0.0)),
    ];
    let spec = Specification::new("small", InputSpec::TORCHVISION, layers).unwrap();
    let model =
        Model { network: Network::new(spec, 0, &[Device::Cpu]).unwrap(), classes: Vec::new(), mean_image: None };
    // A folder blocks the path of the partial file.
    std::fs::create_dir(folder.path().join("model.safetensors.partial")).unwrap();
    let message = model.save(&path).unwrap_err().to_string();
    assert!(message.contains("model.safetensors"), "{message}");
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    std::fs::remove_dir(folder.path().join("model.safetensors.partial")).unwrap();
    model.save(&path).unwrap();
    assert!(std::fs::read(&path).unwrap().len() > 3);
    let missing = model.save(&folder.path().join("no such folder/model.safetensors")).unwrap_err().to_string();
    assert!(missing.contains("no such folder"), "{missing}");
}

/// The header of a file written by the first version: its length, the names, shapes and offsets of the tensors, and the
/// metadata. The values are regenerated.
fn written_first(arch: &str) -> Vec<u8> {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    std::fs::read(golden.join(format!("model-1-{arch}.header"))).unwrap()
}

/// Files with the name of a variant but without layers still load.
#[test]
fn files_of_the_first_version_load() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for arch in ["alexnet", "alexnet-torchvision"] {
        let written = model(arch, 2);
        let mut bytes = written_first(arch);
        let parameters = written.network.parameters().iter().flat_map(|parameter| values(&parameter.var));
        let all = parameters.chain(written.mean_image.iter().flatten().copied());
        bytes.extend(all.flat_map(f32::to_le_bytes));
        std::fs::write(&path, &bytes).unwrap();
        let loaded = Model::load(&path, None, &Device::Cpu).unwrap();
        assert_eq!((loaded.network.spec().arch(), &loaded.classes), (arch, &written.classes));
        assert_eq!(
            (&loaded.mean_image, loaded.network.spec().macs()),
            (&written.mean_image, written.network.spec().macs())
        );
        for (a, b) in written.network.parameters().iter().zip(loaded.network.parameters()) {
            assert_eq!(a.spec, b.spec);
            assert_same_bits(&a.spec.name, &values(&b.var), &values(&a.var));
        }
        // Check that the regenerated values are those of the first version; those of alexnet depend on the platform's
        // logarithm.
        if arch == "alexnet-torchvision" {
            let digests = ["features.0.weight", "features.3.bias", "classifier.6.weight"].map(|name| {
                let bits = values(&loaded.network.parameter(name).unwrap().var);
                bits.iter().fold(0u64, |digest, value| digest.rotate_left(5) ^ u64::from(value.to_bits()))
            });
            assert_eq!(digests, [0x54b5_ced8_ce6b_8036, 0x98b0_71d4_01b5_e8ca, 0x0f05_b675_10ef_26b6]);
        }
    }
}

/// Saves and loads a custom network with two devices and two outputs.
#[test]
fn any_network_travels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let layers = vec![
        Layer::new("data", Input { channels: 3, size: [6, 6] }),
        Layer::new("conv", Conv2d::new(4, 3, 0.3, 0.1).padding(1)),
        Layer::new("flat", Flatten).on(1),
        Layer::new("aside", Linear::new(2, 0.3, 0.0)).on(1),
        Layer::new("fc", Linear::new(2, 0.3, 0.0)).reads(["flat"]).on(1),
    ];
    let input = InputSpec { size: 6, source_size: 7, ..InputSpec::ALEXNET_2012 };
    let spec = Specification::new("mine", input, layers).unwrap().with_outputs(&[("aside", 0.25)]).unwrap();
    let network = Network::new(spec, 4, &[Device::Cpu, Device::Cpu]).unwrap();
    let saved = Model { network, classes: vec!["a".into(), "b".into()], mean_image: Some(uniform("mean", 0, 3 * 49)) };
    saved.save(&path).unwrap();
    let loaded = Model::load(&path, None, &Device::Cpu).unwrap();
    assert_eq!(loaded.network.spec(), saved.network.spec());
    assert_eq!((&loaded.classes, &loaded.mean_image), (&saved.classes, &saved.mean_image));
    let x = Tensor::from_vec(uniform("images", 0, 2 * 108), (2, 3, 6, 6), &Device::Cpu).unwrap();
    let logits = |model: &Model| {
        let outputs = model.network.forward_outputs(&x, Mode::Test, &mut Tape::new()).unwrap();
        outputs.iter().flat_map(values).collect::<Vec<_>>()
    };
    assert_same_bits("logits", &logits(&loaded), &logits(&saved));
    let message = Model::load(&path, Some("alexnet"), &Device::Cpu).unwrap_err().to_string();
    assert!(message.contains("the file holds weights of mine"), "{message}");
    assert_eq!(ModelFile::arch(&path).unwrap().as_deref(), Some("mine"));
}

/// Invalid metadata in a file with valid tensors.
#[test]
fn metadata_that_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let layers = vec![
        Layer::new("data", Input { channels: 1, size: [2, 2] }),
        Layer::new("flat", Flatten),
        Layer::new("fc", Linear::new(2, 0.1, 0.0)),
    ];
    let spec = Specification::new("small", InputSpec::TORCHVISION, layers).unwrap();
    let network = Network::new(spec, 0, &[Device::Cpu]).unwrap();
    let model = Model { network, classes: vec!["a".into(), "b".into()], mean_image: None };
    model.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata: std::collections::BTreeMap<_, _> = metadata.metadata().clone().unwrap().into_iter().collect();
    let tensors: Vec<(String, Tensor)> =
        model.network.parameters().iter().map(|p| (p.spec.name.clone(), p.var.as_tensor().clone())).collect();
    for (key, old, new, said) in [
        ("layers", "\"out_features\":2", "\"out_features\":3", "its network has 3 classes, but its metadata names 2"),
        ("classes", "[\"a\",\"b\"]", "[]", ""),
        ("layers", "\"size\":[2,2]", "\"size\":[2,3]", "fc.weight has shape [2, 4], expected [2, 6]"),
        ("layers", "\"size\":[2,2]", "\"size\":[1000000,1000000]", "at most 2147483648 values"),
        ("layers", "flatten", "fly", "metadata \"layers\": unknown variant `fly`"),
        ("layers", "]", "", "metadata \"layers\""),
        ("input_spec", "{", "", "metadata \"input_spec\""),
        ("input_spec", "\"source_size\":256", "\"source_size\":1000000", "input_spec: size must be from 1"),
    ] {
        let mut changed = metadata.clone();
        let value = changed.get_mut(key).unwrap();
        assert!(value.contains(old), "{key}: {value}");
        *value = value.replacen(old, new, 1);
        crate::write_safetensors(&path, &changed, &tensors).unwrap();
        match Model::load(&path, None, &Device::Cpu) {
            Ok(_) => assert!(said.is_empty(), "{key}: {new} is taken"),
            Err(error) => assert!(!said.is_empty() && error.to_string().contains(said), "{key}: {error}"),
        }
    }
    let mut changed = metadata.clone();
    changed.remove("input_spec");
    crate::write_safetensors(&path, &changed, &tensors).unwrap();
    let message = Model::load(&path, None, &Device::Cpu).unwrap_err().to_string();
    assert!(message.contains("its metadata has layers, but no input_spec"), "{message}");
}
