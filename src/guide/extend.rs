//! Layers, scalar maps, conditioners and distributions of your own.
//!
//! Each trait is implemented on a burn module. `#[derive(Module)]` needs `burn` among the dependencies, in the version
//! of `burn_flows::burn`. The programs of this chapter need these dependencies:
//!
//! ```sh
//! cargo add burn-flows --features testing
//! cargo add burn@0.22 --no-default-features
//! cargo add serde --features derive
//! ```
//!
//! `testing::check` (feature `testing`) compares `inverse` with `forward`, and
//! the log-determinant with the Jacobian. In f64 the suite also compares gradients with finite differences:
//! `Device::flex().configure(burn::tensor::FloatDType::F64)` before the first tensor selects f64.
//!
//! # A layer
//!
//! A layer is a [`Bijector`](crate::bijector::Bijector) with two methods: `forward` with the log-determinant, and
//! `inverse`. The layer below is `z = asinh(x e^s)` with one parameter `s` for each feature. The layer makes heavy
//! tails lighter.
//!
//! ```
//! use burn::{module::{Module, Param}, tensor::{Device, Tensor}};
//! use burn_flows::{bijector::Bijector, testing::Suite};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Module, Debug, Serialize, Deserialize)]
//! struct Arcsinh {
//!     #[serde(with = "burn_flows::store::part")] // for `store::save` and `store::open`
//!     log_scale: Param<Tensor<1>>,
//! }
//!
//! impl Arcsinh {
//!     fn row(&self, x: &Tensor<2>) -> Tensor<2> {
//!         let (expected, found) = (self.log_scale.dims()[0], x.dims()[1]);
//!         assert!(found == expected, "Arcsinh: expected width {expected}, found {found}");
//!         self.log_scale.val().unsqueeze()
//!     }
//! }
//!
//! impl Bijector<2> for Arcsinh {
//!     fn forward(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
//!         let s = self.row(&x);
//!         let scaled = x * s.clone().exp();
//!         let log_slope = s - (scaled.clone().square() + 1.0).log() * 0.5;
//!         (scaled.asinh(), log_slope.sum_dim(1).squeeze_dim(1))
//!     }
//!     fn inverse(&self, z: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<2> {
//!         z.clone().sinh() * self.row(&z).neg().exp()
//!     }
//! }
//!
//! let log_scale = Param::from_tensor(Tensor::zeros([3], &Device::flex()));
//! // sinh overflows f32 beyond 89: latents are drawn from a smaller range.
//! let report = Suite::new([4, 3]).with_range(-9.0, 9.0).check(Arcsinh { log_scale });
//! assert!(report.failed().is_empty(), "{report}");
//! ```
//!
//! `cargo run --release -p examples --example custom_bijector` checks, trains and saves a layer of this kind.
//!
//! # A scalar map
//!
//! A [`Univariate`](crate::univariate::Univariate) is a monotone map of one number whose parameters come from a layer.
//! Parameters have the shape `[batch, P, n]`; zeros mean the identity. The map below has one slope on each side of
//! zero. [`Elementwise`](crate::bijector::Elementwise) and [`Coupling`](crate::bijector::Coupling) make a layer of the
//! map.
//!
//! ```
//! use burn::{module::Module, tensor::{Device, Tensor}};
//! use burn_flows::{bijector::Elementwise, testing, univariate::Univariate};
//!
//! #[derive(Module, Debug)]
//! struct TwoSlopes {}
//!
//! /// The logarithm of the slope at each number, between -3 and 3.
//! fn log_slope(x: &Tensor<2>, params: Tensor<3>) -> Tensor<2> {
//!     let side = |index| params.clone().narrow(1, index, 1).squeeze_dim::<2>(1).tanh() * 3.0;
//!     side(0).mask_where(x.clone().greater_elem(0.0), side(1))
//! }
//!
//! impl Univariate for TwoSlopes {
//!     fn params_per_element(&self) -> usize { 2 }
//!     fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
//!         let slope = log_slope(&x, params);
//!         (x * slope.clone().exp(), slope.sum_dim(1).squeeze_dim(1))
//!     }
//!     fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
//!         z.clone() * log_slope(&z, params).neg().exp() // x and z have one sign
//!     }
//! }
//!
//! // Panics with a list of failures.
//! testing::check(Elementwise::new(TwoSlopes {}, 3, &Device::flex())?, [4, 3]);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # A conditioner
//!
//! A [`Conditioner`](crate::conditioner::Conditioner) is a network from the unchanged features and the context to the
//! parameters of a scalar map. [`Coupling::new`](crate::bijector::Coupling::new) passes the numbers of inputs and
//! outputs to the closure `network`.
//!
//! ```
//! use burn::{module::Module, nn::{Linear, LinearConfig}, tensor::{Device, Tensor}};
//! use burn_flows::bijector::{Coupling, Mask};
//! use burn_flows::{conditioner::Conditioner, testing, univariate::Affine};
//!
//! #[derive(Module, Debug)]
//! struct Waves { input: Linear, output: Linear }
//!
//! impl Conditioner<2> for Waves {
//!     fn forward(&self, kept: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<2> {
//!         self.output.forward(self.input.forward(kept).sin())
//!     }
//! }
//!
//! let device = Device::flex();
//! device.seed(1); // burn's own layers draw from the device
//! let linear = |from, to| LinearConfig::new(from, to).init(&device);
//! let network = |from, to| Waves { input: linear(from, 16), output: linear(16, to) };
//! let layer = Coupling::new(&Mask::Halves, &[4], Affine::default(), network, &device)?;
//! testing::check(layer, [4, 4]);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # A distribution
//!
//! A [`Distribution`](crate::distribution::Distribution) is a density with a sampler: a base of a flow, or a target.
//! `testing::check` checks layers only. Check a distribution by its entropy: the mean log-density of the samples must
//! be minus the entropy.
//!
//! ```
//! use burn::{module::Module, tensor::{Device, Tensor}};
//! use burn_flows::{Noise, distribution::Distribution};
//!
//! #[derive(Module, Debug)]
//! struct Laplace {} // two independent Laplace variables
//!
//! impl Distribution<2> for Laplace {
//!     fn log_prob(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<1> {
//!         (x.abs() + std::f64::consts::LN_2).sum_dim(1).squeeze_dim::<1>(1).neg()
//!     }
//!     fn sample(&self, n: usize, _: Option<&Tensor<2>>, noise: &mut Noise, device: &Device) -> Tensor<2> {
//!         let mut exponential = || (noise.uniform::<2>([n, 2], device).neg() + 1.0).log().neg();
//!         exponential() - exponential() // the difference of two exponential variables
//!     }
//! }
//!
//! let device = Device::flex();
//! let x = Laplace {}.sample(20_000, None, &mut Noise::seeded(1), &device);
//! let mean = Laplace {}.log_prob(x, None).mean().into_scalar::<f32>();
//! assert!((mean + 2.0 * (1.0 + 2f32.ln())).abs() < 0.05);
//! ```
