//! Reads images as integers 0..255 from a folder of pictures, from MNIST or from CIFAR-10.

use std::path::{Path, PathBuf};

use burn_flows::Error;
use image::imageops::FilterType;

/// Square images `[channels, width, width]`, one after another.
pub struct Images {
    pub width: usize,
    pub channels: usize,
    pub values: Vec<u8>,
    pub labels: Option<Vec<usize>>,
}

fn bad(path: &Path, reason: impl Into<String>) -> Error {
    Error::data(path.display().to_string(), reason)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|e| bad(path, e.to_string()))
}

/// Reads all PNG and JPEG files of a folder. Each is cut to its central square and scaled to
/// `size`. The result has one channel if all files are grey, otherwise three.
pub fn folder(path: &Path, size: usize) -> Result<Images, Error> {
    if size == 0 {
        return Err(bad(path, "the size is 0 pixels"));
    }
    let entries = std::fs::read_dir(path).map_err(|e| bad(path, e.to_string()))?;
    let picture = |path: &PathBuf| {
        let end = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_lowercase();
        ["png", "jpg", "jpeg"].contains(&end.as_str())
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(picture).collect();
    files.sort();
    if files.is_empty() {
        return Err(bad(path, "holds no PNG or JPEG file"));
    }
    let squares = files
        .iter()
        .map(|file| {
            let bytes = read(file)?;
            if bytes.starts_with(&JPEG) && !reaches_its_end(&bytes) {
                return Err(bad(file, "the JPEG ends before its end marker; it is truncated"));
            }
            let whole = image::load_from_memory(&bytes).map_err(|e| bad(file, e.to_string()))?;
            let side = whole.width().min(whole.height());
            let (left, top) = ((whole.width() - side) / 2, (whole.height() - side) / 2);
            let square = whole.crop_imm(left, top, side, side);
            Ok(square.resize_exact(size as u32, size as u32, FilterType::Triangle))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let colour = squares.iter().any(|square| square.color().has_color());
    let channels = if colour { 3 } else { 1 };
    let values = squares.iter().flat_map(|square| {
        let bytes = if colour { square.to_rgb8().into_raw() } else { square.to_luma8().into_raw() };
        planes(&bytes, channels)
    });
    Ok(Images { width: size, channels, values: values.collect(), labels: None })
}

/// The start marker of a JPEG file.
const JPEG: [u8; 2] = [0xff, 0xd8];

/// Whether a JPEG file has its end marker. Without it, the decoder silently fills in the missing
/// pixels. The scan skips whole segments, because a thumbnail in a segment has an end marker of its
/// own. It ignores bytes after the end marker.
fn reaches_its_end(bytes: &[u8]) -> bool {
    let mut at = JPEG.len();
    loop {
        at += match bytes.get(at..) {
            Some([0xff, 0xd9, ..]) => return true,
            // An escaped byte among the pixels, or a marker without a segment.
            Some([0xff, 0x00 | 0x01 | 0xd0..=0xd8, ..]) => 2,
            // A padding byte before a marker.
            Some([0xff, 0xff, ..]) => 1,
            Some([0xff, _, high, low, ..]) => 2 + usize::from(u16::from_be_bytes([*high, *low])),
            Some([byte, _, ..]) if *byte != 0xff => 1,
            _ => return false,
        };
    }
}

/// Reorders bytes from pixel by pixel to channel by channel.
fn planes(bytes: &[u8], channels: usize) -> Vec<u8> {
    (0..channels).flat_map(|c| bytes.iter().skip(c).step_by(channels).copied()).collect()
}

/// Reads the training images and labels of MNIST (`train-images-idx3-ubyte`,
/// `train-labels-idx1-ubyte`, unpacked). A border of two dark pixels makes the images 32 pixels
/// wide, so that they can be halved five times.
pub fn mnist(path: &Path) -> Result<Images, Error> {
    let file = path.join("train-images-idx3-ubyte");
    let (shape, pixels) = idx(&file)?;
    let &[count, height, width] = &shape[..] else {
        return Err(bad(&file, format!("expected three axes, found {shape:?}")));
    };
    if [height, width] != [28, 28] {
        return Err(bad(&file, format!("expected images of 28x28, found {height}x{width}")));
    }
    let mut values = vec![0; count * 32 * 32];
    for (row, line) in pixels.chunks(28).enumerate() {
        let at = (row / 28 * 32 + row % 28 + 2) * 32 + 2;
        values[at..at + 28].copy_from_slice(line);
    }
    let file = path.join("train-labels-idx1-ubyte");
    let (shape, labels) = idx(&file)?;
    if shape != [count] {
        return Err(bad(&file, format!("expected {count} labels, found shape {shape:?}")));
    }
    let labels = labels.into_iter().map(usize::from).collect();
    Ok(Images { width: 32, channels: 1, values, labels: Some(labels) })
}

/// Reads an idx file of bytes: two zeros, type 8, the number of axes, their lengths, the bytes.
fn idx(path: &Path) -> Result<(Vec<usize>, Vec<u8>), Error> {
    let bytes = read(path)?;
    let axes = match bytes.get(..4) {
        Some(&[0, 0, 8, axes]) => usize::from(axes),
        _ => return Err(bad(path, "is not an idx file of bytes; unpack it if it is compressed")),
    };
    let header = 4 + 4 * axes;
    let lengths = bytes.get(4..header).ok_or_else(|| bad(path, "ends inside its header"))?;
    let shape: Vec<usize> =
        lengths.chunks(4).map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]]) as usize).collect();
    let expected = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    let found = bytes.len() - header;
    if expected != Some(found) {
        return Err(bad(path, format!("shape {shape:?} does not fit the {found} bytes")));
    }
    Ok((shape, bytes[header..].to_vec()))
}

/// Reads the training images and labels of CIFAR-10: `data_batch_1.bin` to `data_batch_5.bin`, of
/// which some may be missing.
pub fn cifar(path: &Path) -> Result<Images, Error> {
    const PIXELS: usize = 3 * 32 * 32;
    let mut images = Images { width: 32, channels: 3, values: vec![], labels: Some(vec![]) };
    let files = (1..=5).map(|k| path.join(format!("data_batch_{k}.bin"))).filter(|f| f.exists());
    for file in files {
        let bytes = read(&file)?;
        if bytes.is_empty() || bytes.len() % (1 + PIXELS) != 0 {
            let reason = format!("{} bytes are not whole records of {}", bytes.len(), 1 + PIXELS);
            return Err(bad(&file, reason));
        }
        for (row, record) in bytes.chunks(1 + PIXELS).enumerate() {
            if record[0] > 9 {
                return Err(bad(&file, format!("record {row} has label {} above 9", record[0])));
            }
            images.labels.get_or_insert_default().push(usize::from(record[0]));
            images.values.extend_from_slice(&record[1..]);
        }
    }
    if images.values.is_empty() {
        return Err(bad(path, "holds no data_batch_1.bin to data_batch_5.bin"));
    }
    Ok(images)
}
