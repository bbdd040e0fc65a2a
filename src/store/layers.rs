//! burn's layers as described parts of a model.

use burn::module::Param;
use burn::nn::conv::Conv2d;
use burn::nn::{Initializer, Linear, LinearConfig, LinearLayout, PaddingConfig2d};
use burn::tensor::Tensor;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::part;
use super::parts::{Part, is_trainable};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Linear", rename = "Linear")]
struct LinearPart {
    #[serde(with = "part")]
    weight: Param<Tensor<2>>,
    #[serde(with = "part")]
    bias: Option<Param<Tensor<1>>>,
    /// Whether files hold the weight transposed, as in burn's layout `Col`.
    #[serde(getter = "is_transposed")]
    transposed: bool,
}

/// burn does not expose the layout of a layer, so the layout is read from how the layer saves another weight.
fn is_transposed(linear: &Linear) -> bool {
    let probe = linear.weight.clone().map(|weight| Tensor::zeros([1, 2], &weight.device()));
    probe.transform_for_save().val().dims() == [2, 1]
}

impl From<LinearPart> for Linear {
    fn from(part: LinearPart) -> Self {
        let LinearPart { weight, bias, transposed } = part;
        if !transposed {
            return Linear { weight, bias };
        }
        let [outputs, inputs] = weight.dims();
        let config = LinearConfig::new(inputs, outputs).with_initializer(Initializer::Zeros);
        let empty = config.with_layout(LinearLayout::Col).init(&weight.device());
        let trainable = is_trainable(&weight);
        // A loaded value must be a leaf of the graph, so it has to be outside any graph.
        let plain = weight.clone().set_require_grad(false);
        let loaded = empty.weight.transform_for_load(plain.val(), weight.id);
        Linear { weight: loaded.set_require_grad(trainable), bias }
    }
}

impl Part for Linear {
    fn describe<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        LinearPart::serialize(self, serializer)
    }

    fn build<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let linear = LinearPart::deserialize(deserializer)?;
        let outputs = linear.weight.dims()[1];
        match &linear.bias {
            Some(bias) if bias.dims() != [outputs] => {
                let found = bias.dims();
                let reason = format!("a Linear of {outputs} outputs has a bias of shape {found:?}");
                Err(D::Error::custom(reason))
            }
            _ => Ok(linear),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Conv2d", rename = "Conv2d")]
struct Conv2dPart {
    #[serde(with = "part")]
    weight: Param<Tensor<4>>,
    #[serde(with = "part")]
    bias: Option<Param<Tensor<1>>>,
    stride: [usize; 2],
    kernel_size: [usize; 2],
    dilation: [usize; 2],
    groups: usize,
    padding: PaddingConfig2d,
}

impl Part for Conv2d {
    fn describe<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Conv2dPart::serialize(self, serializer)
    }

    fn build<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let conv = Conv2dPart::deserialize(deserializer)?;
        let [outputs, _, height, width] = conv.weight.dims();
        let bias = conv.bias.as_ref().is_none_or(|bias| bias.dims() == [outputs]);
        let steps = conv.stride.iter().chain(&conv.dilation).all(|step| *step > 0);
        let groups = conv.groups > 0 && outputs.is_multiple_of(conv.groups);
        if bias && steps && groups && conv.kernel_size == [height, width] {
            return Ok(conv);
        }
        Err(D::Error::custom("the settings of a Conv2d do not fit its weight and bias"))
    }
}
