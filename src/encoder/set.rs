//! Encoder of sets.

use burn::module::Module;
use burn::tensor::{Bool, Device, Int, Tensor};
use serde::Serialize;

use super::{Encoder, dense, renamed, sound_network};
use crate::conditioner::{ActivationConfig, Conditioner, Mlp, check_context};
use crate::config::{construct, seeded_config};
use crate::error::{Result, count, fits};
use crate::math::fine;

seeded_config! {
/// Configuration of a [`SetEncoder`].
///
/// ```
/// use burn_flows::encoder::SetEncoderConfig;
///
/// // Up to 50 measurements of 3 numbers each, summarised by 8 features.
/// let config = SetEncoderConfig::new(50, 3, 8).with_mask(true);
/// assert!(config.validate().is_ok());
/// assert!(config.with_pooled(0).validate().is_err());
/// ```
pub struct SetEncoderConfig {
    /// Number of elements; with `mask`, the largest number.
    pub elements: usize,
    /// Number of values of an element, without the column of the mask.
    pub width: usize,
    /// Number of features, the width of the context of the density.
    pub features: usize,
    /// Gives every element one more column, which is 1 for a present element and 0 for an absent element. Set it to
    /// `true` for sets of different sizes.
    #[config(default = false)]
    pub mask: bool,
    /// Widths of the hidden layers of the network of an element.
    #[config(default = vec![64])]
    pub element_hidden: Vec<usize>,
    /// Number of values per element whose mean is taken. More values describe the elements of a set in more detail.
    #[config(default = 64)]
    pub pooled: usize,
    /// Widths of the hidden layers of the network of the mean.
    #[config(default = vec![64])]
    pub set_hidden: Vec<usize>,
    /// The activation between layers.
    #[config(default = ActivationConfig::Silu)]
    pub activation: ActivationConfig,
    /// Probability that a hidden unit is dropped in training. Raise it against overfitting.
    #[config(default = 0.0)]
    pub dropout: f64,
}
}

crate::store::checked! {
/// Features of a set: the order of its elements has no effect, up to rounding.
///
/// ```text
/// out = rho(mean_i phi(c_i))                      phi, rho dense networks
/// out = rho(mean of phi(c_i) over the present elements, share of present elements)        with a mask
/// ```
///
/// Paper: Zaheer et al. (2017), Deep Sets, theorem 2 and section 3.1, arXiv:1703.06114.
///
/// The theorem takes a sum in place of the mean. A mean does not grow with the set, and with the share of present
/// elements it determines the sum. A maximum is not needed, and it would pass a gradient to one element only.
///
/// # Sets of different sizes
///
/// With [`with_mask`](SetEncoderConfig::with_mask), the last column of an element is its mask. An element is present
/// if its mask is above 0.5. An absent element may hold any finite values: they do not change a bit of the result. A
/// set without present elements has finite features.
///
/// # Shapes
///
/// - context `[rows, elements * width]`, or `[rows, elements * (width + 1)]` with a mask: the values of the first
///   element, then those of the second
/// - output `[rows, features]`
///
/// # Numerics
///
/// The first batch of [`init_from_data`](Encoder::init_from_data) sets a shift and a scale per column of an element,
/// from all present elements of all rows. Later calls change nothing. On `flex`, the mean is computed in f64.
///
/// # Panics
///
/// If the context has another width than the encoder was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::encoder::{Encoder, SetEncoderConfig};
///
/// let device = Device::flex();
/// let encoder = SetEncoderConfig::new(3, 1, 4).with_mask(true).with_seed(1).init(&device);
/// // The numbers 5 and 7, each with its mask, in places of three.
/// let one = Tensor::<2>::from_data([[5.0, 1.0, 7.0, 1.0, 0.0, 0.0]], &device);
/// let same = Tensor::<2>::from_data([[9.9, 0.0, 5.0, 1.0, 7.0, 1.0]], &device);
/// let difference = encoder.encode(one) - encoder.encode(same);
/// assert!(difference.abs().max().into_scalar::<f32>() < 1e-6);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct SetEncoder {
    element: Mlp,
    set: Mlp,
    elements: usize,
    mask: bool,
}
}

impl SetEncoder {
    /// Returns an error if the fields read from a file do not form a valid encoder.
    fn sound(&self) -> Result<()> {
        let [width, pooled] = self.element.ends();
        count("SetEncoder", "elements", 1, self.elements)?;
        count("SetEncoder", "element", 1, width)?;
        sound_network("SetEncoder", "element", &self.element, width)?;
        sound_network("SetEncoder", "set", &self.set, pooled + usize::from(self.mask))
    }

    /// The number of columns of an element, with its mask.
    fn columns(&self) -> usize {
        self.element.ends()[0] + usize::from(self.mask)
    }

    /// The elements of all rows, `[rows * elements, width]`, and the mask, `[rows * elements, 1]`.
    fn split(&self, context: Tensor<2>) -> (Tensor<2>, Option<Tensor<2, Bool>>) {
        let columns = self.columns();
        check_context("SetEncoder", self.elements * columns, Some(&context));
        let all = context.dims()[0] * self.elements;
        let elements = context.reshape([all, columns]);
        if !self.mask {
            return (elements, None);
        }
        let width = columns - 1;
        let present = elements.clone().narrow(1, width, 1).greater_elem(0.5);
        (elements.narrow(1, 0, width), Some(present))
    }

    /// The mean over the present elements; with a mask, also the share of present elements.
    fn pooled(&self, h: Tensor<2>, present: Option<Tensor<2, Bool>>) -> Tensor<2> {
        let ([all, pooled], dtype) = (h.dims(), h.dtype());
        let (rows, elements) = (all / self.elements, self.elements as f64);
        let sum = |h: Tensor<2>| {
            let width = h.dims()[1];
            fine(h).reshape([rows, self.elements, width]).sum_dim(1).reshape([rows, width])
        };
        let Some(present) = present else { return (sum(h) / elements).cast(dtype) };
        let h = h.mask_fill(present.clone().bool_not().expand([all, pooled]), 0.0);
        let count = sum(present.float().cast(dtype));
        let mean = sum(h) / count.clone().clamp_min(1.0);
        Tensor::cat(vec![mean, count / elements], 1).cast(dtype)
    }
}

impl SetEncoderConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        const NAME: &str = "SetEncoderConfig";
        count(NAME, "elements", 1, self.elements)?;
        count(NAME, "width", 1, self.width)?;
        count(NAME, "features", 1, self.features)?;
        count(NAME, "pooled", 1, self.pooled)?;
        fits(NAME, "elements", &[self.elements, self.width + 1])?;
        let element = dense(&self.element_hidden, &self.activation, self.dropout);
        renamed(element.validate_between(self.width, self.pooled, 0), NAME, "element_hidden")?;
        let set = dense(&self.set_hidden, &self.activation, self.dropout);
        let pooled = self.pooled + usize::from(self.mask);
        renamed(set.validate_between(pooled, self.features, 0), NAME, "set_hidden")
    }

    construct! {
        /// Builds the encoder.
        seeded(device: &Device) -> SetEncoder
    }

    fn build(&self, device: &Device) -> SetEncoder {
        let element = dense(&self.element_hidden, &self.activation, self.dropout);
        let set = dense(&self.set_hidden, &self.activation, self.dropout);
        let pooled = self.pooled + usize::from(self.mask);
        SetEncoder {
            element: element.of_context(self.width, self.pooled, device),
            set: set.init(pooled, self.features, 0, device),
            elements: self.elements,
            mask: self.mask,
        }
    }
}

impl Encoder for SetEncoder {
    fn encode(&self, context: Tensor<2>) -> Tensor<2> {
        let (elements, present) = self.split(context);
        let dims = elements.dims();
        let elements = match &present {
            // The values of an absent element must not overflow in the network.
            Some(present) => elements.mask_fill(present.clone().bool_not().expand(dims), 0.0),
            None => elements,
        };
        let h = self.element.forward(elements, None);
        self.set.forward(self.pooled(h, present), None)
    }

    fn init_from_data(self, context: Tensor<2>) -> Self {
        let (elements, present) = self.split(context.without_autodiff());
        let elements = match present {
            Some(present) => {
                let chosen: Tensor<1, Int> = present.flatten::<1>(0, 1).argwhere().flatten(0, 1);
                elements.select(0, chosen)
            }
            None => elements,
        };
        Self { element: self.element.scaled_to(&elements), ..self }
    }

    fn mixes_rows(&self) -> bool {
        false
    }
}
