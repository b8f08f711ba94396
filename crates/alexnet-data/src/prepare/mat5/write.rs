//! Writes one compressed variable, an array of structures, for the miniature of ImageNet.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::{CLASS_CHAR, CLASS_STRUCT, COMPRESSED, DOUBLE, INT8, INT32, MATRIX, UINT16, UINT32, Value};

/// A file that contains the structures `value` under `name`.
pub(in super::super) fn file(name: &str, value: &Value) -> Vec<u8> {
    let mut bytes = format!("{:116}", "MATLAB 5.0 MAT-file").into_bytes();
    bytes.extend([0; 8]);
    bytes.extend([0, 1, b'I', b'M']);
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(&matrix(name, value)).and_then(|()| encoder.finish());
    let compressed = compressed.expect("writing to a vector cannot fail");
    bytes.extend(COMPRESSED.to_le_bytes());
    bytes.extend((compressed.len() as u32).to_le_bytes());
    bytes.extend(compressed);
    bytes
}

fn element(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn matrix(name: &str, value: &Value) -> Vec<u8> {
    let (class, columns, content) = match value {
        Value::Numbers(numbers) => {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            (6, numbers.len(), element(DOUBLE, &bytes))
        }
        Value::Text(text) => {
            let units: Vec<u16> = text.encode_utf16().collect();
            let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            (CLASS_CHAR, units.len(), element(UINT16, &bytes))
        }
        Value::Structs { fields, elements } => {
            const LENGTH: usize = 32;
            // A small element, as in files written by MATLAB.
            let mut bytes = (INT32 | 4 << 16).to_le_bytes().to_vec();
            bytes.extend((LENGTH as i32).to_le_bytes());
            let mut names = Vec::new();
            for field in fields {
                names.extend(field.bytes().chain(std::iter::repeat(0)).take(LENGTH));
            }
            bytes.extend(element(INT8, &names));
            bytes.extend(elements.iter().flatten().flat_map(|field| matrix("", field)));
            (CLASS_STRUCT, elements.len(), bytes)
        }
        Value::Other => return element(MATRIX, &[]),
    };
    let mut bytes = element(UINT32, &[class.to_le_bytes(), [0; 4]].concat());
    bytes.extend(element(INT32, &[1i32.to_le_bytes(), (columns as i32).to_le_bytes()].concat()));
    bytes.extend(element(INT8, name.as_bytes()));
    bytes.extend(content);
    element(MATRIX, &bytes)
}
