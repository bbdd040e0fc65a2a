//! A wrapper around a density that does not pass `mixes_rows` or `init_from_data` on is an error.

use burn_flows::bijector::{ActNorm, BatchNormConfig};

use super::*;

/// A wrapper with the two required methods only.
#[derive(Module, Debug)]
struct Forgetful<F> {
    inner: F,
}

impl<F: Distribution<2>> Distribution<2> for Forgetful<F> {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        self.inner.log_prob(x, context)
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        self.inner.sample(n, context, noise, device)
    }
}

fn base() -> StandardNormal<2> {
    StandardNormal::new([2], &Device::flex())
}

#[test]
fn a_wrapper_that_forgets_to_mix_rows_is_refused() {
    let layers = || {
        let norm = BatchNormConfig::new(2).init(&Device::flex());
        (norm, small().init(&Device::flex()).into_parts().0)
    };
    let flow = Flow::new(layers(), base());
    fit(flow.clone(), banana(100, 1), &quick().with_epochs(1)).unwrap();
    let error = fit(Forgetful { inner: flow }, banana(100, 1), &quick()).unwrap_err().to_string();
    let expected = "fit.flow: ln p of a row depends on the other rows in training, but `mixes_rows` \
                    returns false; a wrapper must pass the call of `mixes_rows` on to its parts";
    assert_eq!(error, expected);
}

#[test]
fn the_check_of_a_wrapper_leaves_running_statistics_alone() {
    let norm = BatchNormConfig::new(2).init(&Device::flex());
    let flow = Flow::new((norm, small().init(&Device::flex()).into_parts().0), base());
    let before = numbers(&flow, banana(9, 3));
    fit(Forgetful { inner: flow.clone() }, banana(100, 1), &quick()).unwrap_err();
    assert_eq!(numbers(&flow, banana(9, 3)), before);
}

#[test]
fn a_wrapper_that_forgets_the_data_is_refused() {
    let layers = || {
        let norm = ActNormConfig::new(2).init(&Device::flex());
        (small().init(&Device::flex()).into_parts().0, norm)
    };
    let flow = Flow::new(layers(), base());
    fit(flow.clone(), banana(100, 1), &quick().with_epochs(1)).unwrap();
    let wrapped = Forgetful { inner: flow };
    let error = fit(wrapped, banana(100, 1), &quick()).unwrap_err().to_string();
    let expected = "fit.flow: the ActNorm at `inner.bijector.1` was not initialised from the data; a \
                    wrapper must pass the call of `init_from_data` on to its parts";
    assert_eq!(error, expected);
    // An ActNorm that has its weights needs no data.
    let norm = ActNorm::from_weights(
        Tensor::zeros([2], &Device::flex()),
        Tensor::zeros([2], &Device::flex()),
    );
    let flow = Flow::new((small().init(&Device::flex()).into_parts().0, norm), base());
    fit(Forgetful { inner: flow }, banana(100, 1), &quick().with_epochs(1)).unwrap();
}
