//! The multi-scale flow as a distribution: its density and the walk through its layers.

use burn::tensor::{Device, Tensor};

use super::MultiScale;
use crate::bijector::{Bijector, Carried, Place, Walk};
use crate::distribution::{Distribution, LevelBase};
use crate::flow::{check_device, size};
use crate::math::known_context;
use crate::noise::Noise;
use crate::parallel::over_rows;

impl<B: Bijector<4>, P: LevelBase> Distribution<4> for MultiScale<B, P> {
    fn log_prob(&self, x: Tensor<4>, context: Option<&Tensor<2>>) -> Tensor<1> {
        let context = self.fitted(&x, context);
        let size = size(&x);
        over_rows(self, x, context.as_ref(), size, |x, context| {
            let (parts, log_det) = self.parts_and_log_det(x, context);
            let parts = parts.into_iter().zip(&self.bases);
            let log_prob = parts.fold(log_det, |total, ((z, kept), base)| {
                total + base.log_prob(z, kept.as_ref(), context)
            });
            known_context(log_prob, context)
        })
    }

    fn mixes_rows(&self) -> bool {
        self.levels.iter().any(Bijector::mixes_rows)
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<4> {
        check_device(self, device);
        self.drawn(n, context, noise)
    }

    fn init_from_data(mut self, x: Tensor<4>, context: Option<&Tensor<2>>) -> Self {
        let context = self.fitted(&x, context);
        let last = self.levels.len() - 1;
        let mut h = x;
        let mut levels = Vec::with_capacity(self.levels.len());
        for (index, level) in std::mem::take(&mut self.levels).into_iter().enumerate() {
            let (level, out) = level.init_from_data(h, context.as_ref());
            levels.push(level);
            h = if index == last { out } else { self.split(out).0 };
        }
        Self { levels, ..self }
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, x: Tensor<4>) -> Tensor<4> {
        let context = self.fitted(&x, at.context());
        let at = at.with_context(context.as_ref());
        let last = self.levels.len() - 1;
        let mut h = x;
        let mut parts = Vec::with_capacity(self.levels.len());
        for (index, level) in self.levels.iter().enumerate() {
            let place = at.part(format_args!("levels.{index}"));
            let out = level.walk(walk, &place, Carried::new(h)).value;
            if index == last {
                parts.push((out, None, place));
                break;
            }
            let (kept, done) = self.split(out);
            h = kept.clone();
            parts.push((done, Some(kept), place));
        }
        let gradients = parts.iter().zip(&self.bases).enumerate().map(|(index, (part, base))| {
            let (context, (z, kept, _)) = (at.context(), part);
            let at = at.part(format_args!("bases.{index}"));
            let z = z.clone();
            match kept.clone() {
                None => {
                    let [by_z] =
                        walk.density(base, &at, [z], |[z]| base.log_prob(z, None, context));
                    (by_z, None)
                }
                Some(kept) => {
                    let [by_z, by_kept] = walk.density(base, &at, [z, kept], |[z, kept]| {
                        base.log_prob(z, Some(&kept), context)
                    });
                    (by_z, Some(by_kept))
                }
            }
        });
        let gradients: Vec<_> = gradients.collect();
        if !walk.comes_back() {
            return parts.swap_remove(0).0;
        }
        let levels = self.levels.iter().zip(parts).zip(gradients).rev();
        let first = levels.fold(None, |inner: Option<Tensor<4>>, ((level, part), by_base)| {
            let ((z, kept, place), (by_z, by_kept)) = (part, by_base);
            let carried = match (kept, by_kept, inner) {
                (Some(kept), Some(by_kept), Some(inner)) => Carried {
                    value: self.join(kept, z),
                    gradient: Some(self.join(by_kept + inner, by_z)),
                },
                _ => Carried { value: z, gradient: Some(by_z) },
            };
            level.walk(walk, &place.back(), carried).gradient
        });
        first.expect("a walk back carries a gradient")
    }
}
