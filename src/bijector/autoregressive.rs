//! Masked autoregressive layer: a scalar map of each feature, with parameters from the features before it.

use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::Bijector;
use crate::conditioner::{Conditioner, Dense, Made, MadeConfig};
use crate::config::seeded_config;
use crate::error::{Result, expect_valid, not_negative};
use crate::initial;
use crate::kernel::{Pass, conditioned};
use crate::math::event_len;
use crate::param::index_tensor;
use crate::rows::{callers_dims, check_rows, spread};
use crate::univariate::{Kernel, Univariate, WideUnivariate, check_elements};

/// How a [`MaskedAutoregressive`] is inverted. All methods give the same numbers up to rounding.
///
/// | method | passes through the network | when to take it |
/// | --- | --- | --- |
/// | `Incremental` | 1, split into as many steps as features | on a CPU |
/// | `FixedPoint` | until no value changes, at most as many as features | on a GPU, or with weak dependencies |
///
/// `FixedPoint` suits a GPU because it runs few large steps instead of many small steps.
///
/// On a CPU, `Incremental` took 1.3 to 3.2 times as long as `forward` with an affine map or a rational-quadratic spline,
/// with 1 to 1024 rows. With 64 features and 1024 rows, `FixedPoint` took 5.5 times as long (tolerance 1e-5, random
/// weights). The benchmark `layers` measures both on your machine. Where the dependencies of the features form a graph
/// that is not a chain, read "the longest path" for "features".
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, InverseMethod, MaskedAutoregressiveConfig};
/// use burn_flows::{testing::moved, univariate::Affine};
///
/// let layer = MaskedAutoregressiveConfig::new(4).init(Affine::default(), &Device::flex());
/// let layer = moved(layer, 1).valid();
/// let x = Tensor::<2>::from_data([[0.3, -1.0, 0.5, 2.0]], &Device::flex());
/// let (z, _) = layer.forward(x.clone(), None);
/// for method in [InverseMethod::Incremental, InverseMethod::FixedPoint { tolerance: 1e-6 }] {
///     let back = layer.clone().with_inverse(method)?.inverse(z.clone(), None);
///     back.into_data().assert_approx_eq::<f32>(&x.to_data(), Default::default());
/// }
/// # use burn::module::Module;
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub enum InverseMethod {
    /// Inverts feature by feature. Each step computes only the hidden units that became known, so in total every weight
    /// is used once.
    #[default]
    Incremental,
    /// Runs whole passes, from zero, until no value of a row changes by more than the tolerance (Jacobi iteration).
    /// Every row stops by itself, so no row depends on the others. A row is exact, whatever the tolerance, after as
    /// many passes as there are features. Each pass reads one number back from the device, to test whether all rows
    /// have stopped.
    FixedPoint {
        /// A row stops after its largest change is at most this tolerance, in units of the data. A smaller tolerance
        /// gives a more accurate inverse in more passes.
        tolerance: f64,
    },
}

impl InverseMethod {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::Incremental => Ok(()),
            Self::FixedPoint { tolerance } => not_negative("InverseMethod", "tolerance", tolerance),
        }
    }
}

seeded_config! {
/// Configuration of a [`MaskedAutoregressive`].
///
/// ```
/// use burn_flows::bijector::MaskedAutoregressiveConfig;
/// use burn_flows::conditioner::{Dependencies, MadeConfig};
///
/// let made = MadeConfig::new(vec![64, 64]).with_dependencies(Dependencies::Reversed);
/// let config = MaskedAutoregressiveConfig::new(6).with_made(made).with_context(2);
/// assert!(config.validate().is_ok());
/// ```
pub struct MaskedAutoregressiveConfig {
    /// Number of features of an event. For an image, the number of all its values.
    pub features: usize,
    /// The masked network: its hidden widths, and the order in which features depend on each other. Wider layers model
    /// richer dependencies at a higher cost.
    #[config(default = MadeConfig::new(vec![128, 128]))]
    pub made: MadeConfig,
    /// Width of the context; 0 for none. Set it for a conditional flow.
    #[config(default = 0)]
    pub context: usize,
    /// How the layer is inverted. Choose [`InverseMethod::FixedPoint`] to sample on a GPU.
    #[config(default = InverseMethod::Incremental)]
    pub inverse: InverseMethod,
}
}

crate::store::checked! {
/// A masked autoregressive layer of any scalar map `U`.
///
/// ```text
/// forward   z_i = f(x_i; h_i(x_1 .. x_(i-1), c))     f monotone, h a masked network
/// log-det   sum of ln |f'(x_i; h_i)|
/// inverse   x_i = f^-1(z_i; h_i(x_1 .. x_(i-1), c)),  one feature after the other
/// ```
///
/// Papers: Papamakarios, Pavlakou, Murray (2017), Masked Autoregressive Flow for Density
/// Estimation, equations 2 to 5, arXiv:1705.07057; with the directions exchanged ([`Inverse`](super::Inverse)):
/// Kingma et al. (2016), Improving Variational Inference with Inverse Autoregressive Flow,
/// arXiv:1606.04934.
/// Same numbers as nflows 0.14 `MaskedAffineAutoregressiveTransform`, zuko 1.6
/// `MaskedAutoregressiveTransform`, normflows 1.7 `MaskedAffineAutoregressive` (its [`Inverse`](super::Inverse)),
/// FlowJAX 19 `MaskedAutoregressive`.
///
/// `forward` is one pass through the network, so densities and training by maximum likelihood are cheap. `inverse`
/// takes more work. An [`Inverse`](super::Inverse) of this layer samples in one parallel pass instead. On an autodiff
/// device, both directions keep the graph of the layer.
///
/// # Shapes
///
/// - input and output: `[batch, features]`, or `[batch, event..]` with as many values per event, taken
///   in memory order (channel by channel, row by row)
/// - context: `[batch, context]`, if the layer was built for a context
///
/// # Panics
///
/// If the size of the event or of the context differs from the size that the layer was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::{Bijector, MaskedAutoregressiveConfig}, univariate::Affine};
///
/// let layer = MaskedAutoregressiveConfig::new(3).init(Affine::default(), &Device::flex());
/// let x = Tensor::<2>::from_data([[0.1, -0.2, 0.3]], &Device::flex());
/// let (z, log_det) = layer.forward(x.clone(), None);
/// assert_eq!(log_det.dims(), [1]);
/// layer.inverse(z, None).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize)]
pub struct MaskedAutoregressive<U: Univariate> {
    univariate: U,
    conditioner: Made,
    #[module(skip)]
    inverse: InverseMethod,
}
}

impl<U: Univariate> MaskedAutoregressive<U> {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let (needed, found) = (self.univariate.params_per_element(), self.conditioner.outputs());
        let reason = || format!("must output {needed} parameters per feature, found {found}");
        crate::store::require("MaskedAutoregressive", "conditioner", needed == found, reason)?;
        self.inverse.validate()
    }
}

impl MaskedAutoregressiveConfig {
    /// Returns an error that names the first invalid field. [`try_init`](Self::try_init) also checks the scalar map.
    pub fn validate(&self) -> Result<()> {
        self.made.validate_for(self.features, self.context)?;
        self.inverse.validate()
    }

    /// Builds the layer.
    ///
    /// # Panics
    ///
    /// If [`try_init`](Self::try_init) fails, with its message.
    pub fn init<U: Univariate>(&self, univariate: U, device: &Device) -> MaskedAutoregressive<U> {
        self.try_init(univariate, device).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Builds the layer, or returns an error if the scalar map does not fit.
    ///
    /// # Errors
    ///
    /// If [`validate`](Self::validate) fails, if the map needs more parameters than a network can give, or if the
    /// number of elements of the map differs from the number of features.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use burn_flows::bijector::MaskedAutoregressiveConfig;
    /// use burn_flows::univariate::{Affine, NeuralConfig};
    ///
    /// let (config, device) = (MaskedAutoregressiveConfig::new(4), Device::flex());
    /// assert!(config.try_init(Affine::default(), &device).is_ok());
    /// let three = NeuralConfig::new().with_elements(3).init(&device);
    /// let error = config.try_init(three, &device).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "MaskedAutoregressive.univariate: expected a map of 4 elements, found 3 elements"
    /// );
    /// ```
    pub fn try_init<U: Univariate>(
        &self,
        univariate: U,
        device: &Device,
    ) -> Result<MaskedAutoregressive<U>> {
        self.validate_for(&univariate)?;
        let per_feature = univariate.params_per_element();
        let network = || self.made.init(self.features, per_feature, self.context, device);
        let conditioner = initial::scope(self.seed, network);
        MaskedAutoregressive::new(univariate, conditioner).with_inverse(self.inverse)
    }

    /// Runs [`validate`](Self::validate) and checks the scalar map.
    pub(crate) fn validate_for(&self, univariate: &impl Univariate) -> Result<()> {
        self.validate()?;
        self.made.validate_outputs(self.features, univariate.params_per_element())?;
        check_elements("MaskedAutoregressive", univariate, self.features)
    }
}

impl<U: Univariate> MaskedAutoregressive<U> {
    /// Builds the layer from a network that gives as many parameters per feature as the scalar map needs.
    ///
    /// # Panics
    ///
    /// If the network gives another number of parameters, or the number of elements of the map differs from the number
    /// of features.
    pub fn new(univariate: U, conditioner: Made) -> Self {
        let (expected, found) = (univariate.params_per_element(), conditioner.outputs());
        assert!(
            expected == found,
            "MaskedAutoregressive: expected {expected} parameters per feature from the network, found {found}"
        );
        expect_valid(check_elements("MaskedAutoregressive", &univariate, conditioner.features()));
        Self { univariate, conditioner, inverse: InverseMethod::default() }
    }

    /// Sets the method of inversion.
    ///
    /// # Errors
    ///
    /// If [`InverseMethod::validate`] fails.
    pub fn with_inverse(self, inverse: InverseMethod) -> Result<Self> {
        inverse.validate()?;
        Ok(Self { inverse, ..self })
    }

    /// The masked network.
    pub fn conditioner(&self) -> &Made {
        &self.conditioner
    }

    fn flat<const D: usize>(&self, x: Tensor<D>) -> Tensor<2> {
        let (dims, features) = (callers_dims(&x), self.conditioner.features());
        let rest = if D > 2 { " elements in any shape" } else { "" };
        assert!(
            event_len(&x) == features,
            "MaskedAutoregressive: expected shape [batch, {features}{rest}], found {dims:?}"
        );
        let rows = x.dims()[0];
        x.reshape([rows, features])
    }

    /// The parameters of all features, `[batch, P, features]`, from one pass through the network.
    fn params(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<3> {
        let [batch, features] = x.dims();
        let context = spread("MaskedAutoregressive", batch, context);
        let raw = self.conditioner.forward(x, context.as_ref());
        raw.reshape([batch, self.univariate.params_per_element(), features])
    }

    /// The forward direction in one operation. `None` if the kernel does not support the network, the map or the tensors.
    fn at_once(
        &self,
        x: &Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> Option<(Tensor<2>, Tensor<1>)> {
        let Kernel(map) = self.univariate.kernel()?;
        check_rows("MaskedAutoregressive", x.dims()[0], context);
        let Dense(network) = self.conditioner.dense(context)?;
        let all: Vec<usize> = (0..self.conditioner.features()).collect();
        let (z, log_det) = conditioned(network, map, Pass::Forward, [&all, &all], x)?;
        Some((z, log_det?))
    }

    /// The inverse by whole passes from zero. After pass `s` the features of the first `s` steps are exact.
    fn iterated(&self, z: Tensor<2>, context: Option<&Tensor<2>>, tolerance: f64) -> Tensor<2> {
        let passes = self.conditioner.steps().into_iter().max().unwrap_or_default() + 1;
        let mut x = z.zeros_like().detach();
        let mut done: Option<Tensor<2, Bool>> = None;
        for _ in 0..passes {
            let next = self.univariate.wide_inverse(z.clone(), self.params(x.clone(), context));
            let moved = (next.clone() - x.clone()).without_autodiff().abs().max_dim(1);
            let arrived = moved.lower_equal_elem(tolerance);
            (x, done) = match done {
                None => (next, Some(arrived)),
                Some(done) => {
                    let rests = done.clone().expand(z.dims());
                    (next.mask_where(rests, x), Some(arrived.bool_or(done)))
                }
            };
            if done.clone().is_some_and(|done| done.all().into_scalar::<bool>()) {
                break;
            }
        }
        x
    }

    /// The inverse, feature by feature, and the log-determinant if `with_log_det`.
    fn incremental(
        &self,
        z: Tensor<2>,
        context: Option<&Tensor<2>>,
        with_log_det: bool,
    ) -> (Tensor<2>, Option<Tensor<1>>) {
        let [batch, features] = z.dims();
        if let Some(Kernel(map)) = self.univariate.kernel() {
            check_rows("MaskedAutoregressive", batch, context);
            let done = self.conditioner.stepwise(map, &z, context, with_log_det);
            if let Some((x, params)) = done {
                let log_det = |params| self.univariate.wide_inverse_with_log_det(z, params).1;
                return (x, params.map(log_det));
            }
        }
        if batch == 1 {
            // A single row is inverted as two equal rows: matrix products with one row would add in another order.
            let context = context.map(|context| context.clone().repeat_dim(0, 2));
            let twice = self.incremental(z.repeat_dim(0, 2), context.as_ref(), with_log_det);
            return (twice.0.narrow(0, 0, 1), twice.1.map(|log_det| log_det.narrow(0, 0, 1)));
        }
        let per_feature = self.univariate.params_per_element();
        let context = spread("MaskedAutoregressive", batch, context);
        let network = self.conditioner.unrolled(batch, context.as_ref());
        let order = network.order();
        let z = arranged(z.transpose(), order);
        let mut all = vec![];
        let x = network.run(&mut |places, params| {
            let count = places.len();
            if with_log_det {
                all.push(params.clone().reshape([per_feature, count, batch]));
            }
            let z = z.clone().narrow(0, places.start, count);
            if let Some(map) = self.univariate.of_elements(&order[places]) {
                let params = params.reshape([per_feature, count, batch]).permute([2, 0, 1]);
                return map.wide_inverse(z.transpose(), params).transpose();
            }
            // The map does not depend on the feature or the row, so both can share one axis.
            let z = z.reshape([1, count * batch]);
            let params = params.reshape([1, per_feature, count * batch]);
            self.univariate.wide_inverse(z, params).reshape([count, batch])
        });
        let log_det = with_log_det.then(|| {
            let params = Tensor::cat(all, 1).permute([2, 0, 1]);
            let own = self.univariate.of_elements(order);
            let map = own.as_ref().unwrap_or(&self.univariate);
            map.wide_inverse_with_log_det(z.transpose(), params).1
        });
        let mut back = vec![0; features];
        order.iter().enumerate().for_each(|(place, &feature)| back[feature] = place);
        (arranged(x, &back).transpose(), log_det)
    }
}

/// Row `i` of the result is row `order[i]`.
fn arranged(x: Tensor<2>, order: &[usize]) -> Tensor<2> {
    if order.iter().copied().eq(0..order.len()) {
        return x;
    }
    let indices = index_tensor(order, &x.device());
    x.select(0, indices)
}

impl<const D: usize, U: Univariate> Bijector<D> for MaskedAutoregressive<U> {
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        let dims = x.dims();
        let x = self.flat(x);
        if let Some((z, log_det)) = self.at_once(&x, context) {
            return (z.reshape(dims), log_det);
        }
        let params = self.params(x.clone(), context);
        let (z, log_det) = self.univariate.wide_forward(x, params);
        (z.reshape(dims), log_det)
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        let dims = z.dims();
        let z = self.flat(z);
        let x = match self.inverse {
            InverseMethod::Incremental => self.incremental(z, context, false).0,
            InverseMethod::FixedPoint { tolerance } => self.iterated(z, context, tolerance),
        };
        x.reshape(dims)
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>) {
        let dims = z.dims();
        if self.inverse == InverseMethod::Incremental {
            let (x, log_det) = self.incremental(self.flat(z), context, true);
            return (x.reshape(dims), log_det.expect("asked for"));
        }
        let x = self.inverse(z, context);
        let log_det = self.log_det_jacobian(x.clone(), context);
        (x, log_det.neg())
    }

    fn init_from_data(self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Self, Tensor<D>) {
        let flat = self.flat(x.clone().without_autodiff());
        let conditioner = self.conditioner.init_from_data(flat, context);
        let layer = Self { conditioner, ..self };
        let (z, _) = layer.valid().forward(x, context);
        (layer, z)
    }
}

#[cfg(all(test, feature = "flex", feature = "testing"))]
mod tests {
    use burn::tensor::DType;

    use super::super::traced::{assert_near, traced};
    use super::*;
    use crate::cast;
    use crate::conditioner::{ActivationConfig, Degrees, Dependencies};
    use crate::noise::Noise;
    use crate::testing::moved;
    use crate::univariate::{Affine, RationalQuadraticConfig};

    fn largest(x: Tensor<2>) -> f64 {
        x.abs().max().into_scalar::<f64>()
    }

    /// Compares the kernel with the reference, which a device with a graph runs, and rows of a batch with single rows.
    fn compare<U: Univariate>(univariate: U, made: MadeConfig, [features, context]: [usize; 2]) {
        let config =
            MaskedAutoregressiveConfig::new(features).with_made(made).with_context(context);
        let layer = moved(config.with_seed(1).init(univariate, &Device::flex()), 2).valid();
        for (dtype, bound) in [(DType::F64, 1e-11), (DType::F32, 2e-3)] {
            let layer = cast(layer.clone(), dtype);
            let Kernel(map) = layer.univariate.kernel().expect("a kernel");
            for rows in [1, 3, 16, 31, 32, 75] {
                let draw = |seed, width| {
                    let x = Noise::seeded(seed).normal::<2>([rows, width], &Device::flex());
                    x.cast(dtype)
                };
                let (z, given) = (draw(3, features), (context > 0).then(|| draw(4, context)));
                let done = layer.conditioner.stepwise(map, &z, given.as_ref(), false);
                assert!(done.is_some(), "the kernel is not used");
                let (x, log_det) = layer.inverse_with_log_det(z.clone(), given.as_ref());
                let trained = layer.clone().train();
                let (wanted, by) = trained.inverse_with_log_det(z.clone(), given.as_ref());
                let (wanted, by) = (wanted.without_autodiff(), by.without_autodiff());
                let size = largest(wanted.clone()).max(1.0);
                let error = largest(x.clone() - wanted) / size;
                assert!(error < bound, "{dtype:?} {rows}: {error:e}");
                let error = largest((log_det - by).unsqueeze_dim(1)) / size;
                assert!(error < bound, "{dtype:?} {rows}: {error:e}");
                let back: (Tensor<2>, _) = layer.forward(x.clone(), given.as_ref());
                assert!(largest(back.0 - z.clone()) / size < bound, "{dtype:?} {rows}");
                let row = rows / 2..rows / 2 + 1;
                let context = given.map(|given| given.slice(row.clone()));
                let alone: Tensor<2> = layer.inverse(z.slice(row.clone()), context.as_ref());
                assert_eq!(alone.into_data(), x.slice(row).into_data(), "{dtype:?} {rows}");
            }
        }
    }

    #[test]
    fn the_kernel_inverts_like_the_reference() {
        let spline = || RationalQuadraticConfig::new().with_bins(5).init();
        compare(Affine::default(), MadeConfig::new(vec![19, 23]), [7, 0]);
        compare(Affine::default(), MadeConfig::new(vec![9]), [7, 2]);
        compare(spline(), MadeConfig::new(vec![40]).with_degrees(Degrees::Random(5)), [7, 3]);
        // A single feature depends on nothing.
        compare(Affine::default(), MadeConfig::new(vec![9, 8]), [1, 0]);
        compare(spline(), MadeConfig::new(vec![9, 9]).with_residual(true), [1, 2]);
        let silu = MadeConfig::new(vec![21, 20, 33]).with_activation(ActivationConfig::Silu);
        compare(spline(), silu.with_dependencies(Dependencies::Reversed), [7, 2]);
        let residual = MadeConfig::new(vec![24, 24, 24]).with_residual(true);
        compare(Affine::default(), residual.clone(), [7, 0]);
        compare(spline(), residual.with_activation(ActivationConfig::Silu), [7, 2]);
    }

    /// Compares the forward kernel in a graph with the separate operations in a graph.
    fn compare_gradients<U: Univariate>(univariate: U, made: MadeConfig, context: usize) {
        let features = 7;
        let config =
            MaskedAutoregressiveConfig::new(features).with_made(made).with_context(context);
        let layer = moved(config.with_seed(1).init(univariate, &Device::flex()), 2);
        for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 1e-4)] {
            let layer = cast(layer.clone(), dtype).train();
            for (rows, contexts, tracked) in
                [(1, 1, true), (17, 17, true), (300, 1, true), (300, 300, false), (17, 1, false)]
            {
                let draw = |seed, shape: [usize; 2]| {
                    let x = Noise::seeded(seed).normal::<2>(shape, &Device::flex()).cast(dtype);
                    if tracked { x.autodiff().require_grad() } else { x }
                };
                let x = draw(3, [rows, features]);
                let given = (context > 0).then(|| draw(4, [contexts, context]));
                let inputs = (&x, given.as_ref());
                let at_once = |x: Tensor<2>, given: Option<&Tensor<2>>| {
                    layer.at_once(&x, given).expect("a kernel")
                };
                let separate = |x: Tensor<2>, given: Option<&Tensor<2>>| {
                    let params = layer.params(x.clone(), given);
                    layer.univariate.wide_forward(x, params)
                };
                let found = traced(&layer, inputs, at_once);
                let wanted = traced(&layer, inputs, separate);
                assert_near(&found, &wanted, bound);
            }
        }
    }

    #[test]
    fn the_forward_kernel_has_the_gradients_of_the_separate_operations() {
        let spline = || RationalQuadraticConfig::new().with_bins(5).init();
        let silu = || MadeConfig::new(vec![21, 20]).with_activation(ActivationConfig::Silu);
        compare_gradients(Affine::default(), MadeConfig::new(vec![129, 130]), 0);
        compare_gradients(Affine::default(), MadeConfig::new(vec![9]), 2);
        compare_gradients(spline(), silu().with_dependencies(Dependencies::Reversed), 0);
        compare_gradients(spline(), silu(), 3);
    }

    #[test]
    fn the_forward_kernel_has_the_bits_of_the_separate_operations() {
        fn compare<U: Univariate>(univariate: U, made: MadeConfig, features: usize) {
            let config = MaskedAutoregressiveConfig::new(features).with_made(made).with_seed(1);
            let layer = moved(config.init(univariate, &Device::flex()), 2).valid();
            for dtype in [DType::F64, DType::F32] {
                let layer = cast(layer.clone(), dtype);
                for rows in [1, 2, 31, 300] {
                    let x = Noise::seeded(3).normal::<2>([rows, features], &Device::flex());
                    let x = x.cast(dtype);
                    let (z, log_det) = layer.at_once(&x, None).expect("a kernel");
                    let params = layer.params(x.clone(), None);
                    let (wanted, by) = layer.univariate.wide_forward(x, params);
                    assert_eq!(z.into_data(), wanted.into_data(), "{dtype:?} {rows}");
                    assert_eq!(log_det.into_data(), by.into_data(), "{dtype:?} {rows}");
                }
            }
        }
        let spline = RationalQuadraticConfig::new().with_bins(5).init();
        compare(Affine::default(), MadeConfig::new(vec![129, 130]), 40);
        compare(Affine::default(), MadeConfig::new(vec![9]), 1);
        let silu = MadeConfig::new(vec![21, 20]).with_activation(ActivationConfig::Silu);
        compare(spline, silu.with_dependencies(Dependencies::Reversed), 7);
    }
}
