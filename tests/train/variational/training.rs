//! Training with learned noise: its gain, resuming, errors.

use burn_flows::bijector::{ActNorm, ActNormConfig};
use burn_flows::conditioner::{ConvNet, ConvNetConfig};
use burn_flows::train::{Dequantize, FitData, bits_per_dim, nll};

use super::*;

/// The bits per dimension of [`neighbours`]. The first pixel has log2 4 bits. For the second pixel,
/// one level has probability 0.8 + 0.05 and three have 0.05.
fn entropy() -> f64 {
    (2.0 - 0.85 * 0.85f64.log2() - 3.0 * 0.05 * 0.05f64.log2()) / 2.0
}

#[test]
fn learned_noise_needs_fewer_bits_than_uniform_and_never_fewer_than_the_truth() {
    let config = quick().with_epochs(40).with_learning_rate(5e-3).with_average(Some(0.98));
    let data = || neighbours(3000, 1);
    let test = neighbours(4000, 2);
    let (learned, _) = fit(variational(0.0), data(), &config).unwrap();
    let uniform = VariationalDequantize::new(unit(0.01, 0, 0.0), UniformNoise {}, LEVELS).unwrap();
    let (uniform, _) = fit(uniform, data(), &config).unwrap();
    let bits = |nll| bits_per_dim(nll, 2, 1);
    let one = bits(nll(&learned, test.clone(), 1000));
    let uniform = bits(nll(&uniform, test.clone(), 1000));
    let many = bits(-mean(learned.bound(test, None, 32, &mut Noise::seeded(3))));
    println!("uniform {uniform}, learned {one}, of 32 draws {many}, entropy {}", entropy());
    assert!(one < uniform - 0.02, "learned noise {one} bits/dim, uniform {uniform}");
    assert!(many < one, "{many} bits/dim from 32 draws, {one} from one");
    // The entropy of 4000 rows is known to about 0.01 bits.
    assert!(many > entropy() - 0.02, "{many} bits/dim, entropy {}", entropy());
    assert!(one < entropy() + 0.15, "{one} bits/dim, entropy {}", entropy());
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let start = variational(0.2);
    let config = quick().with_average(Some(0.9));
    let (straight, report) = fit(start.clone(), neighbours(300, 1), &config).unwrap();

    // A density that panics interrupts the run after three epochs.
    let config = config.with_checkpoint(Some(folder.path().to_path_buf()));
    crashes(|| {
        // The rows that are tried first; 270 rows are 5 steps and a validation per epoch.
        let bomb = Bomb::new(start.density().clone(), 3 + 6 * 3 + 2);
        let noise = start.noise().clone();
        fit(VariationalDequantize::new(bomb, noise, LEVELS).unwrap(), neighbours(300, 1), &config)
    });
    let bomb = Bomb::new(unit(0.01, 0, 0.2), 1000);
    let fresh = VariationalDequantize::new(bomb, unit(0.0, 2, 0.2), LEVELS).unwrap();
    let (resumed, again) = fit(fresh, neighbours(300, 1), &config).unwrap();
    assert_eq!(again.resumed_from, Some(3));
    assert_eq!(again.epochs, report.epochs);
    let x = neighbours(40, 9);
    let whole = |seed| numbers(straight.bound(x.clone(), None, 2, &mut Noise::seeded(seed)));
    let parts = |seed| numbers(resumed.bound(x.clone(), None, 2, &mut Noise::seeded(seed)));
    assert_eq!(whole(1), parts(1));
    assert_ne!(whole(1), parts(2));
}

/// Data-dependent layers of both parts are initialised: the noise is close to uniform, and the
/// density starts from the dequantized values.
#[test]
fn data_dependent_layers_start_from_a_batch() {
    let device = Device::flex();
    let part = |alpha| {
        let layers = (Logit::new(alpha).unwrap(), ActNormConfig::new(2).init(&device));
        Flow::new(layers, StandardNormal::<2>::new([2], &device))
    };
    let model = VariationalDequantize::new(part(0.01), part(0.0), LEVELS).unwrap();
    let x = neighbours(4000, 1);
    let model = model.init_from_data(x.clone(), None);
    let (v, _) = model.dequantize(x.clone(), None, &mut Noise::seeded(2));
    let z = model.density().encode(v.clone());
    assert!(z.clone().mean_dim(0).abs().max().into_scalar::<f64>() < 0.1);
    assert!((z.var(0) - 1.0).abs().max().into_scalar::<f64>() < 0.1);
    // Uniform noise has mean 1/2 and variance 1/12.
    let u = v * LEVELS as f64 - x;
    let (mean, variance) = (u.clone().mean(), u.var(0).mean());
    assert!((mean.into_scalar::<f64>() - 0.5).abs() < 0.03);
    assert!((variance.into_scalar::<f64>() - 1.0 / 12.0).abs() < 0.015);
}

/// A network of images whose inputs are the integers, as an image, and the part that the coupling
/// keeps.
#[derive(Module, Debug)]
struct SeesImage {
    network: ConvNet,
    channels: usize,
}

impl Conditioner<4> for SeesImage {
    fn forward(&self, kept: Tensor<4>, context: Option<&Tensor<2>>) -> Tensor<4> {
        let [batch, _, height, width] = kept.dims();
        let x = context.expect("the integers").clone();
        let x = x.reshape([batch, self.channels, height, width]);
        self.network.forward(Tensor::cat(vec![kept, x], 1), None)
    }
}

#[test]
fn images_are_dequantized_by_a_network_that_sees_the_image() {
    let device = Device::flex();
    let event = [2, 4, 4];
    let coupling = |mask: Mask, channels: usize| {
        let network = |c_in, c_out| SeesImage {
            network: ConvNetConfig::new(8).init(c_in + channels, c_out, 0, &device),
            channels,
        };
        Coupling::new(&mask, &event, Affine::default(), network, &device).unwrap()
    };
    let layers =
        (Logit::new(0.0).unwrap(), coupling(Mask::Halves, 2), coupling(Mask::Checkerboard, 2));
    let q = fixed(Flow::new(layers, StandardNormal::<4>::new(event, &device)), 3);
    let p = Flow::new(Logit::new(0.01).unwrap(), StandardNormal::<4>::new(event, &device));
    let model = VariationalDequantize::new(p, q, 8).unwrap();
    let x = (Noise::seeded(1).uniform::<4>([40, 2, 4, 4], &device) * 8.0).floor();
    let before = mean(model.bound(x.clone(), None, 4, &mut Noise::seeded(2)));
    let config = quick().with_epochs(30).with_learning_rate(1e-2).with_validation_fraction(0.0);
    let (model, _) = fit(model, x.clone(), &config).unwrap();
    let after = mean(model.bound(x.clone(), None, 4, &mut Noise::seeded(2)));
    assert!(after > before + 1.0, "{before} to {after}");
    // The bound with many draws is close to the true value for this density, which is an upper
    // limit for any noise.
    let uniform = VariationalDequantize::new(model.density().clone(), UniformNoise {}, 8).unwrap();
    let many = mean(uniform.bound(x, None, 64, &mut Noise::seeded(4)));
    assert!(after < many + 1.0, "bound {after}, with 64 draws {many}");
}

#[test]
fn integers_of_one_value_are_data_for_it() {
    // A column that is always 0 has no density, but it has a probability.
    let x = neighbours(200, 1).slice_assign([0..200, 0..1], tensor(vec![0.0; 200], [200, 1]));
    let density = fit(unit(0.01, 0, 0.0), x.clone(), &quick()).unwrap_err();
    assert!(density.to_string().contains("column 0 is constant"), "{density}");
    let (_, report) = fit(variational(0.0), x, &quick()).unwrap();
    assert!(report.epochs[5].train_loss < report.epochs[0].train_loss);
}

#[test]
fn data_it_cannot_take_are_errors() {
    let refused = |data: FitData<2>| fit(variational(0.0), data, &quick()).unwrap_err().to_string();
    let x = neighbours(20, 1);
    assert_eq!(
        refused((x.clone() * 0.0 + 4.0).into()),
        "integer data: row 0, column 0 holds 4, expected an integer from 0 to 3"
    );
    assert_eq!(
        refused(FitData::new(x.clone()).with_validation(x.clone() + 0.5)),
        format!(
            "integer data: row 0, column 0 holds {}, expected an integer from 0 to 3",
            x.clone().slice([0..1, 0..1]).into_scalar::<f64>() + 0.5
        )
    );
    assert_eq!(
        refused(FitData::new(x).with_dequantization(Dequantize::new(4).unwrap())),
        "integer data: the model takes integers; remove with_dequantization"
    );
    let levels = VariationalDequantize::new(unit(0.0, 0, 0.0), UniformNoise {}, 1).unwrap_err();
    assert_eq!(levels.to_string(), "Dequantize.levels: must be between 2 and 16777216, found 1");
}

#[test]
fn a_broken_part_is_named() {
    let device = Device::flex();
    let broken = ActNorm::from_weights(
        Tensor::from_floats([f32::NAN, 0.0], &device),
        Tensor::zeros([2], &device),
    );
    let normal = || StandardNormal::<2>::new([2], &device);
    let q = Flow::new((Logit::new(0.0).unwrap(), broken.clone()), normal());
    let model = VariationalDequantize::new(unit(0.01, 0, 0.0), q, LEVELS).unwrap();
    assert!(model.first_non_finite(pairs(), None).unwrap().starts_with("noise (Flow), at "));
    let p = Flow::new((Logit::new(0.01).unwrap(), broken), normal());
    let model = VariationalDequantize::new(p, UniformNoise {}, LEVELS).unwrap();
    let found = model.first_non_finite(pairs(), None);
    assert_eq!(found.as_deref(), Some("density.bijector.1 (ActNorm)"));
}
