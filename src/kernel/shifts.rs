//! A convolution as one matrix product: the side with fewer channels is expanded over the shifts.
//!
//! wide = M gather(small),  small = scatter(M^T wide)        gather and scatter are adjoint
//!
//! `M` is `[wide, small * size * size]`. Images are processed in blocks of fixed size, so that results do not depend on
//! the number of threads.

use rayon::prelude::*;

use super::matrix::{Matrix, Real, Scratch, add_product, product};
use crate::crew::in_a_pool;

/// The number of pixels of a block. Smaller blocks make the product inefficient, and larger blocks do not fit into the
/// cache of a core. With 64 channels, 128 to 512 pixels are about equally fast.
const BLOCK: usize = 256;

/// The number of multiplications below which the overhead of threads exceeds their gain.
const PARALLEL: usize = 1 << 18;

/// The sizes of a convolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shifts {
    pub(super) wide: usize,
    pub(super) small: usize,
    /// The number of rows and of columns of the kernel, which is odd.
    pub(super) size: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Shifts {
    fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// The number of rows of the expanded side.
    fn spread(&self) -> usize {
        self.small * self.size * self.size
    }

    fn images_of_block(&self) -> usize {
        (BLOCK / self.pixels()).max(1)
    }

    /// `M gather(small)` plus a bias per channel, for consecutive images.
    pub(super) fn expand<T: Real>(&self, m: &[T], small: &[T], bias: &[T]) -> Vec<T> {
        let m = Matrix::new(m, [self.wide, self.spread()]);
        self.blocks(small, [self.small, self.wide], |small, out, images| {
            let columns = self.gather(small, images);
            let columns = Matrix::new(&columns, [self.spread(), images * self.pixels()]);
            let mut wide = Scratch::new(self.wide * images * self.pixels());
            let rows = wide.chunks_mut(images * self.pixels());
            rows.zip(bias).for_each(|(row, &bias)| row.fill(bias));
            add_product(&mut wide, m, columns);
            self.interleave(&wide, self.wide, images, out);
        })
    }

    /// `scatter(M^T wide)` plus a bias per channel, for consecutive images.
    pub(super) fn reduce<T: Real>(&self, m: &[T], wide: &[T], bias: &[T]) -> Vec<T> {
        let m = Matrix::new(m, [self.wide, self.spread()]).transposed();
        self.blocks(wide, [self.wide, self.small], |wide, out, images| {
            let columns = self.planes(wide, self.wide, images);
            let columns = Matrix::new(&columns, [self.wide, images * self.pixels()]);
            let mut spread = Scratch::new(self.spread() * images * self.pixels());
            product(&mut spread, m, columns);
            self.scatter(&spread, bias, images, out);
        })
    }

    /// `wide gather(small)^T`, summed over the images in the order of the blocks.
    pub(super) fn outer<T: Real>(&self, wide: &[T], small: &[T]) -> Vec<T> {
        let (step, pixels) = (self.images_of_block(), self.pixels());
        let sizes = [self.wide, self.small].map(|channels| step * channels * pixels);
        let one = |(wide, small): (&[T], &[T])| {
            let images = small.len() / (self.small * pixels);
            let wide = self.planes(wide, self.wide, images);
            let columns = self.gather(small, images);
            let wide = Matrix::new(&wide, [self.wide, images * pixels]);
            let columns = Matrix::new(&columns, [self.spread(), images * pixels]);
            let mut part = vec![T::zero(); self.wide * self.spread()];
            product(&mut part, wide, columns.transposed());
            part
        };
        let parts: Vec<Vec<T>> = match in_a_pool() {
            true => wide.chunks(sizes[0]).zip(small.chunks(sizes[1])).map(one).collect(),
            false => wide.par_chunks(sizes[0]).zip(small.par_chunks(sizes[1])).map(one).collect(),
        };
        let mut total = vec![T::zero(); self.wide * self.spread()];
        for part in parts {
            total.iter_mut().zip(part).for_each(|(total, part)| *total = *total + part);
        }
        total
    }

    /// Processes all blocks of images, from a side with `from` channels to a side with `to` channels.
    fn blocks<T: Real>(
        &self,
        images: &[T],
        [from, to]: [usize; 2],
        block: impl Fn(&[T], &mut [T], usize) + Sync,
    ) -> Vec<T> {
        let (step, pixels) = (self.images_of_block(), self.pixels());
        let count = images.len() / (from * pixels);
        let mut out = vec![T::zero(); count * to * pixels];
        let one = |(given, out): (&[T], &mut [T])| block(given, out, out.len() / (to * pixels));
        let (given, taken) = (step * from * pixels, step * to * pixels);
        if in_a_pool() || count * pixels * self.wide * self.spread() < PARALLEL {
            images.chunks(given).zip(out.chunks_mut(taken)).for_each(one);
        } else {
            images.par_chunks(given).zip(out.par_chunks_mut(taken)).for_each(one);
        }
        out
    }

    /// The small side of a block at each shift: `[small * size * size, images * pixels]`.
    fn gather<T: Real>(&self, small: &[T], images: usize) -> Scratch<T> {
        if self.size == 1 {
            return self.planes(small, self.small, images);
        }
        let (pixels, size) = (self.pixels(), [self.height, self.width]);
        let copy = |to: &mut T, from| *to = from;
        let mut columns = Scratch::new(self.spread() * images * pixels);
        let frame = self.frame();
        let mut padded = Scratch::new(images * frame.pixels());
        padded.fill(T::zero());
        for channel in 0..self.small {
            for image in 0..images {
                let from = &small[(image * self.small + channel) * pixels..][..pixels];
                let to = &mut padded[image * frame.pixels() + frame.start..];
                each((from, self.width), (to, frame.width), size, copy);
            }
            let shifts = self.size * self.size;
            let rows = &mut columns[channel * shifts * images * pixels..];
            for (shift, row) in rows.chunks_mut(images * pixels).take(shifts).enumerate() {
                let offset = shift / self.size * frame.width + shift % self.size;
                for (image, plane) in row.chunks_mut(pixels).enumerate() {
                    let from = &padded[image * frame.pixels() + offset..];
                    each((from, frame.width), (plane, self.width), size, copy);
                }
            }
        }
        columns
    }

    /// Applies the adjoint of [`gather`](Self::gather), adds a bias, and writes the sum to `out`, the small side of a
    /// block.
    fn scatter<T: Real>(&self, columns: &[T], bias: &[T], images: usize, out: &mut [T]) {
        let (pixels, size) = (self.pixels(), [self.height, self.width]);
        let copy = |to: &mut T, from| *to = from;
        let add = |to: &mut T, from| *to = *to + from;
        let frame = self.frame();
        let mut padded = Scratch::new(images * frame.pixels());
        let shifts = self.size * self.size;
        for (channel, rows) in columns.chunks(shifts * images * pixels).enumerate() {
            padded.fill(bias[channel]);
            for (shift, row) in rows.chunks(images * pixels).enumerate() {
                let offset = shift / self.size * frame.width + shift % self.size;
                for (image, plane) in row.chunks(pixels).enumerate() {
                    let to = &mut padded[image * frame.pixels() + offset..];
                    each((plane, self.width), (to, frame.width), size, add);
                }
            }
            for image in 0..images {
                let from = &padded[image * frame.pixels() + frame.start..];
                let to = &mut out[(image * self.small + channel) * pixels..][..pixels];
                each((from, frame.width), (to, self.width), size, copy);
            }
        }
    }

    /// The layout of an image with a margin for the shifts.
    fn frame(&self) -> Frame {
        let (margin, width) = (self.size / 2, self.width + self.size - 1);
        Frame { width, height: self.height + self.size - 1, start: margin * width + margin }
    }

    /// The images of a block in channel-major order: `[channels, images * pixels]`.
    fn planes<T: Real>(&self, block: &[T], channels: usize, images: usize) -> Scratch<T> {
        let pixels = self.pixels();
        let mut out = Scratch::new(block.len());
        for (index, out) in out.chunks_mut(pixels).enumerate() {
            let (channel, image) = (index / images, index % images);
            out.copy_from_slice(&block[(image * channels + channel) * pixels..][..pixels]);
        }
        out
    }

    /// The inverse of [`planes`](Self::planes).
    fn interleave<T: Real>(&self, planes: &[T], channels: usize, images: usize, out: &mut [T]) {
        let pixels = self.pixels();
        for (image, out) in out.chunks_mut(channels * pixels).enumerate() {
            for (channel, out) in out.chunks_mut(pixels).enumerate() {
                out.copy_from_slice(&planes[(channel * images + image) * pixels..][..pixels]);
            }
        }
    }
}

/// An image with its margin: its sizes, and the index of its first pixel.
struct Frame {
    width: usize,
    height: usize,
    start: usize,
}

impl Frame {
    fn pixels(&self) -> usize {
        self.width * self.height
    }
}

/// A rectangle in an image: the elements from its first pixel on, and the width of the image.
type Rows<'a, T> = (&'a [T], usize);

/// A rectangle in an image for writing: the elements from its first pixel on, and the width of the image.
type RowsMut<'a, T> = (&'a mut [T], usize);

/// Calls `apply` for each pair of elements of two rectangles of size `rows` times `width`.
fn each<T: Real>(
    from: Rows<'_, T>,
    to: RowsMut<'_, T>,
    [rows, width]: [usize; 2],
    apply: impl Fn(&mut T, T),
) {
    // For a row length known at compile time, the compiler emits one move instead of a loop.
    match width {
        2 => each_of_width::<T, 2>(from, to, rows, apply),
        4 => each_of_width::<T, 4>(from, to, rows, apply),
        8 => each_of_width::<T, 8>(from, to, rows, apply),
        16 => each_of_width::<T, 16>(from, to, rows, apply),
        _ => {
            for row in 0..rows {
                let from = &from.0[row * from.1..][..width];
                let to = &mut to.0[row * to.1..][..width];
                to.iter_mut().zip(from).for_each(|(to, &from)| apply(to, from));
            }
        }
    }
}

fn each_of_width<T: Real, const WIDTH: usize>(
    (from, from_step): Rows<'_, T>,
    (to, to_step): RowsMut<'_, T>,
    rows: usize,
    apply: impl Fn(&mut T, T),
) {
    for row in 0..rows {
        let from: &[T; WIDTH] = from[row * from_step..][..WIDTH].try_into().expect("WIDTH long");
        let to: &mut [T; WIDTH] = (&mut to[row * to_step..][..WIDTH]).try_into().expect("same");
        to.iter_mut().zip(from).for_each(|(to, &from)| apply(to, from));
    }
}
