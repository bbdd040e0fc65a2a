//! Flows in the units of the data.

use burn_flows::bijector::Bound;
use burn_flows::bijector::Coupling;
use burn_flows::cast;
use burn_flows::conditioner::Mlp;
use burn_flows::model::RealNvp;

use super::*;

fn model() -> RealNvp {
    moved(RealNvpConfig::new(2).with_layers(2).with_mlp(mlp()).with_seed(1).init(&device()), 3)
}

/// Two columns, far from 0 and of different scale.
fn rows() -> Tensor<2> {
    let normal = Noise::seeded(1).normal::<2>([400, 2], &device());
    normal * tensor(&[200.0, 0.01], [1, 2]) + tensor(&[1e4, -3.0], [1, 2])
}

#[test]
fn standardized_is_the_model_of_standardised_rows() {
    let x = rows();
    let flow = model().standardized(&x).unwrap();
    let (z, log_det) = Standardize::from_data(x.clone()).unwrap().forward(x.clone(), None);
    let expected = model().log_prob(z.clone()) + log_det;
    for (found, expected) in host(flow.log_prob(x.clone())).into_iter().zip(host(expected)) {
        assert!((found - expected).abs() < 1e-12);
    }
    let (latents, expected) = (host(flow.encode(x.clone())), host(model().encode(z)));
    latents.iter().zip(&expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-12));
    let back = host(flow.decode(flow.encode(x.clone())));
    back.iter().zip(host(x)).for_each(|(a, b)| assert!((a - b).abs() < 1e-8));
}

#[test]
fn the_standardisation_is_saved_and_not_trained() {
    let x = rows();
    let flow = model().standardized(&x).unwrap();
    type Model = Flow<(Standardize<2>, Vec<Coupling<Affine, Mlp>>), StandardNormal<2>>;
    let units = |flow: &Model| host(flow.bijector().0.inverse(x.clone(), None));
    let before = units(&flow);
    let config = FitConfig::new().with_epochs(2).with_progress(false);
    let (flow, _) = fit(flow, x.clone(), &config).unwrap();
    assert_eq!(units(&flow), before);

    let opened = reopened(&flow);
    assert_eq!(units(&opened), before);
    assert_eq!(host(opened.log_prob(x.clone())), host(flow.log_prob(x)));
}

#[test]
fn rows_that_have_no_units_are_refused() {
    let constant = tensor(&[1.0, 2.0, 1.0, 3.0], [2, 2]);
    let found = text(model().standardized(&constant));
    assert!(found.starts_with("Standardize: element 0 has standard deviation 0"), "{found}");
    let found = text(cast(model(), DType::F32).standardized(&rows()));
    let reason =
        "Standardize: the rows hold F64, but the flow computes in F32; cast the rows or the flow";
    assert_eq!(found, reason);
}

#[test]
fn standardized_within_is_a_density_on_the_bounds() {
    let bounds = vec![Bound::Between(10.0, 14.0), Bound::Above(2.0)];
    let mut noise = Noise::seeded(5);
    let shares = noise.uniform::<2>([400, 1], &device()) * 3.0 + 10.5;
    let x = Tensor::cat(vec![shares, noise.normal([400, 1], &device()).exp() + 2.0], 1);
    let flow = model().standardized_within(bounds.clone(), &x).unwrap();

    // The unbounded values are standardised.
    let (bounded, standardize, _) = flow.bijector();
    let z = standardize.forward(bounded.forward(x.clone(), None).0, None).0;
    let mean = host(z.clone().mean_dim(0));
    assert!(mean.iter().all(|mean| mean.abs() < 1e-12), "{mean:?}");
    let square = host(z.square().mean_dim(0));
    assert!(square.iter().all(|square| (square - 1.0).abs() < 1e-12), "{square:?}");

    let drawn = flow.sample_seeded::<2>(20_000, 1);
    assert!(bounded.check(&drawn).is_ok());
    // The integral, with the second column by its logarithm.
    let ((firsts, width), (logs, step)) = (midpoints(10.0, 14.0, 900), midpoints(-16.0, 16.0, 500));
    let mut points = vec![];
    let mut weights = vec![];
    for first in &firsts {
        for log in &logs {
            points.extend([*first, log.exp() + 2.0]);
            weights.push(width * step * log.exp());
        }
    }
    let log_prob = host(flow.log_prob_batched(tensor(&points, [weights.len(), 2]), 8192));
    let integral: f64 = log_prob.iter().zip(&weights).map(|(l, w)| l.exp() * w).sum();
    assert!((integral - 1.0).abs() < 1e-3, "{integral}");
    let outside = flow.log_prob(tensor(&[9.0, 3.0, 12.0, 1.0, 12.0, 3.0], [3, 2]));
    let outside = host(outside);
    assert!(outside[0] == f64::NEG_INFINITY && outside[1] == f64::NEG_INFINITY);
    assert!(outside[2].is_finite());

    let far = Tensor::cat(vec![x, tensor(&[15.0, 3.0], [1, 2])], 0);
    assert_eq!(
        text(model().standardized_within(bounds, &far)),
        "Bounded: row 400, column 0 holds 15, expected Between(10.0, 14.0)"
    );
    let narrow = vec![Bound::Free; 3];
    let found = text(model().standardized_within(narrow, &far));
    assert_eq!(found, "Bounded: expected an event of 3 elements, found shape [401, 2]");
}

#[test]
fn a_bounded_flow_is_saved() {
    let x = Noise::seeded(2).uniform::<2>([50, 2], &device());
    let flow = model().standardized_within(vec![Bound::Between(0.0, 1.0); 2], &x).unwrap();
    assert_eq!(host(reopened(&flow).log_prob(x.clone())), host(flow.log_prob(x)));
}
