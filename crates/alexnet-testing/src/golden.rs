//! Golden files: reference values computed by PyTorch in `f64`.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use crate::{assert_close, uniform};

/// A safetensors file of golden values.
///
/// Small tensors are stored whole. For a large one, `name.samples` contains the values at the indices `i · len / samples`,
/// `name.length` the number of values, and `name.sums` the inner products with a few known random vectors, which depend on
/// every value.
pub struct Golden {
    bytes: Vec<u8>,
}

impl Golden {
    /// Reads the file.
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self { bytes }
    }

    /// The names of all tensors.
    pub fn names(&self) -> Vec<String> {
        SafeTensors::deserialize(&self.bytes).unwrap().names().into_iter().map(String::from).collect()
    }

    /// The tensor stored under `name`.
    pub fn get(&self, name: &str) -> Option<Vec<f64>> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = file.tensor(name).ok()?;
        assert_eq!(tensor.dtype(), Dtype::F64, "{name}");
        Some(tensor.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect())
    }

    /// Fails unless `actual` equals the golden tensor `name` within `tolerance`, as defined by [`assert_close`].
    #[track_caller]
    pub fn assert(&self, name: &str, actual: &[f32], tolerance: f64) {
        let narrow = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<_>>();
        if let Some(whole) = self.get(name) {
            return assert_close(name, actual, &narrow(&whole), tolerance);
        }
        let find = |suffix: &str| {
            let name = format!("{name}.{suffix}");
            self.get(&name).unwrap_or_else(|| panic!("{name} is not in the golden file"))
        };
        let (samples, sums, length) = (find("samples"), find("sums"), find("length"));
        assert_eq!(actual.len() as f64, length[0], "{name}: number of values");
        let places = (0..samples.len()).map(|i| actual[i * actual.len() / samples.len()]).collect::<Vec<_>>();
        assert_close(&format!("{name}, sampled"), &places, &narrow(&samples), tolerance);
        for (i, &expected) in sums.iter().enumerate() {
            let weights = uniform(name, i as u32, actual.len());
            let terms = weights.iter().zip(actual).map(|(&w, &a)| f64::from(w) * f64::from(a));
            let (sum, square) = terms.fold((0.0, 0.0), |(sum, square), t| (sum + t, square + t * t));
            let error = (sum - expected).abs() / square.sqrt().max(f64::MIN_POSITIVE);
            assert!(error <= tolerance, "{name}: sum {i} is {sum:e}, expected {expected:e} (error {error:.2e})");
        }
    }
}
