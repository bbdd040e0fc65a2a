//! A choice among several maps for every element.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::Serialize;

use super::{Univariate, check_elements};
use crate::error::Result;
use crate::param::index_tensor;

crate::store::checked! {
/// Applies one of several maps to each element.
///
/// ```text
/// forward   z_i = f_k(i)(x_i)          k(i) which of a few maps element i has
/// log-det   the sum of theirs
/// inverse   x_i = f_k(i)^-1(z_i)
/// ```
///
/// For events whose features are of different kinds: angles beside lengths, or intervals with different
/// ends. Same numbers as the lists of `tails` of normflows 1.7.
///
/// Each element has as many parameters as the map with the most parameters. Maps with fewer parameters
/// ignore the last ones.
///
/// # Shapes
///
/// - values `[batch, elements]`; parameters `[batch, P, elements]`, where `P` is `params_per_element`
///
/// # Panics
///
/// If the number of elements of the values differs from the length of `which`.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{PerElement, RationalQuadraticConfig, SplineDomain, Univariate};
///
/// // Two angles and a number on the line.
/// let spline = |domain| RationalQuadraticConfig::new().with_domain(domain).init();
/// let angle = spline(SplineDomain::Circular { bound: std::f64::consts::PI });
/// let line = spline(SplineDomain::LinearTails { bound: 5.0 });
/// let map = PerElement::new(vec![angle, line], vec![0, 0, 1])?;
/// let device = Device::flex();
/// let x = Tensor::<2>::from_data([[-1.5, 3.0, 40.0]], &device);
/// let params = Tensor::<3>::ones([1, map.params_per_element(), 3], &device);
/// let (z, _) = map.forward(x.clone(), params.clone());
/// let back = map.inverse(z, params);
/// back.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct PerElement<U> {
    maps: Vec<U>,
    which: Vec<usize>,
}
}

impl<U> PerElement<U> {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        let (count, which) = (self.maps.len(), &self.which);
        let holds = !which.is_empty() && which.iter().all(|map| *map < count);
        crate::store::require("PerElement", "which", holds, || {
            format!("must hold at least 1 index, all below {count}, found {which:?}")
        })
    }
}

impl<U: Univariate> PerElement<U> {
    /// Builds the layer in which element `i` has the map `maps[which[i]]`.
    ///
    /// # Errors
    ///
    /// If `which` is empty or holds an index outside `maps`, or a map is built for another number of
    /// elements than `which` assigns to it.
    pub fn new(maps: Vec<U>, which: Vec<usize>) -> Result<Self> {
        let layer = Self { maps, which };
        layer.sound()?;
        for (index, map) in layer.maps.iter().enumerate() {
            let own = layer.which.iter().filter(|&&map| map == index).count();
            // A map without elements is never run.
            if own > 0 {
                check_elements("PerElement", map, own)?;
            }
        }
        Ok(layer)
    }

    /// Runs every map on its elements. `run` returns values, and optionally a log-det.
    fn each(
        &self,
        x: Tensor<2>,
        params: Tensor<3>,
        run: impl Fn(&U, Tensor<2>, Tensor<3>) -> (Tensor<2>, Option<Tensor<1>>),
    ) -> (Tensor<2>, Option<Tensor<1>>) {
        let (expected, found) = (self.which.len(), x.dims()[1]);
        assert!(found == expected, "PerElement: expected {expected} elements, found {found}");
        let device = x.device();
        let (mut values, mut log_det, mut order) = (vec![], None, vec![]);
        for (index, map) in self.maps.iter().enumerate() {
            let own: Vec<usize> = (0..expected).filter(|&i| self.which[i] == index).collect();
            if own.is_empty() {
                continue;
            }
            let params = params.clone().narrow(1, 0, map.params_per_element());
            let (x, params) = match own.len() == expected {
                true => (x.clone(), params),
                false => {
                    let indices = index_tensor(&own, &device);
                    (x.clone().select(1, indices.clone()), params.select(2, indices))
                }
            };
            let (value, own_log_det) = run(map, x, params);
            values.push(value);
            log_det = match (log_det, own_log_det) {
                (Some(sum), Some(own)) => Some(sum + own),
                (sum, own) => sum.or(own),
            };
            order.extend(own);
        }
        if values.len() == 1 {
            return (values.swap_remove(0), log_det);
        }
        let mut back = vec![0; expected];
        order.iter().enumerate().for_each(|(place, &element)| back[element] = place);
        (Tensor::cat(values, 1).select(1, index_tensor(&back, &device)), log_det)
    }
}

impl<U: Univariate> Univariate for PerElement<U> {
    fn params_per_element(&self) -> usize {
        self.maps.iter().map(U::params_per_element).max().unwrap_or_default()
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let (z, log_det) = self.each(x, params, |map, x, params| {
            let (z, log_det) = map.forward(x, params);
            (z, Some(log_det))
        });
        (z, log_det.expect("at least one element"))
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
        self.each(z, params, |map, z, params| (map.inverse(z, params), None)).0
    }

    fn inverse_with_log_det(&self, z: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let (x, log_det) = self.each(z, params, |map, z, params| {
            let (x, log_det) = map.inverse_with_log_det(z, params);
            (x, Some(log_det))
        });
        (x, log_det.expect("at least one element"))
    }

    fn elements(&self) -> Option<usize> {
        Some(self.which.len())
    }

    fn of_elements(&self, elements: &[usize]) -> Option<Self> {
        let which: Vec<usize> = elements.iter().map(|&element| self.which[element]).collect();
        // A map with weights for each of its elements counts only its own elements.
        let place = |element: usize| {
            let before = &self.which[..element];
            before.iter().filter(|&&map| map == self.which[element]).count()
        };
        let maps = self.maps.iter().enumerate().map(|(index, map)| {
            let own = elements.iter().filter(|&&element| self.which[element] == index);
            let own: Vec<usize> = own.map(|&element| place(element)).collect();
            // A map without elements left is never run.
            let narrowed = (!own.is_empty()).then(|| map.of_elements(&own)).flatten();
            narrowed.unwrap_or_else(|| map.clone())
        });
        Some(Self { maps: maps.collect(), which })
    }

    fn has_inverse_formula(&self) -> bool {
        self.maps.iter().all(U::has_inverse_formula)
    }
}
