//! Coupling: one part of the event sets the parameters of a scalar map of the rest.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Bijector, Mask, Recovery, Split};
use crate::conditioner::{Conditioner, Dense, Mlp, MlpConfig};
use crate::config::seeded_config;
use crate::error::{Result, count};
use crate::initial;
use crate::kernel::{Pass, conditioned};
use crate::rows::{check_rows, spread};
use crate::univariate::{Kernel, Univariate, WideUnivariate, check_elements};

seeded_config! {
/// Configuration of a [`Coupling`] of vectors with an [`Mlp`].
///
/// ```
/// use burn_flows::bijector::{CouplingConfig, Mask};
///
/// assert!(CouplingConfig::new(4).with_mask(Mask::Random(7)).validate().is_ok());
/// let error = CouplingConfig::new(1).validate().unwrap_err();
/// assert_eq!(error.to_string(), "CouplingConfig.mask: must move at least 1 index of event [1], found 0");
/// ```
pub struct CouplingConfig {
    /// Number of features of an event.
    pub features: usize,
    /// Which features pass unchanged. Stacked couplings need different masks, so that each feature is moved by some
    /// layer.
    #[config(default = Mask::Alternating)]
    pub mask: Mask,
    /// The network that computes the parameters of the scalar map. Wider layers model richer dependencies at a higher
    /// cost.
    #[config(default = MlpConfig::new(vec![128, 128]))]
    pub mlp: MlpConfig,
    /// Width of the context; 0 for none. Set it for a conditional flow.
    #[config(default = 0)]
    pub context: usize,
}
}

/// A coupling layer, generic over the scalar map `U` and the network `N`, for events of any rank.
///
/// The [`Mask`] splits an event `x` into `x_a`, which passes unchanged, and `x_b`, which moves. The context is `c`.
///
/// ```text
/// forward   z_a = x_a,  z_b = f(x_b; h(x_a, c))     f monotone in every element, h any network
/// log-det   sum of ln |f'(x_b; h(x_a, c))|
/// inverse   x_a = z_a,  x_b = f^-1(z_b; h(z_a, c))
/// ```
///
/// Papers: Dinh, Krueger, Bengio (2015), NICE, section 3.2, arXiv:1410.8516; Dinh, Sohl-Dickstein,
/// Bengio (2017), Real NVP, equations 4 to 8, arXiv:1605.08803.
/// Same numbers as zuko 1.6 `GeneralCouplingTransform`, nflows 0.14 `CouplingTransform`, normflows
/// 1.7 `AffineCouplingBlock`, FlowJAX 19 `Coupling`.
///
/// # Shapes
///
/// - input and output: `[batch, features]`, or `[batch, channels, height, width]`
/// - context: `[batch, context]`, if the conditioner was built for a context
///
/// # Panics
///
/// If the width of the event or of the context differs from the width that the layer was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::{Bijector, CouplingConfig}, univariate::Affine};
///
/// let device = Device::flex();
/// let layer = CouplingConfig::new(4).init(Affine::default(), &device);
/// let x = Tensor::<2>::from_data([[0.1, -0.2, 0.3, 0.4]], &device);
/// let (z, log_det) = layer.forward(x.clone(), None);
/// assert_eq!(log_det.dims(), [1]);
/// layer.inverse(z, None).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Coupling<U, N> {
    split: Split,
    univariate: U,
    conditioner: N,
}

crate::display::display!(Coupling<U, N>);

impl CouplingConfig {
    /// Returns an error that names the first invalid field. [`try_init`](Self::try_init) also checks the scalar map.
    pub fn validate(&self) -> Result<()> {
        self.validate_for(1)
    }

    /// [`validate`](Self::validate) for a scalar map of `per_element` parameters.
    pub(crate) fn validate_for(&self, per_element: usize) -> Result<()> {
        count("CouplingConfig", "features", 1, self.features)?;
        let kept =
            self.mask.kept(&[self.features]).map_err(|error| error.of("CouplingConfig"))?.len();
        let moved = self.features - kept;
        self.mlp.validate_between(kept, moved.saturating_mul(per_element), self.context)
    }

    /// Builds the layer.
    ///
    /// # Panics
    ///
    /// If [`try_init`](Self::try_init) fails, with its message.
    pub fn init<U: Univariate>(&self, univariate: U, device: &Device) -> Coupling<U, Mlp> {
        self.try_init(univariate, device).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Builds the layer, or returns an error if the scalar map does not fit.
    ///
    /// # Errors
    ///
    /// If [`validate`](Self::validate) fails, if the map needs more parameters than a network can give, or if the
    /// number of elements of the map differs from the number of elements that the mask moves.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use burn_flows::bijector::CouplingConfig;
    /// use burn_flows::univariate::{Affine, NeuralConfig};
    ///
    /// let (config, device) = (CouplingConfig::new(4), Device::flex());
    /// assert!(config.try_init(Affine::default(), &device).is_ok());
    /// let three = NeuralConfig::new().with_elements(3).init(&device);
    /// let error = config.try_init(three, &device).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "Coupling.univariate: expected a map of 2 elements, found 3 elements"
    /// );
    /// ```
    pub fn try_init<U: Univariate>(
        &self,
        univariate: U,
        device: &Device,
    ) -> Result<Coupling<U, Mlp>> {
        self.validate_for(univariate.params_per_element())?;
        let network = |d_in, d_out| self.mlp.init(d_in, d_out, self.context, device);
        let layer = || Coupling::new(&self.mask, &[self.features], univariate, network, device);
        initial::scope(self.seed, layer)
    }
}

impl<U: Univariate, N> Coupling<U, N> {
    /// Builds a coupling with a custom conditioner. `network` receives the widths of the conditioner on axis 1: the
    /// width of its input, and the number of parameters that it must output.
    ///
    /// # Errors
    ///
    /// If the mask does not fit the event, or the number of elements of the map differs from the number that the mask
    /// moves.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::{bijector::{Bijector, Coupling, Mask}, conditioner::ConvNetConfig, univariate::Affine};
    ///
    /// let device = Device::flex();
    /// let network = |c_in, c_out| ConvNetConfig::new(16).init(c_in, c_out, 0, &device);
    /// let layer = Coupling::new(&Mask::Checkerboard, &[1, 8, 8], Affine::default(), network, &device)?;
    /// let (z, _) = layer.forward(Tensor::<4>::ones([2, 1, 8, 8], &device), None);
    /// assert_eq!(z.dims(), [2, 1, 8, 8]);
    /// # Ok::<(), burn_flows::Error>(())
    /// ```
    pub fn new(
        mask: &Mask,
        event: &[usize],
        univariate: U,
        network: impl FnOnce(usize, usize) -> N,
        device: &Device,
    ) -> Result<Self> {
        let split = Split::new(mask, event, device)?;
        check_elements("Coupling", &univariate, split.moved())?;
        let (d_in, served) = split.conditioner_widths(event[0]);
        let conditioner = network(d_in, served * univariate.params_per_element());
        Ok(Self { split, univariate, conditioner })
    }

    /// The parameters of the scalar map of the `moved` elements.
    fn params<const D: usize>(
        &self,
        kept: &Tensor<D>,
        moved: &Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> Tensor<3>
    where
        N: Conditioner<D>,
    {
        let context = spread("Coupling", kept.dims()[0], context);
        let raw = self.conditioner.forward(kept.clone(), context.as_ref());
        self.split.params(raw, self.univariate.params_per_element(), moved.dims()[1])
    }

    /// The layer in one operation. `None` if the kernel does not support the network, the map or the tensors.
    fn at_once<const D: usize>(
        &self,
        pass: Pass,
        x: &Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> Option<(Tensor<D>, Option<Tensor<1>>)>
    where
        N: Conditioner<D>,
    {
        let Kernel(map) = self.univariate.kernel()?;
        let Dense(network) = self.conditioner.dense(context)?;
        self.split.check_event("Coupling", x);
        check_rows("Coupling", x.dims()[0], context);
        let [kept, moved] = self.split.groups();
        conditioned(network, map, pass, [&kept, &moved], x)
    }
}

impl<const D: usize, U: Univariate, N: Conditioner<D>> Bijector<D> for Coupling<U, N> {
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        if let Some((z, Some(log_det))) = self.at_once(Pass::Forward, &x, context) {
            return (z, log_det);
        }
        let (kept, moved) = self.split.take(x);
        let params = self.params(&kept, &moved, context);
        let (moved, log_det) = self.univariate.wide_forward(moved, params);
        (self.split.merge(kept, moved), log_det)
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        if let Some((x, _)) = self.at_once(Pass::Inverse, &z, context) {
            return x;
        }
        let (kept, moved) = self.split.take(z);
        let params = self.params(&kept, &moved, context);
        let moved = self.univariate.wide_inverse(moved, params);
        self.split.merge(kept, moved)
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>) {
        if let Some((x, Some(log_det))) = self.at_once(Pass::InverseWithLogDet, &z, context) {
            return (x, log_det);
        }
        let (kept, moved) = self.split.take(z);
        let params = self.params(&kept, &moved, context);
        let (moved, log_det) = self.univariate.wide_inverse_with_log_det(moved, params);
        (self.split.merge(kept, moved), log_det)
    }

    fn init_from_data(self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Self, Tensor<D>) {
        let (kept, _) = self.split.take(x.clone().without_autodiff());
        let given = spread("Coupling", kept.dims()[0], context);
        let conditioner = self.conditioner.init_from_data(kept, given.as_ref());
        let layer = Self { conditioner, ..self };
        let (z, _) = layer.valid().forward(x, context);
        (layer, z)
    }

    fn recovery(&self) -> Recovery {
        if self.univariate.has_inverse_formula() { Recovery::Inverse } else { Recovery::Input }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::DType;

    use super::super::traced::{assert_near, traced};
    use super::*;
    use crate::cast;
    use crate::conditioner::ActivationConfig;
    use crate::noise::Noise;
    use crate::testing::moved;
    use crate::univariate::{Affine, RationalQuadraticConfig};

    /// A network that the kernel does not know.
    #[derive(Module, Debug)]
    struct Unknown {
        network: Mlp,
    }

    impl Conditioner<2> for Unknown {
        fn forward(&self, kept: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
            self.network.forward(kept, context)
        }
    }

    /// Compares the kernel with the separate operations, bit for bit.
    fn compare<U: Univariate>(univariate: U, mask: Mask, mlp: MlpConfig, context: usize) {
        let (device, features) = (Device::flex(), 7);
        let config = CouplingConfig::new(features).with_mask(mask).with_mlp(mlp);
        let layer = config.with_context(context).with_seed(1).init(univariate, &device);
        let layer = moved(layer, 2).valid();
        for dtype in [DType::F64, DType::F32] {
            let layer = cast(layer.clone(), dtype);
            let Coupling { split, univariate, conditioner } = layer.clone();
            let plain =
                Coupling { split, univariate, conditioner: Unknown { network: conditioner } };
            for (rows, contexts) in [(1, 1), (2, 1), (17, 17), (300, 300), (300, 1)] {
                let draw = |seed, [rows, width]: [usize; 2]| {
                    Noise::seeded(seed).normal::<2>([rows, width], &device).cast(dtype)
                };
                let x = draw(3, [rows, features]);
                let given = (context > 0).then(|| draw(4, [contexts, context]));
                let given = given.as_ref();
                assert!(layer.at_once(Pass::Inverse, &x, given).is_some(), "no kernel");
                assert!(plain.at_once(Pass::Inverse, &x, given).is_none());
                let same = |found: (Tensor<2>, Tensor<1>), wanted: (Tensor<2>, Tensor<1>)| {
                    assert_eq!(found.0.into_data(), wanted.0.into_data(), "{dtype:?} {rows}");
                    assert_eq!(found.1.into_data(), wanted.1.into_data(), "{dtype:?} {rows}");
                };
                same(layer.forward(x.clone(), given), plain.forward(x.clone(), given));
                let [found, wanted] = [
                    layer.inverse_with_log_det(x.clone(), given),
                    plain.inverse_with_log_det(x.clone(), given),
                ];
                let back = layer.inverse(x, given);
                assert_eq!(back.into_data(), found.0.to_data(), "{dtype:?} {rows}");
                same(found, wanted);
            }
        }
    }

    /// Compares the kernel in a graph with the separate operations in a graph.
    fn compare_gradients<U: Univariate>(univariate: U, mask: Mask, mlp: MlpConfig, context: usize) {
        let (device, features) = (Device::flex(), 7);
        let config = CouplingConfig::new(features).with_mask(mask).with_mlp(mlp);
        let layer = config.with_context(context).with_seed(1).init(univariate, &device);
        let layer = moved(layer, 2);
        for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 1e-4)] {
            let layer = cast(layer.clone(), dtype);
            for (rows, contexts, tracked) in
                [(1, 1, true), (17, 17, true), (300, 1, true), (300, 300, false), (17, 1, false)]
            {
                let draw = |seed, [rows, width]: [usize; 2]| {
                    let x = Noise::seeded(seed).normal::<2>([rows, width], &device).cast(dtype);
                    if tracked { x.autodiff().require_grad() } else { x }
                };
                let x = draw(3, [rows, features]);
                let given = (context > 0).then(|| draw(4, [contexts, context]));
                let layer = layer.clone().train();
                let Coupling { split, univariate, conditioner } = layer.clone();
                let plain =
                    Coupling { split, univariate, conditioner: Unknown { network: conditioner } };
                assert!(layer.at_once(Pass::Forward, &x, given.as_ref()).is_some(), "no kernel");
                let inputs = (&x, given.as_ref());
                let found = traced(&layer, inputs, |x, given| layer.forward(x, given));
                let wanted = traced(&plain, inputs, |x, given| plain.forward(x, given));
                assert_eq!(found[..2], wanted[..2], "{dtype:?} {rows}");
                assert_near(&found, &wanted, bound);
            }
        }
    }

    #[test]
    fn the_kernel_has_the_gradients_of_the_separate_operations() {
        let spline = || RationalQuadraticConfig::new().with_bins(5).init();
        let silu = || MlpConfig::new(vec![9, 33]).with_activation(ActivationConfig::Silu);
        compare_gradients(Affine::default(), Mask::Alternating, MlpConfig::new(vec![19, 23]), 0);
        compare_gradients(Affine::default(), Mask::Halves.flipped(), silu(), 2);
        compare_gradients(spline(), Mask::Halves, MlpConfig::new(vec![130]), 0);
        compare_gradients(spline(), Mask::Random(3), silu(), 3);
        compare_gradients(Affine::default(), Mask::Kept(vec![4]), silu(), 1);
        compare_gradients(spline(), Mask::Kept(vec![4]).flipped(), silu(), 0);
    }

    #[test]
    fn a_graph_that_stores_fewer_tensors_takes_the_separate_operations() {
        let device = Device::flex().autodiff().gradient_checkpointing();
        let layer = CouplingConfig::new(7).with_seed(1).init(Affine::default(), &device);
        let x = Noise::seeded(3).normal::<2>([17, 7], &Device::flex());
        assert!(layer.at_once(Pass::Forward, &x, None).is_none());
        let found = traced(&layer, (&x, None), |x, given| layer.forward(x, given));
        let usual = layer.valid().train();
        let wanted = traced(&usual, (&x, None), |x, given| usual.forward(x, given));
        assert_near(&found, &wanted, 1e-5);
    }

    #[test]
    fn the_kernel_has_the_bits_of_the_separate_operations() {
        let spline = || RationalQuadraticConfig::new().with_bins(5).init();
        let silu = || MlpConfig::new(vec![9, 33]).with_activation(ActivationConfig::Silu);
        compare(Affine::default(), Mask::Alternating, MlpConfig::new(vec![19, 23]), 0);
        compare(Affine::default(), Mask::Halves.flipped(), silu(), 2);
        compare(spline(), Mask::Halves, MlpConfig::new(vec![130]), 0);
        compare(spline(), Mask::Random(3), silu(), 3);
        // One element is kept, and one is moved.
        compare(Affine::default(), Mask::Kept(vec![4]), silu(), 1);
        compare(spline(), Mask::Kept(vec![4]).flipped(), silu(), 0);
    }
}
