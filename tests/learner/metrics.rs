//! What a training step passes to burn-train: losses, gradients, and inputs of metrics.

use burn::data::dataloader::Progress;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use burn::train::metric::{Adaptor, Metric, MetricAttributes, MetricMetadata, Numeric};
use burn::train::{InferenceStep, ItemLazy, TrainStep};
use burn_flows::distribution::DiagNormal;
use burn_flows::train::{Batch, NllOutput};

use super::*;

const LN_2PI: f32 = 1.837_877_1;

fn rows(values: &[f32]) -> Batch<2> {
    let data = TensorData::new(values.to_vec(), [values.len() / 2, 2]);
    Batch::new(Tensor::from_data(data, &Device::flex()))
}

fn trainee() -> Trainee<DiagNormal<2>, 2> {
    let zeros = || Tensor::zeros([1, 2], &Device::flex());
    Trainee::new(DiagNormal::from_weights(zeros(), zeros()))
}

#[test]
fn a_step_has_the_loss_of_every_row_and_the_gradient_of_their_mean() {
    let batch = rows(&[1.0, 0.0, 0.0, -3.0, 2.0, 1.0]);
    let expected = [0.5, 4.5, 2.5].map(|half_square| half_square + LN_2PI);
    let near = |output: NllOutput| {
        let found: Vec<f32> = output.nll().into_data().iter().collect();
        assert_eq!(found.len(), 3);
        found.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{a} {b}"));
    };
    near(InferenceStep::step(&trainee(), batch.clone()));
    let model = trainee().train();
    let output = TrainStep::step(&model, batch);
    near(output.item.sync().unwrap());
    // The gradient with respect to the means is minus the mean of the rows.
    means_are(&model, output.grads, [-1.0, 2.0 / 3.0]);
}

/// The gradient with respect to the means, the first parameter.
fn means_are(model: &impl Module, gradients: GradientsParams, wanted: [f32; 2]) {
    struct First(GradientsParams, Vec<f32>);
    impl burn::module::ModuleVisitor for First {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
            if self.1.is_empty() {
                let gradient = self.0.get::<D>(param.id).unwrap();
                self.1 = gradient.into_data().iter().collect();
            }
        }
    }
    let mut first = First(gradients, vec![]);
    model.visit(&mut first);
    assert_eq!(first.1.len(), 2);
    first.1.iter().zip(wanted).for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{a} {b}"));
}

#[test]
fn weights_of_rows_apply_to_steps_and_metrics() {
    let weights = Tensor::from_data([1.0, 3.0, 0.0], &Device::flex());
    let batch = rows(&[1.0, 0.0, 0.0, -3.0, 2.0, 1.0]).with_weights(weights).unwrap();
    let model = trainee().train();
    let output = TrainStep::step(&model, batch.clone());
    means_are(&model, output.grads, [-0.25, 2.25]);
    let output = InferenceStep::step(&trainee(), batch);
    assert_eq!(output.nll().dims(), [2]);
    let mut metric = NllMetric::nats();
    let metadata =
        MetricMetadata { progress: Progress::new(1, 1, None), iteration: None, lr: None };
    metric.update(&output, &metadata).unwrap();
    let found = metric.final_value().current();
    let expected = (0.5 + 3.0 * 4.5) / 4.0 + f64::from(LN_2PI);
    assert!((found - expected).abs() < 1e-5, "{found} {expected}");
}

#[test]
fn metrics_average_over_rows_not_over_batches() {
    let outputs = [rows(&[1.0, 0.0]), rows(&[0.0, 0.0, 2.0, 0.0, 0.0, 4.0])]
        .map(|batch| InferenceStep::step(&trainee(), batch));
    let progress = Progress::new(1, 1, None);
    let metadata = MetricMetadata { progress, iteration: None, lr: None };
    let last = |metric: &mut NllMetric| {
        for output in &outputs {
            let output: NllOutput = Adaptor::adapt(output);
            metric.update(&output, &metadata).unwrap();
        }
        [metric.value().unwrap(), metric.running_value().unwrap(), metric.final_value()]
            .map(|entry| entry.current())
    };
    // Half of the squared norms are 0.5, and 0, 2 and 8.
    let (second, all) = (10.0 / 3.0 + f64::from(LN_2PI), 10.5 / 4.0 + f64::from(LN_2PI));
    let near = |found: f64, expected: f64| {
        assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}");
    };
    let nats = last(&mut NllMetric::nats());
    near(nats[0], second);
    near(nats[2], all);
    // A lower value of the metric is better.
    let attributes = NllMetric::nats().attributes();
    let MetricAttributes::Numeric(attributes) = attributes else { panic!("a number") };
    assert!(!attributes.higher_is_better);
    // With two dimensions of four levels, bits per dimension are nats / (2 ln 2) + 2.
    let bits = last(&mut NllMetric::bits_per_dim(4));
    near(bits[2], all / (2.0 * std::f64::consts::LN_2) + 2.0);
}
