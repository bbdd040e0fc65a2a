//! Plots in PNG files: a corner plot of samples, and a curve in the unit square.

use std::path::Path;

use burn_flows::burn::tensor::Tensor;
use image::{Rgb, RgbImage};

use crate::cli::Outcome;

/// Pixels of one panel, and of the gap between two.
const PANEL: usize = 120;
const GAP: usize = 6;

/// Cells of a histogram along one axis.
const CELLS: usize = 60;

const PAPER: Rgb<u8> = Rgb([250; 3]);
const INK: Rgb<u8> = Rgb([40, 70, 120]);
const MARK: Rgb<u8> = Rgb([200, 40, 40]);

/// Draws a corner plot of rows: the marginal density of each column on the diagonal, the joint densities of pairs of
/// columns below it. A red line or square marks `truth`. Column `k` is shown on the interval `ranges[k]`.
pub fn corner(rows: Tensor<2>, truth: Tensor<2>, ranges: &[[f64; 2]], path: &Path) -> Outcome<()> {
    let width = ranges.len();
    let [rows, truth] = [rows, truth].map(|x| x.into_data().iter::<f64>().collect::<Vec<f64>>());
    let size = (width * (PANEL + GAP) + GAP) as u32;
    let mut picture = RgbImage::from_pixel(size, size, Rgb([225; 3]));
    let share = |column: usize, value: f64| {
        let [low, high] = ranges[column];
        (value - low) / (high - low)
    };
    let cell = |share: f64| ((share * CELLS as f64).max(0.0) as usize).min(CELLS - 1);
    for (down, across) in (0..width).flat_map(|down| (0..=down).map(move |across| (down, across))) {
        let mut counts = vec![0.0; CELLS * CELLS];
        for row in rows.chunks(width) {
            let at = [cell(share(across, row[across])), cell(share(down, row[down]))];
            counts[if down == across { at[0] } else { at[1] * CELLS + at[0] }] += 1.0;
        }
        let most = counts.iter().copied().fold(1.0, f64::max);
        let corner = [across, down].map(|at| at * (PANEL + GAP) + GAP);
        let truth = [across, down].map(|column| share(column, truth[column]));
        for (x, y) in (0..PANEL).flat_map(|x| (0..PANEL).map(move |y| (x, y))) {
            // Upwards in the plot is downwards in the picture.
            let (right, up) = (x as f64 / PANEL as f64, 1.0 - (y + 1) as f64 / PANEL as f64);
            let near = |a: f64, b: f64| (a - b).abs() < 0.015;
            let colour = if down == across {
                match counts[cell(right)] / most > up {
                    _ if near(right, truth[0]) => MARK,
                    true => INK,
                    false => PAPER,
                }
            } else {
                let density = (counts[cell(up) * CELLS + cell(right)] / most).sqrt();
                match near(right, truth[0]) && near(up, truth[1]) {
                    true => MARK,
                    false => mixed(density),
                }
            };
            picture.put_pixel((corner[0] + x) as u32, (corner[1] + y) as u32, colour);
        }
    }
    Ok(picture.save(path)?)
}

/// Draws a curve of points in the unit square, beside the diagonal.
pub fn curve(points: &[[f64; 2]], path: &Path) -> Outcome<()> {
    const SIDE: u32 = 360;
    let mut picture = RgbImage::from_pixel(SIDE, SIDE, PAPER);
    let at = |share: f64| (share.clamp(0.0, 1.0) * f64::from(SIDE - 1)) as u32;
    (0..SIDE).for_each(|k| picture.put_pixel(k, SIDE - 1 - k, Rgb([190; 3])));
    for pair in points.windows(2) {
        for step in 0..=100 {
            let part = f64::from(step) / 100.0;
            let [x, y] = [0, 1].map(|axis| pair[0][axis] + part * (pair[1][axis] - pair[0][axis]));
            picture.put_pixel(at(x), SIDE - 1 - at(y), INK);
        }
    }
    Ok(picture.save(path)?)
}

fn mixed(share: f64) -> Rgb<u8> {
    let channel =
        |k: usize| f64::from(PAPER.0[k]) + share * (f64::from(INK.0[k]) - f64::from(PAPER.0[k]));
    Rgb([0, 1, 2].map(|k| channel(k) as u8))
}
