//! Draws a grid of images into a PNG file.

use std::path::Path;

use burn_flows::burn::tensor::Tensor;
use image::{Rgb, RgbImage};

use crate::cli::Outcome;

/// Pixels between two images.
const GAP: usize = 4;

/// Images narrower than this number of pixels are enlarged to about this width.
const SIDE: usize = 40;

/// Draws images `[n, channels, height, width]` of 1 or 3 channels in [0, 1], row by row. Every
/// pixel becomes a square.
pub fn draw(images: Tensor<4>, columns: usize, path: &Path) -> Outcome<()> {
    let [count, channels, height, width] = images.dims();
    let zoom = SIDE.div_ceil(width);
    let cell = [width * zoom + GAP, height * zoom + GAP];
    let size = |cells: usize, cell: usize| (cells * cell + GAP) as u32;
    let rows = count.div_ceil(columns);
    let mut picture =
        RgbImage::from_pixel(size(columns, cell[0]), size(rows, cell[1]), Rgb([70; 3]));
    let values: Vec<f32> = images.into_data().iter::<f32>().collect();
    for index in 0..count * height * width {
        let (image, at) = (index / (height * width), index % (height * width));
        let value = |channel: usize| {
            let channel = channel.min(channels - 1);
            let value = values[(image * channels + channel) * height * width + at];
            (value.clamp(0.0, 1.0) * 255.0) as u8
        };
        let colour = Rgb([value(0), value(1), value(2)]);
        let left = image % columns * cell[0] + GAP + at % width * zoom;
        let top = image / columns * cell[1] + GAP + at / width * zoom;
        for (dx, dy) in (0..zoom * zoom).map(|i| (i % zoom, i / zoom)) {
            picture.put_pixel((left + dx) as u32, (top + dy) as u32, colour);
        }
    }
    Ok(picture.save(path)?)
}
