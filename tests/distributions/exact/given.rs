//! A distribution with a context has the same methods, whatever its type.

use burn_flows::Given;

use super::*;

fn conditional(seed: u64) -> ConditionalNormal<2> {
    let mlp = MlpConfig::new(vec![8]).with_activation(ActivationConfig::Silu);
    moved(ConditionalNormalConfig::new(vec![3], 2, mlp).init(&device()), seed)
}

/// Checks every method against the methods of [`Distribution`].
#[track_caller]
fn check<F: Distribution<2>>(given: Given<'_, F>, distribution: &F, context: &Tensor<2>) {
    let noise = || Noise::seeded(9);
    let x = distribution.sample(4, Some(context), &mut noise(), &device());
    let expected = host(distribution.log_prob(x.clone(), Some(context)));
    assert_near(&host(given.log_prob(x.clone())), &expected, 1e-14);
    assert_near(&host(given.log_prob_batched(x.clone(), 3)), &expected, 1e-14);
    assert_eq!(host(given.sample_seeded(4, 9)), host(x.clone()));
    let (again, log_prob) = given.sample_with_log_prob_seeded(4, 9);
    assert_eq!(host(again), host(x));
    assert_near(&host(log_prob), &expected, 1e-12);
    assert_ne!(host(given.sample::<2>(4)), host(given.sample_with_log_prob(4).0));

    let rows = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3].map(|row| context.clone().narrow(0, row, 1));
    let repeated = Tensor::cat(rows.to_vec(), 0);
    let flat = distribution.sample(12, Some(&repeated), &mut noise(), &device());
    let each: Tensor<3> = given.sample_each_seeded(3, 9);
    assert_eq!(each.dims(), [4, 3, 3]);
    assert_eq!(host(each.clone()), host(flat.clone()));
    let (again, log_prob): (Tensor<3>, _) = given.sample_each_with_log_prob_seeded(3, 9);
    assert_eq!((host(again), log_prob.dims()), (host(each.clone()), [4, 3]));
    let expected = host(distribution.log_prob(flat, Some(&repeated)));
    assert_near(&host(log_prob), &expected, 1e-12);
    let (unseeded, log_prob): (Tensor<3>, _) = given.sample_each_with_log_prob(3);
    assert_eq!((unseeded.dims(), log_prob.dims()), ([4, 3, 3], [4, 3]));
    assert_ne!(host(given.sample_each::<2, 3>(3)), host(unseeded));
}

#[test]
fn every_distribution_has_the_methods_of_a_flow_under_a_context() {
    let context = normal([4, 2], 2);
    let normal = conditional(1);
    check(normal.given(&context), &normal, &context);
    let mixture = Mixture::new(vec![conditional(3), conditional(4)], &device()).unwrap();
    let mlp = MlpConfig::new(vec![4]);
    let mixture = moved(mixture.with_context(2, &mlp, &device()).unwrap(), 5);
    check(mixture.given(&context), &mixture, &context);
    let flow =
        Flow::new(burn_flows::bijector::ActNormConfig::new(3).init(&device()), conditional(6));
    check(flow.given(&context), &flow, &context);
    check(Given::new(&flow, &context), &flow, &context);
}

/// Events of two ranks: the methods are found without naming the trait or its rank.
#[derive(Module, Debug)]
struct Ranks {
    shift: Param<Tensor<1>>,
}

impl<const D: usize> Distribution<D> for Ranks {
    fn log_prob(&self, x: Tensor<D>, _context: Option<&Tensor<2>>) -> Tensor<1> {
        let rows = x.dims()[0];
        (x - self.shift.val().unsqueeze())
            .square()
            .reshape([rows as i64, -1])
            .sum_dim(1)
            .reshape([rows])
    }

    fn sample(
        &self,
        n: usize,
        _context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<D> {
        let mut shape = [2; D];
        shape[0] = n;
        noise.normal(shape, device) + self.shift.val().unsqueeze()
    }
}

#[test]
fn a_distribution_of_several_ranks_has_them_too() {
    let ranks = Ranks { shift: Param::from_tensor(tensor(&[3.0], [1])) };
    let given = Given::new(&ranks, None);
    let (flat, deep): (Tensor<2>, Tensor<3>) = (given.sample_seeded(4, 1), given.sample(5));
    assert_eq!((flat.dims(), deep.dims()), ([4, 2], [5, 2, 2]));
    assert_eq!(given.log_prob(deep).dims(), [5]);
    let (each, log_prob) = given.sample_each_with_log_prob_seeded::<2, 3>(4, 1);
    assert_eq!((each.dims(), log_prob.dims()), ([1, 4, 2], [1, 4]));
    assert_eq!(host(each), host(flat));
}
