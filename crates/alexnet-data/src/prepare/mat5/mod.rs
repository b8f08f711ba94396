//! Reader for MATLAB's level 5 MAT-files, limited to the features of ImageNet's `meta.mat`: arrays of structures, texts and
//! numbers, compressed or not, in little-endian order.
//!
//! # Source
//! The MathWorks, *MAT-File Format*, chapter 1, "Level 5 MAT-File Format".

pub(super) mod write;

use std::io::Read;

use flate2::read::ZlibDecoder;

/// Maximum size of decompressed data; `meta.mat` has 2.3 MB.
const MAX_INFLATED: u64 = 256 << 20;
/// Maximum nesting depth of structures.
const MAX_DEPTH: usize = 16;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Numbers of any type, in column-major order.
    Numbers(Vec<f64>),
    /// An array of characters.
    Text(String),
    /// An array of structures: the names of the fields, and the values of each element's fields.
    Structs { fields: Vec<String>, elements: Vec<Vec<Value>> },
    /// Any other value, ignored.
    Other,
}

const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT16: u32 = 3;
const UINT16: u32 = 4;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const SINGLE: u32 = 7;
const DOUBLE: u32 = 9;
const INT64: u32 = 12;
const UINT64: u32 = 13;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
const UTF8: u32 = 16;
const UTF16: u32 = 17;

const CLASS_STRUCT: u32 = 2;
const CLASS_CHAR: u32 = 4;
/// The first and the last of the numeric classes.
const CLASS_NUMERIC: std::ops::RangeInclusive<u32> = 6..=15;

type Result<T> = std::result::Result<T, String>;

/// The variables of a file, by name.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<(String, Value)>> {
    let header = bytes.get(..128).ok_or("shorter than the header of a MAT-file, 128 bytes")?;
    match header.get(124..128) {
        Some([0, 1, b'I', b'M']) => {}
        Some([1, 0, b'M', b'I']) => return Err("a big-endian MAT-file, only little-endian is supported".into()),
        other => return Err(format!("no MAT-file of level 5: version and order are {other:02x?}")),
    }
    let mut rest = &bytes[128..];
    let mut variables = Vec::new();
    while !rest.is_empty() {
        let (kind, data) = element(&mut rest)?;
        match kind {
            MATRIX => variables.extend(matrix(data, 0)?),
            COMPRESSED => {
                let mut inflated = Vec::new();
                let read = ZlibDecoder::new(data).take(MAX_INFLATED + 1).read_to_end(&mut inflated);
                read.map_err(|error| format!("compressed data: {error}"))?;
                if inflated.len() as u64 > MAX_INFLATED {
                    return Err(format!("compressed data become more than {MAX_INFLATED} bytes"));
                }
                let (kind, data) = element(&mut inflated.as_slice())?;
                if kind != MATRIX {
                    return Err(format!("compressed data of type {kind}, not a matrix"));
                }
                variables.extend(matrix(data, 0)?);
            }
            other => return Err(format!("a variable of type {other}, not a matrix")),
        }
    }
    Ok(variables)
}

/// Takes the next data element: its type and its data.
fn element<'a>(rest: &mut &'a [u8]) -> Result<(u32, &'a [u8])> {
    let word = |at: usize| -> Result<u32> {
        let bytes = rest.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_le_bytes).ok_or_else(|| "the data end in the middle of a tag".to_owned())
    };
    let first = word(0)?;
    let (kind, len, start) = match first >> 16 {
        0 => (first, word(4)? as usize, 8),
        // A small element has its data in the tag.
        len => (first & 0xffff, len as usize, 4),
    };
    if start == 4 && len > 4 {
        return Err(format!("a small element of {len} bytes, at most 4 fit"));
    }
    let data = rest.get(start..).and_then(|data| data.get(..len));
    let data = data.ok_or_else(|| format!("an element announces {len} bytes, {} are left", rest.len() - start))?;
    // Padded to eight bytes, except compressed data.
    let whole = match (start, kind) {
        (4, _) => 8,
        (_, COMPRESSED) => start + len,
        _ => start + len.next_multiple_of(8),
    };
    *rest = &rest[whole.min(rest.len())..];
    Ok((kind, data))
}

/// The name and the value of an array; `None` for an array without any content, such as an empty field.
fn matrix(mut data: &[u8], depth: usize) -> Result<Option<(String, Value)>> {
    if data.is_empty() {
        return Ok(None);
    }
    if depth > MAX_DEPTH {
        return Err(format!("structures more than {MAX_DEPTH} deep"));
    }
    let (flags_kind, flags) = element(&mut data)?;
    let (_, dimensions) = element(&mut data)?;
    let (_, name) = element(&mut data)?;
    if flags_kind != UINT32 || flags.len() != 8 {
        return Err("an array without flags".into());
    }
    let name = String::from_utf8_lossy(name).into_owned();
    let class = u32::from(flags[0]);
    let dimensions = dimensions.chunks_exact(4).map(|d| i32::from_le_bytes([d[0], d[1], d[2], d[3]]));
    let count = dimensions.map(|d| usize::try_from(d).ok()).try_fold(1usize, |count, d| count.checked_mul(d?));
    let count = count.ok_or_else(|| format!("`{name}` has impossible dimensions"))?;
    let value = match class {
        CLASS_STRUCT => structs(data, count, depth).map_err(|error| format!("`{name}`: {error}"))?,
        CLASS_CHAR => {
            let (kind, data) = element(&mut data)?;
            Value::Text(text(kind, data)?)
        }
        class if CLASS_NUMERIC.contains(&class) => {
            let (kind, data) = element(&mut data)?;
            Value::Numbers(numbers(kind, data)?)
        }
        _ => Value::Other,
    };
    Ok(Some((name, value)))
}

fn structs(mut data: &[u8], count: usize, depth: usize) -> Result<Value> {
    let (_, length) = element(&mut data)?;
    let (_, names) = element(&mut data)?;
    let length = match numbers(INT32, length)?[..] {
        [length] if length >= 1.0 => length as usize,
        _ => return Err("a structure without the length of its fields' names".into()),
    };
    let fields: Vec<String> = names
        .chunks_exact(length)
        .map(|name| {
            let end = name.iter().position(|&byte| byte == 0).unwrap_or(length);
            String::from_utf8_lossy(&name[..end]).into_owned()
        })
        .collect();
    if fields.is_empty() {
        return Err("a structure without fields".into());
    }
    let mut elements = Vec::new();
    for _ in 0..count {
        let mut element_fields = Vec::with_capacity(fields.len());
        for field in &fields {
            let (kind, data) = element(&mut data).map_err(|error| format!("field `{field}`: {error}"))?;
            if kind != MATRIX {
                return Err(format!("field `{field}` is of type {kind}, not a matrix"));
            }
            element_fields.push(matrix(data, depth + 1)?.map_or(Value::Other, |(_, value)| value));
        }
        elements.push(element_fields);
    }
    Ok(Value::Structs { fields, elements })
}

/// Numbers may be stored in a smaller type than the array's type.
fn numbers(kind: u32, data: &[u8]) -> Result<Vec<f64>> {
    macro_rules! all {
        ($type:ty) => {
            data.as_chunks().0.iter().map(|&bytes| <$type>::from_le_bytes(bytes) as f64).collect()
        };
    }
    Ok(match kind {
        INT8 => all!(i8),
        UINT8 => all!(u8),
        INT16 => all!(i16),
        UINT16 => all!(u16),
        INT32 => all!(i32),
        UINT32 => all!(u32),
        SINGLE => all!(f32),
        DOUBLE => all!(f64),
        INT64 => all!(i64),
        UINT64 => all!(u64),
        other => return Err(format!("numbers of type {other}")),
    })
}

fn text(kind: u32, data: &[u8]) -> Result<String> {
    match kind {
        UTF8 | INT8 | UINT8 => Ok(String::from_utf8_lossy(data).into_owned()),
        UINT16 | UTF16 => {
            let units: Vec<u16> = data.as_chunks().0.iter().map(|&unit| u16::from_le_bytes(unit)).collect();
            Ok(String::from_utf16_lossy(&units))
        }
        other => Err(format!("text of type {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Value {
        let row = |id: f64, text: &str| vec![Value::Numbers(vec![id]), Value::Text(text.into()), Value::Other];
        let fields = ["ILSVRC2012_ID", "words", "children"].map(String::from).to_vec();
        Value::Structs { fields, elements: vec![row(1.0, "naïve fish"), row(2.0, "")] }
    }

    #[test]
    fn what_is_written_is_read() {
        let file = write::file("synsets", &example());
        assert_eq!(read(&file).unwrap(), [("synsets".to_owned(), example())]);
    }

    #[test]
    fn damage_is_an_error_wherever_it_is() {
        let file = write::file("synsets", &example());
        for len in 0..file.len() {
            // The header alone is a valid file without variables.
            assert!(read(&file[..len]).is_err() || len == 128, "cut at {len}");
        }
        for at in 0..file.len() {
            for bit in [0, 3, 7] {
                let mut damaged = file.clone();
                damaged[at] ^= 1 << bit;
                // Any result is allowed, but no panic.
                let _ = read(&damaged);
            }
        }
    }
}
