//! Checks that differentiate: Jacobians, finite differences, gradients at edges and of parameters.

use burn::tensor::{DType, Tensor};

use super::draw::Interval;
use super::host;
use super::probe::Worst;
use super::report::Check;
use super::run::Run;
use super::subject::Subject;
use crate::elimination::Elimination;

/// Values at which maps often fail: the origin, large values, and values whose squares underflow.
const EDGES: [f64; 5] = [0.0, 1e4, -1e4, 1e-30, -1e-30];

/// Step of a central difference in f64, for values of magnitude 1. Truncation error and rounding error both stay below
/// 1e-9 for a smooth function.
const STEP: f64 = 1e-5;

/// Number of random directions of a finite difference; the best direction counts. One direction may cross the kink of a
/// rectifier, but three do not. A wrong gradient is wrong along all of them.
const WAYS: usize = 3;

/// A map with its log-determinant, in one of the two directions.
type Direction<'a, const D: usize> = &'a dyn Fn(Tensor<D>) -> (Tensor<D>, Tensor<1>);

/// The inputs of the edge check in one direction.
struct Edges<'a, const D: usize> {
    what: &'static str,
    shape: [usize; D],
    from: Interval,
    declared: &'a [f64],
    /// Whether gradients are checked, too.
    smooth: bool,
}

impl<const D: usize> Run<'_, D> {
    /// The Jacobian of each row. It takes one backward pass for each element of the result, summed over the rows, which
    /// do not depend on each other.
    fn jacobians(&self, map: Direction<'_, D>, x: &Tensor<D>) -> Vec<Vec<Vec<f64>>> {
        let (rows, n) = (x.dims()[0], self.elements());
        let mut jacobians = vec![vec![vec![0.0; n]; n]; rows];
        for output in 0..n {
            // The leaf is created again, because a backward pass consumes the graph.
            let leaf = x.clone().autodiff().require_grad();
            let (z, _) = map(leaf.clone());
            let gradients = z.reshape([rows, n]).narrow(1, output, 1).sum().backward();
            // A missing gradient means that this element does not depend on `x`.
            let Some(gradient) = leaf.grad(&gradients) else { continue };
            let gradient = host(gradient);
            for (row, jacobian) in jacobians.iter_mut().enumerate() {
                jacobian[output].copy_from_slice(&gradient[row * n..(row + 1) * n]);
            }
        }
        jacobians
    }

    fn against_jacobian(&self, map: Direction<'_, D>, x: &Tensor<D>) -> Worst {
        let found = host(map(x.clone()).1);
        let jacobians = self.jacobians(map, x);
        let expected: Vec<f64> =
            jacobians.into_iter().map(|rows| Elimination::of(rows).log_abs_det()).collect();
        let mut worst = Worst::default();
        worst.compare("log-det", &found, &expected);
        worst
    }

    pub fn check_jacobian(&self) -> Worst {
        let c = self.context.as_ref();
        self.against_jacobian(&|x| self.plain.forward(x, c), &self.x)
    }

    pub fn check_inverse_jacobian(&self) -> Worst {
        let c = self.context.as_ref();
        self.against_jacobian(&|z| self.plain.inverse_with_log_det(z, c), &self.z)
    }

    pub fn check_triangular(&self) -> Option<Worst> {
        let order = self.suite.order.as_ref()?;
        let c = self.context.as_ref();
        let mut worst = Worst::default();
        for jacobian in self.jacobians(&|x| self.plain.forward(x, c), &self.x) {
            for (at, &output) in order.iter().enumerate() {
                for &input in &order[at + 1..] {
                    let what = format!("d z[{output}] / d x[{input}]");
                    worst.compare(&what, &[jacobian[output][input]], &[0.0]);
                }
            }
        }
        Some(worst)
    }

    pub fn check_derivative(&self) -> Option<Worst> {
        if self.source.dtype != DType::F64 {
            return None;
        }
        let mut source = self.source.clone();
        let (of_z, of_log_det) = (source.normal(self.z.dims()), source.normal([self.x.dims()[0]]));
        let loss = |layer: &dyn Subject<D>, x: Tensor<D>| {
            let (z, log_det) = layer.forward(x, self.context.as_ref());
            (z * of_z.clone()).sum() + (log_det * of_log_det.clone()).sum()
        };
        let layer = self.plain.training();
        let leaf = self.x.clone().autodiff().require_grad();
        let gradients = loss(&*layer, leaf.clone()).backward();
        let mut worst = Worst::default();
        let mut compare = |what: &str, gradient: Vec<f64>, at: &dyn Fn(&[f64]) -> Tensor<1>| {
            let ways = (0..WAYS).map(|_| {
                let way = host(source.normal([gradient.len()]));
                let along: f64 = gradient.iter().zip(&way).map(|(g, w)| g * w).sum();
                let [high, low] = [STEP, -STEP].map(|h| {
                    let step: Vec<f64> = way.iter().map(|w| w * h).collect();
                    host(at(&step))[0]
                });
                let mut error = Worst::default();
                error.compare(what, &[along], &[(high - low) / (2.0 * STEP)]);
                error
            });
            let least = ways.min_by(|a, b| a.value.total_cmp(&b.value)).unwrap_or_default();
            if least.value > worst.value {
                worst = least;
            }
        };

        let gradient = leaf.grad(&gradients).map_or(vec![0.0; host(leaf.clone()).len()], host);
        compare("gradient of x", gradient, &|step| {
            let step = self.source.tensor(step.to_vec(), self.x.dims());
            loss(&*layer, self.x.clone() + step)
        });
        for param in layer.walk(Some(&gradients)).into_iter().filter(|p| p.trainable) {
            let gradient = param.gradient.unwrap_or(vec![0.0; param.elements]);
            compare(&format!("gradient of {}", param.path), gradient, &|step| {
                loss(&*layer.stepped(param.id, step.to_vec()), self.x.clone())
            });
        }
        Some(worst)
    }

    pub fn check_gradients(&self) -> Worst {
        let mut source = self.source.clone();
        let layer = self.plain.training();
        let (z, log_det) = layer.forward(self.x.clone(), self.context.as_ref());
        let (of_z, of_log_det) = (source.normal(z.dims()), source.normal(log_det.dims()));
        let mut worst = Worst::default();
        let loss = (z * of_z).sum() + (log_det * of_log_det).sum();
        if !layer.walk(None).iter().any(|param| param.trainable) {
            return worst;
        }
        for param in layer.walk(Some(&loss.backward())).iter().filter(|p| p.trainable) {
            match &param.gradient {
                None => worst.violation(format!("{} has no gradient", param.path)),
                Some(g) if g.iter().any(|v| !v.is_finite()) => {
                    worst.violation(format!("gradient of {} is not finite", param.path));
                }
                Some(g) if g.iter().all(|v| *v == 0.0) => {
                    worst.violation(format!("gradient of {} is zero", param.path));
                }
                Some(_) => {}
            }
        }
        worst
    }

    pub fn check_edges(&self) -> Worst {
        let mut worst = Worst::default();
        let suite = self.suite;
        // A training layer that mixes rows has no result of a single row, so the evaluated layer is checked instead.
        let layer =
            if self.plain.mixes_rows() { self.plain.evaluated() } else { self.plain.training() };
        let forward = Edges {
            what: "x",
            shape: suite.shape,
            from: suite.domain,
            declared: &suite.edges,
            smooth: true,
        };
        self.edges_of(&mut worst, &*layer, forward, |x, c| layer.forward(x, c));
        let inverse = Edges {
            what: "z",
            shape: suite.latent_shape,
            from: suite.range,
            declared: &suite.range_edges,
            smooth: !suite.without.contains(&Check::InverseJacobian),
        };
        self.edges_of(&mut worst, &*layer, inverse, |z, c| layer.inverse_with_log_det(z, c));
        worst
    }

    fn edges_of(
        &self,
        worst: &mut Worst,
        layer: &dyn Subject<D>,
        edges: Edges<'_, D>,
        map: impl Fn(Tensor<D>, Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>),
    ) {
        let Edges { what, shape, from, declared, smooth } = edges;
        let usual = EDGES.into_iter().filter(|v| from.contains(*v));
        let values: Vec<f64> = usual.chain(declared.iter().copied()).collect();
        if values.is_empty() {
            return;
        }
        let mut source = self.source.clone();
        let x = source.edges(&values, shape, from);
        let context = self.context_of(x.dims()[0]);
        let leaf = x.autodiff().require_grad();
        let (z, log_det) = map(leaf.clone(), context.as_ref());
        // Two rows belong to each value.
        let n = self.elements();
        for (at, value) in host(z.clone()).chunks(2 * n).zip(&values) {
            if at.iter().any(|v| !v.is_finite()) {
                worst.violation(format!("{what} = {value}: the result is not finite"));
            }
        }
        for (at, value) in host(log_det.clone()).chunks(2).zip(&values) {
            if at.iter().any(|v| v.is_nan() || *v == f64::INFINITY) {
                worst.violation(format!("{what} = {value}: log-det {at:?}"));
            }
        }
        if !smooth {
            return;
        }
        let weights = source.normal(z.dims());
        let gradients = ((z * weights).sum() + log_det.sum()).backward();
        let gradient = leaf.grad(&gradients).map(host).unwrap_or_default();
        for (at, value) in gradient.chunks(2 * n).zip(&values) {
            if at.iter().any(|v| v.is_nan()) {
                worst.violation(format!("{what} = {value}: NaN in the gradient"));
            }
        }
        for param in layer.walk(Some(&gradients)) {
            if param.gradient.is_some_and(|g| g.iter().any(|v| v.is_nan())) {
                worst
                    .violation(format!("{what} at an edge: NaN in the gradient of {}", param.path));
            }
        }
    }
}
