//! The image files that the example `glow_digits` reads: contents of valid files, errors of invalid
//! files.

#[path = "../examples/common/images.rs"]
mod images;

use std::io::Cursor;
use std::path::Path;

use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};

fn refused(result: Result<images::Images, burn_flows::Error>, text: &str) {
    let error = result.err().expect("an error").to_string();
    assert!(error.contains(text), "{error}");
}

fn idx(axes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, axes.len() as u8];
    axes.iter().for_each(|n| file.extend(n.to_be_bytes()));
    file.extend(bytes);
    file
}

#[test]
fn a_folder_gives_the_middle_square_of_every_picture() {
    let folder = tempfile::tempdir().unwrap();
    let wide = GrayImage::from_fn(6, 2, |x, _| Luma([if (2..4).contains(&x) { 200 } else { 0 }]));
    wide.save(folder.path().join("a.png")).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
    let grey = images::folder(folder.path(), 2).unwrap();
    assert_eq!((grey.width, grey.channels, grey.values), (2, 1, vec![200; 4]));
    assert!(grey.labels.is_none());

    RgbImage::from_pixel(2, 2, Rgb([1, 2, 3])).save(folder.path().join("b.png")).unwrap();
    let colour = images::folder(folder.path(), 2).unwrap();
    assert_eq!(colour.channels, 3);
    assert_eq!(colour.values[12..], [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
}

#[test]
fn a_bad_folder_or_picture_is_named() {
    let folder = tempfile::tempdir().unwrap();
    refused(images::folder(folder.path(), 8), "holds no PNG or JPEG file");
    refused(images::folder(folder.path(), 0), "the size is 0 pixels");
    refused(images::folder(Path::new("nowhere"), 8), "nowhere");
    std::fs::write(folder.path().join("broken.png"), b"not a picture").unwrap();
    refused(images::folder(folder.path(), 8), "broken.png");
}

/// A colour gradient with some texture, in this format.
fn encoded(format: ImageFormat) -> Vec<u8> {
    let picture = RgbImage::from_fn(40, 32, |x, y| Rgb([6 * x as u8, 7 * y as u8, (x * y) as u8]));
    let mut bytes = Cursor::new(vec![]);
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn a_truncated_picture_is_named_wherever_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let jpeg = encoded(ImageFormat::Jpeg);
    // A comment segment after the start marker. It holds the end marker of a thumbnail.
    let thumbnail = [0xff, 0xfe, 0, 6, 0xff, 0xd8, 0xff, 0xd9];
    let embedded = [&jpeg[..2], &thumbnail, &jpeg[2..]].concat();
    for (name, bytes) in
        [("a.jpg", jpeg), ("b.JPEG", embedded), ("c.png", encoded(ImageFormat::Png))]
    {
        let file = folder.path().join(name);
        // The checksum and the end chunk of a PNG hold no pixels.
        let needed = if name == "c.png" { bytes.len() - 16 } else { bytes.len() };
        for end in (0..needed).step_by(7).chain([needed - 1]) {
            std::fs::write(&file, &bytes[..end]).unwrap();
            refused(images::folder(folder.path(), 8), name);
        }
        std::fs::write(&file, &bytes).unwrap();
        let whole = images::folder(folder.path(), 8).unwrap().values;
        std::fs::write(&file, [&bytes[..], b"appended"].concat()).unwrap();
        assert_eq!(images::folder(folder.path(), 8).unwrap().values, whole, "{name}");
        std::fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_jpeg_without_its_end_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let jpeg = encoded(ImageFormat::Jpeg);
    std::fs::write(folder.path().join("half.jpg"), &jpeg[..jpeg.len() / 2 + 200]).unwrap();
    let found = images::folder(folder.path(), 8).err().unwrap().to_string();
    assert!(found.ends_with("half.jpg: the JPEG ends before its end marker; it is truncated"));
}

#[test]
fn mnist_gets_a_border_and_its_labels() {
    let folder = tempfile::tempdir().unwrap();
    let (pictures, labels) = (
        folder.path().join("train-images-idx3-ubyte"),
        folder.path().join("train-labels-idx1-ubyte"),
    );
    let mut pixels = vec![7; 2 * 784];
    pixels[784] = 9;
    std::fs::write(&pictures, idx(&[2, 28, 28], &pixels)).unwrap();
    std::fs::write(&labels, idx(&[2], &[3, 8])).unwrap();
    let digits = images::mnist(folder.path()).unwrap();
    assert_eq!((digits.width, digits.channels, digits.labels), (32, 1, Some(vec![3, 8])));
    assert_eq!(digits.values.len(), 2 * 1024);
    assert_eq!((digits.values[0], digits.values[66], digits.values[1024 + 66]), (0, 7, 9));
    assert_eq!(digits.values.iter().filter(|v| **v != 0).count(), 2 * 784);

    std::fs::write(&labels, idx(&[1], &[3])).unwrap();
    refused(images::mnist(folder.path()), "expected 2 labels, found shape [1]");
    std::fs::write(&pictures, idx(&[2, 28, 28], &pixels[1..])).unwrap();
    refused(images::mnist(folder.path()), "does not fit the 1567 bytes");
    std::fs::write(&pictures, idx(&[u32::MAX; 3], &[])).unwrap();
    refused(images::mnist(folder.path()), "does not fit the 0 bytes");
    std::fs::write(&pictures, [0x1f, 0x8b, 8, 0, 0]).unwrap();
    refused(images::mnist(folder.path()), "unpack it");
}

#[test]
fn cifar_reads_the_batches_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    refused(images::cifar(folder.path()), "holds no data_batch_1.bin");
    let batch = folder.path().join("data_batch_2.bin");
    let record = |label: u8| [vec![label], vec![label; 3072]].concat();
    std::fs::write(&batch, [record(4), record(9)].concat()).unwrap();
    let images = images::cifar(folder.path()).unwrap();
    assert_eq!((images.width, images.channels, images.labels), (32, 3, Some(vec![4, 9])));
    assert_eq!((images.values[0], images.values[3072]), (4, 9));
    std::fs::write(&batch, &record(4)[1..]).unwrap();
    refused(images::cifar(folder.path()), "3072 bytes are not whole records of 3073");
    std::fs::write(&batch, record(10)).unwrap();
    refused(images::cifar(folder.path()), "record 0 has label 10");
}
