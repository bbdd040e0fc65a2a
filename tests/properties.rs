//! Properties that hold for every configuration, tested with random configurations.

use approx::assert_relative_eq;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use burn_flows::distribution::Distribution;
use burn_flows::model::*;
use burn_flows::prelude::*;
use burn_flows::testing::moved;
use burn_flows::train::{Dequantize, bits_per_dim};
use proptest::prelude::*;

fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

fn rows(count: usize, width: usize, seed: u64) -> Tensor<2> {
    Noise::seeded(seed).normal([count, width], &Device::flex())
}

fn masks() -> impl Strategy<Value = Masks> {
    prop_oneof![Just(Masks::Alternating), Just(Masks::Halves), any::<u64>().prop_map(Masks::Random)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// At moved weights, a round trip returns the data, and both directions give the same
    /// log-determinant.
    #[test]
    fn every_real_nvp_is_a_bijection(
        features in 2usize..9,
        layers in 1usize..6,
        hidden in 1usize..17,
        context in 0usize..4,
        residual: bool,
        masks in masks(),
        seed: u64,
    ) {
        let mlp = MlpConfig::new(vec![hidden; 2]).with_residual(residual);
        let config = RealNvpConfig::new(features)
            .with_layers(layers)
            .with_masks(masks)
            .with_mlp(mlp)
            .with_context(context);
        let (layers, _) = moved(config.init(&Device::flex()), seed).into_parts();
        let x = rows(5, features, seed);
        let context = (context > 0).then(|| rows(5, context, !seed));
        let (z, log_det) = layers.forward(x.clone(), context.as_ref());
        let (back, minus) = layers.inverse_with_log_det(z, context.as_ref());
        for (a, b) in host(x).into_iter().zip(host(back)) {
            assert_relative_eq!(a, b, epsilon = 1e-3, max_relative = 1e-3);
        }
        for (a, b) in host(log_det).into_iter().zip(host(minus)) {
            assert_relative_eq!(a, -b, epsilon = 1e-3, max_relative = 1e-3);
        }
    }

    /// A mask and its flip together cover all indices exactly once.
    #[test]
    fn masks_divide_the_features(features in 2usize..40, seed: u64) {
        for mask in [Mask::Halves, Mask::Alternating, Mask::Random(seed)] {
            let mut all = mask.kept(&[features]).unwrap();
            all.extend(mask.flipped().kept(&[features]).unwrap());
            all.sort_unstable();
            prop_assert_eq!(all, (0..features).collect::<Vec<_>>());
        }
    }

    /// Chunks of any size give the same numbers, bit for bit.
    #[test]
    fn chunks_do_not_change_a_density(count in 1usize..40, chunk in 1usize..50, seed: u64) {
        let flow = moved(RealNvpConfig::new(3).with_layers(2).init(&Device::flex()), seed);
        let x = rows(count, 3, seed);
        let whole = flow.valid().log_prob(x.clone());
        let parts = flow.log_prob_batched(x, chunk);
        prop_assert_eq!(host(whole), host(parts));
    }

    /// The density returned with a sample equals the density of that sample.
    #[test]
    fn samples_come_with_their_density(features in 2usize..6, seed: u64) {
        let flow = moved(NiceConfig::new(features).init(&Device::flex()), seed).valid();
        let (x, log_prob) = flow.draw_with_log_prob(7, &mut Noise::seeded(seed));
        for (a, b) in host(log_prob).into_iter().zip(host(flow.log_prob(x))) {
            assert_relative_eq!(a, b, epsilon = 1e-3, max_relative = 1e-3);
        }
        prop_assert_eq!(host(flow.sample_seeded(7, seed)), host(flow.sample_seeded(7, seed)));
    }

    /// A dequantized value stays in the bin of its integer and below 1, also in f32.
    #[test]
    fn dequantization_stays_in_its_bin(levels in 2usize..300, seed: u64) {
        let mut noise = Noise::seeded(seed);
        let integers: Vec<f64> = (0..200).map(|_| noise.next_below(levels) as f64).collect();
        let data = burn::tensor::TensorData::new(integers.clone(), [100, 2]);
        let x = Tensor::<2>::from_data(data, &Device::flex());
        let dequantize = Dequantize::new(levels).unwrap();
        dequantize.check(&x).unwrap();
        for (v, n) in host(dequantize.apply(x, &mut noise)).into_iter().zip(integers) {
            prop_assert!((0.0..1.0).contains(&v), "{v}");
            // The sum may round up to the next integer, but not above it.
            let width = 1e-4;
            prop_assert!(v * levels as f64 >= n - width && v * levels as f64 <= n + 1.0 + width);
        }
    }

    /// A bit is ln 2 nats per dimension, and a uniform density needs the bits of its integers.
    #[test]
    fn bits_follow_nats(nll in -500.0f64..500.0, dims in 1usize..4000, levels in 2usize..1000) {
        let bits = bits_per_dim(nll, dims, levels);
        let more = bits_per_dim(nll + dims as f64 * std::f64::consts::LN_2, dims, levels);
        assert_relative_eq!(more - bits, 1.0, epsilon = 1e-9);
        assert_relative_eq!(bits_per_dim(0.0, dims, levels), (levels as f64).log2(), epsilon = 1e-9);
    }

    /// The inverse of a permutation of any size restores the order.
    #[test]
    fn permutations_come_back(features in 1usize..30, seed: u64) {
        let layer = Permutation::random(features, seed, &Device::flex()).unwrap();
        let x = rows(3, features, seed);
        let (z, log_det) = layer.forward(x.clone(), None);
        prop_assert_eq!(host(layer.inverse(z, None)), host(x));
        prop_assert_eq!(host(log_det), vec![0.0; 3]);
    }
}

/// The largest round-trip error of data in f32 at the initial weights, relative to the data or 1.
#[test]
fn every_model_leads_back_at_its_initial_weights() {
    let device = Device::flex();
    fn check<const D: usize, B: Bijector<D>, P>(name: &str, flow: Flow<B, P>, x: Tensor<D>)
    where
        P: Distribution<D>,
    {
        let flow = flow.valid();
        let back = flow.decode(flow.encode(x.clone()));
        let pairs = host(back).into_iter().zip(host(x));
        let far = pairs.map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f64::max);
        assert!(far <= 8e-6, "{name}: {far:e}");
    }
    macro_rules! check {
        ($($config:expr;)+) => {
            $(check(stringify!($config), $config.init(&device), rows(256, 6, 1));)+
        };
    }
    check! {
        NiceConfig::new(6);
        RealNvpConfig::new(6);
        NsfConfig::new(6);
        MafConfig::new(6);
        MafMogConfig::new(MafConfig::new(6), 4);
        IafConfig::new(6);
        AutoregressiveNsfConfig::new(6);
        NeuralAutoregressiveFlowConfig::new(6);
        UnconstrainedAutoregressiveFlowConfig::new(6);
        BernsteinFlowConfig::new(6);
        SumOfSquaresFlowConfig::new(6);
        GaussianizationFlowConfig::new(6);
        PlanarFlowConfig::new(6);
        ResidualFlowConfig::new(6);
    }
    check("angles", CircularNsfConfig::new(6).init(&device), rows(256, 6, 1).tanh() * 3.0);
    let images = Noise::seeded(2).normal::<4>([16, 2, 8, 8], &device);
    let image = RealNvpImageConfig::new([2, 8, 8], 2).init(&device);
    let glow = GlowConfig::new([2, 8, 8], 2).with_steps(4).init(&device);
    for (name, back) in [
        ("real_nvp_image", image.decode(image.encode(images.clone()))),
        ("glow", glow.decode(glow.encode(images.clone()))),
    ] {
        let far = (back - images.clone()).abs().max().into_scalar::<f64>();
        assert!(far <= 8e-6 * 4.0, "{name}: {far:e}");
    }
}
