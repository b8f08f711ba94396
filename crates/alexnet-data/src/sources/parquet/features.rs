//! Detection of the image and label columns of a Parquet file, and of the class names.

use parquet::basic::Type;
use parquet::file::metadata::ParquetMetaData;
use serde::Deserialize;
use serde_json::Value;

/// The columns, as leaf indices.
pub(super) struct Features {
    pub(super) images: usize,
    pub(super) labels: usize,
    pub(super) names: Option<Vec<String>>,
}

/// The metadata that the `datasets` library stores in a file under the key `huggingface`.
#[derive(Deserialize)]
struct Description {
    info: Info,
}

#[derive(Deserialize)]
struct Info {
    features: serde_json::Map<String, Value>,
}

/// Among the columns described as `kind`, the one with a usual name, or the only one; if there are none, the usual names.
fn choose(kind: &str, described: Vec<String>, usual: &[&str]) -> Result<Vec<String>, String> {
    let best = usual.iter().find(|name| described.iter().any(|found| found == *name));
    match (best, described.len()) {
        (Some(name), _) => Ok(vec![(*name).to_owned()]),
        (None, 0) => Ok(usual.iter().map(|name| (*name).to_owned()).collect()),
        (None, 1) => Ok(described),
        _ => Err(format!(
            "several columns are described as {kind}, but none is named {}: {}",
            usual.join(" or "),
            described.join(", ")
        )),
    }
}

impl Features {
    /// Uses the library's metadata if the file has it, else the usual names.
    pub(super) fn of(metadata: &ParquetMetaData) -> Result<Self, String> {
        let pairs = metadata.file_metadata().key_value_metadata().into_iter().flatten();
        let text = pairs.filter(|pair| pair.key == "huggingface").find_map(|pair| pair.value.as_deref());
        let described: Option<Description> = text.and_then(|text| serde_json::from_str(text).ok());
        let features = described.map(|description| description.info.features).unwrap_or_default();
        let of_type = |wanted: &str| {
            let is = |feature: &Value| feature.get("_type").and_then(Value::as_str) == Some(wanted);
            features.iter().filter(move |(_, feature)| is(feature)).map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let image_names = choose("Image", of_type("Image"), &["image", "img"])?;
        let label_names = choose("ClassLabel", of_type("ClassLabel"), &["label", "labels", "fine_label"])?;

        let schema = metadata.file_metadata().schema_descr();
        let leaf = |path: &str| schema.columns().iter().position(|column| column.path().string() == path);
        let list = || {
            let columns: Vec<_> = schema.columns().iter().map(|column| column.path().string()).collect();
            columns.join(", ")
        };
        let bytes = |name: &String| leaf(&format!("{name}.bytes")).or_else(|| leaf(name));
        let images = image_names
            .iter()
            .find_map(bytes)
            .ok_or_else(|| format!("no column holds images: `{}` is not among {}", image_names.join("`, `"), list()))?;
        let label = label_names.iter().find_map(|name| Some((leaf(name)?, name)));
        let (labels, name) = label
            .ok_or_else(|| format!("no column holds labels: `{}` is not among {}", label_names.join("`, `"), list()))?;
        let column = schema.column(images);
        if column.physical_type() != Type::BYTE_ARRAY || column.max_rep_level() > 0 {
            return Err(format!("its column {} does not hold one image per row", column.path().string()));
        }
        if schema.column(labels).max_rep_level() > 0 {
            return Err(format!("its column {name} does not hold one label per row"));
        }
        let names = features.get(name).and_then(|feature| feature.get("names")?.as_array());
        let names = names.map(|names| names.iter().map(|name| name.as_str().unwrap_or_default().to_owned()).collect());
        Ok(Self { images, labels, names })
    }
}
