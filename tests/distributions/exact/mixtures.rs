//! Which component of a mixture draws which row, and how components are initialised.

use burn_flows::bijector::ActNormConfig;
use burn_flows::burn::module::ModuleDisplay;
use burn_flows::distribution::Marginal;

use super::*;

/// Draws its context plus an offset. Initialisation from data sets the offset.
#[derive(Module, Debug)]
struct Echo {
    offset: Param<Tensor<1>>,
    mixes: bool,
    levels: Option<usize>,
}

impl Echo {
    fn new(offset: f64) -> Self {
        let offset = Param::from_tensor(tensor(&[offset], [1]));
        Self { offset, mixes: false, levels: None }
    }

    fn at(&self, context: Option<&Tensor<2>>, rows: usize) -> Tensor<2> {
        let context = context.map_or(Tensor::zeros([1, 1], &device()), Tensor::clone);
        (context + self.offset.val().unsqueeze_dim(0)).expand([rows, 1])
    }
}

impl Distribution<2> for Echo {
    /// 0 at this one point, and elsewhere so small that its exponential is 0.
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        let rows = x.dims()[0];
        ((x - self.at(context, rows)).abs() * -1e6).reshape([rows])
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        _noise: &mut Noise,
        _device: &Device,
    ) -> Tensor<2> {
        self.at(context, n)
    }

    fn integer_levels(&self) -> Option<usize> {
        self.levels
    }

    fn mixes_rows(&self) -> bool {
        self.mixes
    }

    /// Sets the offset to the sum of the given rows and contexts.
    fn init_from_data(self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Self {
        let context = context.map_or(Tensor::zeros([1], &device()), |c| c.clone().sum());
        Self { offset: Param::from_tensor(x.sum() + context), ..self }
    }
}

fn offsets<M: Module + ModuleDisplay>(mixture: &M, count: usize) -> Vec<f64> {
    parameters(mixture)[..count].concat()
}

#[test]
fn every_row_is_drawn_and_weighed_by_its_own_context() {
    let mlp = MlpConfig::new(vec![8]).with_zero_last(false);
    let parts = vec![Echo::new(0.0), Echo::new(10.0), Echo::new(20.0)];
    let mixture = Mixture::new(parts, &device()).unwrap();
    let mixture = mixture.with_context(1, &mlp, &device()).unwrap();
    // Moves the parameters of the weight network, not the offsets.
    let mixture = {
        struct Move(usize);
        impl ModuleMapper for Move {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                self.0 += 1;
                match self.0 {
                    1..=3 => param,
                    k => param.map(|t| normal(t.dims(), k as u64)),
                }
            }
        }
        mixture.map(&mut Move(0))
    };
    let rows = 6000;
    let contexts = [-1.0, 0.5, 2.0];
    let values: Vec<f64> = (0..rows).map(|row| contexts[row % 3]).collect();
    let context = tensor(&values, [rows, 1]);
    let drawn = host(mixture.sample(rows, Some(&context), &mut Noise::seeded(3), &device()));
    let mut spread = false;
    for (which, c) in contexts.into_iter().enumerate() {
        let one = tensor(&[c], [1, 1]);
        let points = tensor(&[c, c + 10.0, c + 20.0], [3, 1]);
        let weights = host(mixture.log_prob(points, Some(&one)).exp());
        assert_near(&[weights.iter().sum()], &[1.0], 1e-12);
        let own: Vec<f64> = drawn.iter().skip(which).step_by(3).map(|x| x - c).collect();
        for (k, weight) in weights.iter().enumerate() {
            let count = own.iter().filter(|x| (**x - 10.0 * k as f64).abs() < 1e-9).count();
            let share = count as f64 / own.len() as f64;
            let error = (weight * (1.0 - weight) / own.len() as f64).sqrt();
            assert!((share - weight).abs() < 4.0 * error + 1e-9, "{c}, {k}: {share} {weight}");
            spread |= (weight - 1.0 / 3.0).abs() > 0.1;
        }
        let known = own.iter().all(|x| [0.0, 10.0, 20.0].iter().any(|o| (x - o).abs() < 1e-9));
        assert!(known, "a row has the context of another");
    }
    assert!(spread);
}

#[test]
fn weights_are_divided_by_their_sum() {
    let parts = vec![Echo::new(0.0), Echo::new(10.0)];
    let mixture = Mixture::new(parts, &device()).unwrap();
    let x = tensor(&[0.0, 10.0], [2, 1]);
    assert_near(&log_probs(&mixture, x.clone()), &[0.5f64.ln(); 2], 1e-12);
    let mixture = mixture.with_weights(tensor(&[6.0, 2.0], [2])).unwrap();
    assert_near(&log_probs(&mixture, x.clone()), &[0.75f64.ln(), 0.25f64.ln()], 1e-12);

    let contexts = tensor(&[0.0, 10.0], [2, 1]);
    let marginal = Marginal::new(Echo::new(0.0), contexts, tensor(&[6.0, 2.0], [2])).unwrap();
    assert_near(&log_probs(&marginal, x), &[0.75f64.ln(), 0.25f64.ln()], 1e-12);
    let drawn = host(marginal.sample(8000, None, &mut Noise::seeded(2), &device()));
    let share = drawn.iter().filter(|x| **x == 0.0).count() as f64 / 8000.0;
    assert!((share - 0.75).abs() < 4.0 * (0.1875f64 / 8000.0).sqrt(), "{share}");
    assert!(drawn.iter().all(|x| *x == 0.0 || *x == 10.0));
}

#[test]
fn a_component_starts_from_every_so_many_rows() {
    let mixture = || Mixture::new(vec![Echo::new(0.0), Echo::new(0.0), Echo::new(0.0)], &device());
    let x = || tensor(&[1.0, 10.0, 100.0, 2.0, 20.0, 200.0, 4.0], [7, 1]);
    let started = mixture().unwrap().init_from_data(x(), None);
    assert_near(&offsets(&started, 3), &[7.0, 30.0, 300.0], 1e-12);
    // Contexts stay with their rows. A context of one row applies to all rows.
    let context = x() * 1000.0;
    let started = mixture().unwrap().init_from_data(x(), Some(&context));
    assert_near(&offsets(&started, 3), &[7007.0, 30_030.0, 300_300.0], 1e-12);
    let one = tensor(&[0.5], [1, 1]);
    let started = mixture().unwrap().init_from_data(x(), Some(&one));
    assert_near(&offsets(&started, 3), &[7.5, 30.5, 300.5], 1e-12);
    // A component with fewer than two rows is initialised from all rows.
    let few = x().narrow(0, 0, 4);
    let started = mixture().unwrap().init_from_data(few, None);
    assert_near(&offsets(&started, 3), &[3.0, 113.0, 113.0], 1e-12);
}

#[test]
fn a_gaussian_mixture_starts_on_rows_with_a_share_of_their_spread() {
    let (components, features, rows) = (5, 2, 40);
    let x = normal([rows, features], 3) * tensor(&[3.0, 0.2], [1, 2]) + 7.0;
    let values = host(x.clone());
    let config = GaussianMixtureConfig::new(features, components).with_seed(4);
    let started = config.init(&device()).init_from_data(x.clone(), None);
    let [mean, log_scale, logits] = parameters(&started).try_into().unwrap();
    assert_eq!(logits, [0.0; 5]);
    let spread: Vec<f64> = (0..features)
        .map(|k| {
            let column: Vec<f64> = values.iter().skip(k).step_by(features).copied().collect();
            let mean = column.iter().sum::<f64>() / rows as f64;
            (column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / rows as f64).sqrt()
        })
        .collect();
    for component in log_scale.chunks(features) {
        // With five components in a plane, the scale of each is 1 / sqrt 5 of the standard
        // deviation.
        let expected: Vec<f64> = spread.iter().map(|s| ((s + 1e-6) / 5f64.sqrt()).ln()).collect();
        assert_near(component, &expected, 1e-9);
    }
    // Every mean is near another row, within a hundredth of the standard deviation.
    let distance = |mean: &[f64], row: &[f64]| {
        let parts = mean.iter().zip(row).zip(&spread);
        parts.map(|((m, x), s)| ((m - x) / s).powi(2)).sum::<f64>().sqrt()
    };
    let mut taken: Vec<usize> = vec![];
    let mut apart = vec![];
    for mean in mean.chunks(features) {
        let rows: Vec<f64> = values.chunks(features).map(|row| distance(mean, row)).collect();
        let nearest = (0..rows.len()).min_by(|a, b| rows[*a].total_cmp(&rows[*b])).unwrap();
        taken.push(nearest);
        apart.push(rows[nearest]);
    }
    assert!(apart.iter().all(|d| *d < 0.04 && *d > 0.0), "{apart:?}");
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), components);
    let other = config.with_seed(5).init(&device()).init_from_data(x, None);
    assert_ne!(parameters(&other)[0], mean);
}

#[test]
fn what_mixes_rows_or_counts_levels_says_so_through_every_wrapper() {
    let echo = |mixes, levels| Echo { mixes, levels, ..Echo::new(0.0) };
    let pair = |a, b| Mixture::new(vec![a, b], &device()).unwrap();
    let marginal = |echo| Marginal::new(echo, tensor(&[1.0], [1, 1]), tensor(&[1.0], [1])).unwrap();
    for mixes in [false, true] {
        assert_eq!(pair(echo(false, None), echo(mixes, None)).mixes_rows(), mixes);
        assert_eq!(marginal(echo(mixes, None)).mixes_rows(), mixes);
        let layer = ActNormConfig::new(1).init(&device());
        assert_eq!(Distribution::<2>::mixes_rows(&Flow::new(layer, echo(mixes, None))), mixes);
    }
    for levels in [None, Some(4)] {
        assert_eq!(pair(echo(false, levels), echo(false, levels)).integer_levels(), levels);
        assert_eq!(pair(echo(false, levels), echo(false, Some(5))).integer_levels(), None);
        assert_eq!(marginal(echo(false, levels)).integer_levels(), levels);
    }
}
