//! Training of encoders to posteriors whose entropy is known.

use burn_flows::conditioner::MlpConfig;
use burn_flows::distribution::{ConditionalNormal, ConditionalNormalConfig};
use burn_flows::encoder::Embedded;
use burn_flows::train::{FitConfig, FitData, fit};

use super::*;

/// The deviation of a measurement.
const NOISE: f64 = 0.7;

/// Parameters `theta`, drawn from a standard normal, and sets of up to six elements: a measurement of `theta` with
/// noise, and three values that say nothing. The numbers of elements differ. Also the exact `ln p(theta | set)`.
fn sets(rows: usize, seed: u64) -> (Tensor<2>, Tensor<2>, Vec<f64>) {
    let mut noise = Noise::seeded(seed);
    let (mut thetas, mut sets, mut exact) = (vec![], vec![], vec![]);
    for _ in 0..rows {
        let theta = noise.next_normal();
        let present = 1 + noise.next_below(6);
        let mut sum = 0.0;
        for element in 0..6 {
            let measured = theta + NOISE * noise.next_normal();
            let is_present = element < present;
            sum += if is_present { measured } else { 0.0 };
            sets.push(measured);
            sets.extend([(); 3].map(|()| 2.0 * noise.next_normal()));
            sets.push(f64::from(u8::from(is_present)));
        }
        let variance = 1.0 / (1.0 + present as f64 / (NOISE * NOISE));
        let mean = variance * sum / (NOISE * NOISE);
        let log_norm = (std::f64::consts::TAU * variance).ln();
        exact.push(-((theta - mean).powi(2) / variance + log_norm) / 2.0);
        thetas.push(theta);
    }
    let tensor = |values, width| double(values, [rows, width]).cast(DType::F32);
    (tensor(&thetas, 1), tensor(&sets, 30), exact)
}

fn density(features: usize) -> ConditionalNormal<2> {
    let network = MlpConfig::new(vec![16]);
    ConditionalNormalConfig::new(vec![1], features, network).with_seed(2).init(&device())
}

fn summaries() -> SetEncoder {
    let config = SetEncoderConfig::new(6, 4, 2).with_mask(true).with_pooled(2);
    config.with_element_hidden(vec![8]).with_set_hidden(vec![8]).with_seed(1).init(&device())
}

/// The mean of the exact log-density minus that of the model, in nats.
fn gap<E: Encoder>(
    model: &Embedded<E, ConditionalNormal<2>>,
    (theta, context, exact): (Tensor<2>, Tensor<2>, Vec<f64>),
) -> f64 {
    let found = host(model.given(&context).log_prob(theta));
    exact.iter().zip(&found).map(|(exact, found)| exact - found).sum::<f64>() / found.len() as f64
}

#[test]
fn a_set_encoder_reaches_the_entropy_of_the_posterior() {
    let (theta, context, _) = sets(4000, 1);
    let data = FitData::new(theta).with_context(context);
    let config = FitConfig::new().with_epochs(25).with_batch_size(64).with_learning_rate(5e-3);
    let train = |encoder: SetEncoder| {
        let model = Embedded::new(encoder, density(2));
        let (model, _) = fit(model, data.clone(), &config.clone().with_seed(3)).unwrap();
        gap(&model, sets(4000, 2))
    };
    let learned = train(summaries());
    assert!(learned.abs() < 0.05, "{learned} nats");
    // Features of random weights do not hold the posterior.
    let frozen = train(summaries().train().freeze());
    assert!(frozen > 0.2, "{frozen} nats");
}

/// Rows whose only information is the height of a pulse, at one of seven places.
#[test]
fn series_and_images_learn_the_height_of_a_pulse() {
    let rows = 2000;
    let pulses = |seed| {
        let mut noise = Noise::seeded(seed);
        let (mut heights, mut series, mut exact) = (vec![], vec![], vec![]);
        for _ in 0..rows {
            let height = noise.next_normal();
            let at = noise.next_below(14);
            series.extend((0..16).map(|t| if t / 2 == at / 2 { 3.0 + height } else { 0.0 }));
            // Known up to a deviation of 0.3.
            let error = noise.next_normal();
            heights.push(height + 0.3 * error);
            exact.push(-(error * error + (std::f64::consts::TAU * 0.09).ln()) / 2.0);
        }
        let tensor = |values, width| double(values, [rows, width]).cast(DType::F32);
        (tensor(&heights, 1), tensor(&series, 16), exact)
    };
    let (x, context, _) = pulses(1);
    let data = FitData::new(x).with_context(context);
    let config = FitConfig::new().with_epochs(12).with_batch_size(64).with_learning_rate(5e-3);
    let config = config.with_seed(3);
    let series = SeriesEncoderConfig::new(1, 16, 2).with_convolutions(vec![4, 4]);
    let series = series.with_hidden(vec![8]).with_seed(1).init(&device());
    let (series, _) = fit(Embedded::new(series, density(2)), data.clone(), &config).unwrap();
    let found = gap(&series, pulses(2));
    assert!(found.abs() < 0.1, "series: {found} nats");
    let image = ImageEncoderConfig::new([1, 4, 4], 2).with_convolutions(vec![4, 4]);
    let image = image.with_hidden(vec![8]).with_seed(1).init(&device());
    let (image, _) = fit(Embedded::new(image, density(2)), data, &config).unwrap();
    let found = gap(&image, pulses(2));
    assert!(found.abs() < 0.1, "image: {found} nats");
}
