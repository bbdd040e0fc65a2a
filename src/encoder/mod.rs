//! Encoders: networks that turn a structured context into the context of a density.
//!
//! A context is a `Tensor<2>` of shape `[rows, width]`. A set, a series or an image is given flat, and the
//! configuration of its encoder declares the shape. [`Embedded`] joins an encoder and a density to one distribution,
//! so [`fit`](crate::train::fit) trains both.
//!
//! | encoder | context of a row |
//! | --- | --- |
//! | [`MlpEncoder`] | numbers in any units |
//! | [`SetEncoder`] | a set, `[elements, width]`; the order of the elements has no effect |
//! | [`SeriesEncoder`] | a series, `[channels, steps]` |
//! | [`ImageEncoder`] | an image, `[channels, height, width]` |
//! | [`StandardizeContext`] | numbers in any units; a fixed shift and scale per column, without a network |
//! | `(A, B)` | `A`, then `B` on the result of `A` |
//!
//! All but the last two standardise their input from a first batch, and the shift and the scale are saved. An encoder
//! of your own is a burn module with the three methods of [`Encoder`].

mod embedded;
mod image;
mod mlp;
mod series;
mod set;
mod standardize;

pub use embedded::Embedded;
pub use image::{ImageEncoder, ImageEncoderConfig};
pub use mlp::{MlpEncoder, MlpEncoderConfig};
pub use series::{SeriesEncoder, SeriesEncoderConfig};
pub use set::{SetEncoder, SetEncoderConfig};
pub use standardize::StandardizeContext;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use crate::conditioner::{ActivationConfig, Mlp, MlpConfig};
use crate::error::{Error, Result};

/// A network that maps a context to the context of a density.
///
/// All three methods are required, so that a module around another encoder must pass each of them on. To
/// [open](crate::store::open) a model with an encoder of your own from a file, derive `Serialize` and `Deserialize` for
/// the encoder, and mark its parts of burn with `#[serde(with = "burn_flows::store::part")]`.
///
/// ```
/// use burn::{module::Module, nn::{Linear, LinearConfig}, tensor::{Device, Tensor}};
/// use burn_flows::encoder::Encoder;
///
/// /// A module of burn as an encoder.
/// #[derive(Module, Debug)]
/// struct Own { linear: Linear }
///
/// impl Encoder for Own {
///     fn encode(&self, context: Tensor<2>) -> Tensor<2> { self.linear.forward(context).tanh() }
///     fn init_from_data(self, _context: Tensor<2>) -> Self { self }
///     fn mixes_rows(&self) -> bool { false }
/// }
///
/// let device = Device::flex();
/// let own = Own { linear: LinearConfig::new(3, 2).init(&device) };
/// assert_eq!(own.encode(Tensor::ones([5, 3], &device)).dims(), [5, 2]);
/// ```
pub trait Encoder: Module + ModuleDisplay + Sync {
    /// Returns the features of a context `[rows, width]`, as `[rows, features]`.
    ///
    /// # Panics
    ///
    /// If the context has another width than the encoder was built for.
    fn encode(&self, context: Tensor<2>) -> Tensor<2>;

    /// Data-dependent initialisation from the contexts of a first batch. An encoder without such an initialisation
    /// returns itself.
    fn init_from_data(self, context: Tensor<2>) -> Self;

    /// Whether the features of a row depend on the other rows in training, as with batch normalization.
    fn mixes_rows(&self) -> bool;
}

/// Two encoders in sequence.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::encoder::{Encoder, MlpEncoderConfig, StandardizeContext};
///
/// let device = Device::flex();
/// let contexts = Tensor::<2>::from_data([[1.0, 500.0], [3.0, 900.0]], &device);
/// let network = MlpEncoderConfig::new(2, 4).with_seed(1).init(&device);
/// let both = (StandardizeContext::from_data(&contexts)?, network);
/// assert_eq!(both.encode(contexts).dims(), [2, 4]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
impl<A: Encoder, B: Encoder> Encoder for (A, B) {
    fn encode(&self, context: Tensor<2>) -> Tensor<2> {
        self.1.encode(self.0.encode(context))
    }

    fn init_from_data(self, context: Tensor<2>) -> Self {
        let first = self.0.init_from_data(context.clone());
        let encoded = first.valid().encode(context.without_autodiff());
        (first, self.1.init_from_data(encoded))
    }

    fn mixes_rows(&self) -> bool {
        self.0.mixes_rows() || self.1.mixes_rows()
    }
}

/// A dense network inside an encoder. Its last layer does not start at zero: features that are constant would give the
/// first layer of a flow no gradient, and its standardisation a column without a spread.
fn dense(hidden: &[usize], activation: &ActivationConfig, dropout: f64) -> MlpConfig {
    let network = MlpConfig::new(hidden.to_vec()).with_activation(activation.clone());
    network.with_dropout(dropout).with_zero_last(false)
}

/// An error of a dense network under the name of the encoder's configuration and of its field of hidden widths.
fn renamed<T>(result: Result<T>, config: &'static str, hidden: &'static str) -> Result<T> {
    result.map_err(|error| match error {
        Error::Config { config: "MlpConfig", field, reason } => {
            let field = if field == "hidden" { hidden } else { field };
            Error::config(config, field, reason)
        }
        other => other,
    })
}

/// Checks a dense network that was read from a file: it must map `d_in` values to features, without a context.
fn sound_network(
    encoder: &'static str,
    field: &'static str,
    network: &Mlp,
    d_in: usize,
) -> Result<()> {
    let [found, features] = network.ends();
    let fits = network.is_unconditional() && found == d_in && features > 0;
    crate::store::require(encoder, field, fits, || {
        format!("must map {d_in} values without a context, found {found}")
    })
}
