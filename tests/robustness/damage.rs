//! Damaged files, made from valid files.

use burn_flows::Noise;
use burn_flows::interop::{HostTensor, StateDict};
use serde_json::{Value, json};

/// A copy of the file in which a few bytes are changed, removed, repeated or inserted.
pub fn spoiled(whole: &[u8], noise: &mut Noise) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..1 + noise.next_below(3) {
        let at = noise.next_below(bytes.len().max(1));
        match noise.next_below(12) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), noise.next_u64() as u8),
            2 => bytes.extend_from_within(at.min(bytes.len())..),
            3 => drop(bytes.drain(at..bytes.len().min(at + 1 + noise.next_below(16)))),
            // Overwrites what may be a length.
            4 => {
                let lie = [u64::MAX, 1 << 62, 1 << 40, 1 << 31][noise.next_below(4)];
                let end = bytes.len().min(at + 8);
                let lie = lie.to_le_bytes();
                bytes[at..end].copy_from_slice(&lie[..end - at]);
            }
            // Changes the header, where damage has the most effects.
            5..9 => {
                let at = at % 600.min(bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << noise.next_below(8);
                }
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = noise.next_u64() as u8;
                }
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

/// Safetensors files whose header is wrong about one of its tensors, for every kind of error.
pub fn lying_headers(whole: &[u8]) -> Vec<(String, Vec<u8>)> {
    let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&whole[8..8 + length]).unwrap();
    let file = |header: &Value| {
        let mut text = serde_json::to_vec(header).unwrap();
        text.resize(text.len().next_multiple_of(8), b' ');
        let claim = (text.len() as u64).to_le_bytes();
        [&claim[..], &text, &whole[8 + length..]].concat()
    };
    let names: Vec<String> =
        header.as_object().unwrap().keys().filter(|n| *n != "__metadata__").cloned().collect();
    let mut all = Vec::new();
    for name in [names.first(), names.last()].into_iter().flatten() {
        let end = header[name]["data_offsets"][1].clone();
        let lies = [
            ("dtype", json!("F16")),
            ("dtype", json!("F64")),
            ("dtype", json!("I64")),
            ("dtype", json!("BOOL")),
            ("dtype", json!("F8_E4M3")),
            ("dtype", json!("nothing")),
            ("dtype", json!(7)),
            ("shape", json!([])),
            ("shape", json!([0])),
            ("shape", json!([u64::MAX, 2])),
            ("shape", json!([1u64 << 40])),
            ("shape", json!([-1])),
            ("shape", json!(vec![1; 1000])),
            ("data_offsets", json!([0, u64::MAX])),
            ("data_offsets", json!([u64::MAX, 0])),
            ("data_offsets", json!([end, 0])),
            ("data_offsets", json!([0, 1u64 << 40])),
            ("data_offsets", json!([1])),
        ];
        for (key, lie) in lies {
            let mut header = header.clone();
            header[name][key] = lie.clone();
            all.push((format!("{name}.{key} = {lie}").chars().take(90).collect(), file(&header)));
        }
        let mut renamed = header.clone();
        let entry = renamed.as_object_mut().unwrap().remove(name).unwrap();
        renamed["another name"] = entry;
        all.push((format!("{name} renamed"), file(&renamed)));
    }
    for claim in [u64::MAX, 1 << 62, 1 << 40, 99_999_999, 0] {
        let mut bytes = whole.to_vec();
        bytes[..8].copy_from_slice(&claim.to_le_bytes());
        all.push((format!("a header of {claim} bytes"), bytes));
    }
    all
}

/// Damaged copies of a dictionary with one wrong tensor. The flag says that every reader must
/// reject it.
pub fn wrong_tensors(dict: &StateDict) -> Vec<(String, StateDict, bool)> {
    let mut all = Vec::new();
    let names: Vec<&str> = dict.names().collect();
    for name in &names {
        let tensor = dict.get(name).unwrap();
        let with = |change: HostTensor| {
            let mut dict = dict.clone();
            dict.insert(*name, change);
            dict
        };
        let mut others = StateDict::new();
        for other in names.iter().filter(|other| *other != name) {
            others.insert(*other, dict.get(other).unwrap().clone());
        }
        let mut renamed = others.clone();
        renamed.insert(format!("{name}x"), tensor.clone());
        all.push((format!("{name} missing"), others, false));
        all.push((format!("{name} renamed"), renamed, true));
        let shape = tensor.shape().to_vec();
        let count: usize = shape.iter().product();
        let turned: Vec<usize> = shape.iter().rev().copied().collect();
        let shapes = [vec![count], vec![1, count], turned, vec![0], [&shape[..], &[1]].concat()];
        if let Some(values) = tensor.as_floats() {
            for shape in shapes {
                let values = values[..shape.iter().product()].to_vec();
                all.push((
                    format!("{name} of shape {shape:?}"),
                    with(HostTensor::floats(values, shape)),
                    false,
                ));
            }
            for (value, never) in [
                (f64::NAN, true),
                (f64::INFINITY, true),
                (f64::NEG_INFINITY, true),
                (1e300, true),
                (f64::MAX, true),
                (-1e30, false),
                (0.0, false),
                (5e-324, false),
            ] {
                let mut values = values.to_vec();
                let Some(last) = values.last_mut() else { continue };
                *last = value;
                let change = HostTensor::floats(values, shape.clone());
                all.push((format!("{name} with {value}"), with(change), never));
            }
            let ints = HostTensor::ints(vec![1; count], shape.clone());
            all.push((format!("{name} of integers"), with(ints), false));
        }
        if let Some(values) = tensor.as_ints() {
            for value in [-1, 0, i64::MAX, i64::MIN, 1 << 40] {
                let mut values = values.to_vec();
                let Some(last) = values.last_mut() else { continue };
                *last = value;
                let change = HostTensor::ints(values, shape.clone());
                all.push((format!("{name} with {value}"), with(change), false));
            }
            let floats = HostTensor::floats(vec![0.5; count], shape.clone());
            all.push((format!("{name} of floats"), with(floats), false));
        }
        let bools = HostTensor::bools(vec![true; count], shape.clone());
        all.push((format!("{name} of bools"), with(bools), false));
    }
    all
}
