//! A full linear map, parameterised by its singular value decomposition.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::lu::{floored, one_before_floor};
use super::{InvertibleMatrix, LinearMap, Reflections};
use crate::bijector::check_weights;
use crate::config::{construct, seeded_config};
use crate::error::{Result, count, fits, repeats};
use crate::initial;
use crate::math::wide;
use crate::noise::Noise;

seeded_config! {
/// Configuration of an [`SvdLinear`].
///
/// ```
/// use burn_flows::bijector::SvdLinearConfig;
///
/// assert!(SvdLinearConfig::new(4, 4).validate().is_ok());
/// assert!(SvdLinearConfig::new(4, 0).validate().is_err());
/// ```
pub struct SvdLinearConfig {
    /// Number of features of an event.
    pub features: usize,
    /// Number of reflections in each of `U` and `V`. With as many reflections as features, the layer reaches every
    /// matrix of one orientation; fewer reflections are cheaper.
    pub reflections: usize,
}
}

crate::store::checked! {
/// A square matrix `U S V`, parameterised by its factors: products of reflections `U` and `V`, and singular values
/// `softplus(diagonal) + 1e-3`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{InvertibleMatrix, Reflections, SvdFactors};
///
/// let device = Device::flex();
/// let swap = || Reflections::from_weights(Tensor::<2>::from_data([[1.0, -1.0]], &device));
/// // Behind its threshold softplus is the identity.
/// let diagonal = Tensor::from_data([99.999, 49.999], &device);
/// let matrix = SvdFactors::from_weights(swap(), diagonal, swap()).matrix();
/// let expected = Tensor::<2>::from_data([[50.0, 0.0], [0.0, 100.0]], &device);
/// matrix.into_data().assert_approx_eq::<f32>(&expected.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize)]
pub struct SvdFactors {
    left: Reflections,
    #[serde(with = "crate::store::part")]
    diagonal: Param<Tensor<1>>,
    right: Reflections,
}
}

impl SvdFactors {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let size = self.left.size();
        crate::store::shaped("SvdFactors", "diagonal", &[size], self.diagonal.dims())?;
        crate::store::shaped("SvdFactors", "right", &[size], [self.right.size()])
    }
}

impl SvdFactors {
    /// Builds the matrix from its factors. `right` is applied to the input first.
    ///
    /// # Panics
    ///
    /// If the sizes of the factors differ.
    pub fn from_weights(left: Reflections, diagonal: Tensor<1>, right: Reflections) -> Self {
        check_weights("SvdFactors", "diagonal", [left.size()], &diagonal);
        let (size, found) = (left.size(), right.size());
        assert!(
            size == found,
            "SvdFactors: expected right reflections of width {size}, found {found}"
        );
        Self { left, diagonal: Param::from_tensor(diagonal), right }
    }

    /// Random reflections as `U` and `V`, and the identity as `S`.
    pub(super) fn random(size: usize, reflections: usize, seed: u64, device: &Device) -> Self {
        let mut noise = Noise::seeded(seed);
        let mut side = || Reflections::random(size, reflections, &mut noise, device);
        Self::from_weights(side(), one_before_floor(size, device), side())
    }

    /// The singular values.
    fn values(&self) -> Tensor<1> {
        floored(wide(self.diagonal.val()))
    }
}

impl InvertibleMatrix for SvdFactors {
    const LAYER: &'static str = "SvdLinear";

    fn size(&self) -> usize {
        self.left.size()
    }

    fn matrix(&self) -> Tensor<2> {
        (self.left.matrix() * self.values().unsqueeze()).matmul(self.right.matrix())
    }

    fn inverse_matrix(&self) -> Tensor<2> {
        let right = self.right.inverse_matrix() * self.values().recip().unsqueeze();
        right.matmul(self.left.inverse_matrix())
    }

    fn log_abs_det(&self) -> Tensor<1> {
        self.values().log().sum()
    }
}

/// A full linear map `z = U S V x + b`. The initial matrix is a random rotation.
///
/// ```text
/// forward   z = U S V x + b           U, V products of reflections, S diagonal and positive
/// log-det   sum of ln S_ii
/// inverse   x = V^T S^-1 U^T (z - b)
/// ```
///
/// Paper: Zhang, Lei, Dhillon (2018), Stabilizing Gradients for Deep Neural Networks via Efficient
/// SVD Parameterization, arXiv:1803.09327.
/// Same numbers as nflows 0.14 `SVDLinear`.
///
/// # Shapes
///
/// - input and output: `[batch, features]`, or `[batch, channels, height, width]`
///
/// # Numerics
///
/// No singular value is below 1e-3, so the matrix can always be inverted.
///
/// # Panics
///
/// If the width of the event differs from the width of the layer.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, SvdLinearConfig};
///
/// let device = Device::flex();
/// let layer = SvdLinearConfig::new(3, 3).init(&device);
/// let x = Tensor::<2>::from_data([[1.0, -2.0, 0.5]], &device);
/// let (z, _) = layer.forward(x.clone(), None);
/// layer.inverse(z, None).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
pub type SvdLinear = LinearMap<SvdFactors>;

impl SvdLinearConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("SvdLinearConfig", "features", 1, self.features)?;
        fits("SvdLinearConfig", "features", &[self.features, self.features])?;
        repeats("SvdLinearConfig", "reflections", 1, self.reflections)?;
        fits("SvdLinearConfig", "reflections", &[self.reflections, self.features])
    }

    construct! {
        /// Builds the layer.
        seeded(device: &Device) -> SvdLinear
    }

    fn build(&self, device: &Device) -> SvdLinear {
        let matrix = SvdFactors::random(
            self.features,
            self.reflections,
            initial::seed(self.seed, device),
            device,
        );
        LinearMap::new(matrix).with_bias(Tensor::zeros([self.features], device))
    }
}
