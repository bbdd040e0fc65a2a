//! The atomic loss of sequential neural posterior estimation.
//!
//! loss of row i   -ln [r(t_i) / sum_k r(t_k)]        r(t) = q(t | x_i) / p(t),  t_k: row i and other rows of the batch
//!
//! Paper: Greenberg, Nonnenmacher, Macke (2019), Automatic posterior transformation, section 3.3, arXiv:1905.07488.

use std::fmt;

use burn::tensor::{Tensor, TensorData};

use super::{Block, Objective, values};
use crate::distribution::Distribution;
use crate::error::{Error, Result, at_least};
use crate::math::{fine, log_sum_exp};
use crate::noise::Noise;
use crate::param::index_tensor;

/// The atomic loss of SNPE-C (APT) for the later rounds of sequential inference. The parameters `t` may come from any
/// proposal. The trained density `q(t | x)` is the posterior under the prior `p(t)`.
///
/// ```text
/// loss of row i  -ln [r(t_i) / sum_k r(t_k)]        r(t) = q(t | x_i) / p(t)
/// ```
///
/// The sum runs over `atoms` parameters: those of row `i`, and others of the same batch, drawn without replacement. The
/// true posterior minimises the mean loss: it picks the parameters that belong to `x_i` among the atoms. Paper:
/// Greenberg, Nonnenmacher, Macke (2019), section 3.3, arXiv:1905.07488.
///
/// The rows of the data are the parameters, the contexts are the observations. A step evaluates `atoms` densities for
/// every row.
///
/// **The loss does not determine `q` where no atom lies.** If all rows come from a narrow proposal, `q` may put its mass
/// elsewhere, although the loss is low. Keep the rows of the earlier rounds, or add draws of the prior, so that the atoms
/// cover the support of the prior. Outside of this support use
/// [`Flow::standardized_within`](crate::Flow::standardized_within), or draw by a
/// [`RejectionSampler`](crate::inference::RejectionSampler). An [`Embedded`](crate::encoder::Embedded) flow encodes each
/// observation once for every atom.
///
/// # Errors
///
/// Training ends with an error if the data have no context, the prior is not finite at a row, or a batch has fewer rows
/// than two. A batch with fewer rows than atoms uses all its rows.
///
/// # Example
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::prelude::*;
/// use burn_flows::train::{Atomic, Training};
///
/// let device = Device::flex();
/// let mut noise = Noise::seeded(1);
/// let prior = StandardNormal::<2>::new([2], &device);
/// let parameters = noise.normal::<2>([400, 2], &device) * 0.5 + 1.0; // a proposal, not the prior
/// let observations = parameters.clone() + noise.normal([400, 2], &device) * 0.5;
///
/// let flow = MafConfig::new(2).with_layers(2).with_context(2).with_seed(1).init(&device);
/// let objective = Atomic::new(10, move |t| prior.log_prob(t, None))?;
/// let config = FitConfig::new().with_epochs(5).with_batch_size(50).with_learning_rate(1e-2);
/// let (_, report) =
///     Training::new(flow, (parameters, observations), &config).with_objective(objective).run()?;
/// assert!(report.epochs[4].train_loss < Some(10f64.ln())); // better than a choice by chance
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Clone)]
pub struct Atomic<T> {
    atoms: usize,
    log_prior: T,
}

impl<T> fmt::Debug for Atomic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Atomic").field("atoms", &self.atoms).finish_non_exhaustive()
    }
}

impl<T> Atomic<T> {
    /// The loss with this number of atoms, and the logarithm of the prior, one number for each row. The constant of the
    /// prior does not matter. More atoms give a loss of less variance at a higher cost; 10 is the usual number.
    ///
    /// # Errors
    ///
    /// If there are fewer than 2 atoms.
    pub fn new(atoms: usize, log_prior: T) -> Result<Self> {
        at_least("Atomic", "atoms", 2, atoms)?;
        Ok(Self { atoms, log_prior })
    }
}

impl<F, T, const D: usize> Objective<F, D> for Atomic<T>
where
    F: Distribution<D>,
    T: Fn(Tensor<D>) -> Tensor<1> + Send + Sync,
{
    fn losses(&self, model: &F, block: &Block<'_, D>, noise: &mut Noise) -> Result<Tensor<1>> {
        let batch = block.batch()?;
        let context = batch.context.as_ref();
        let context =
            context.ok_or_else(|| wrong("needs observations as the context of the rows"))?;
        let (all, rows) = (batch.len(), block.len());
        let atoms = self.atoms.min(all);
        if atoms < 2 {
            return Err(wrong("needs at least 2 rows in a batch; raise the batch size"));
        }
        // The first atom of a row is the row itself.
        let chosen: Vec<usize> =
            block.rows().flat_map(|row| atoms_of(row, atoms, all, noise)).collect();
        let observed: Vec<usize> = block.rows().flat_map(|row| vec![row; atoms]).collect();
        let select = |numbers: &[usize]| index_tensor(numbers, &batch.x.device());
        let parameters = batch.x.clone().select(0, select(&chosen));
        let context = match context.dims()[0] {
            1 => context.clone(),
            _ => context.clone().select(0, select(&observed)),
        };
        let log_prior = (self.log_prior)(parameters.clone());
        let log_q = model.log_prob(parameters, Some(&context));
        let dtype = log_q.dtype();
        let log_prior = self.checked(log_prior, &chosen, &log_q)?;
        let ratios = fine(log_q - log_prior).reshape([rows, atoms]);
        let own = ratios.clone().narrow(1, 0, 1);
        Ok((log_sum_exp(ratios, 1) - own).reshape([rows]).cast(dtype))
    }

    fn describe(&self, example: &Tensor<D>) -> String {
        format!("{self:?}, prior{}", values((self.log_prior)(example.clone())))
    }
}

impl<T> Atomic<T> {
    /// The logarithms of the prior as constants beside `log_q`.
    fn checked(
        &self,
        log_prior: Tensor<1>,
        rows: &[usize],
        log_q: &Tensor<1>,
    ) -> Result<Tensor<1>> {
        let (expected, [found]) = (rows.len(), log_prior.dims());
        assert!(
            found == expected,
            "Atomic: expected {expected} values of the prior, one for each row, found {found}"
        );
        let values: Vec<f64> = log_prior.into_data().iter::<f64>().collect();
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let (row, value) = (rows[at], values[at]);
            let reason = format!(
                "ln p of row {row} of the batch must be finite, found {value}; remove parameters \
                 outside of the prior"
            );
            return Err(Error::data("prior of Atomic", reason));
        }
        let values = TensorData::new(values, [expected]);
        let device = log_q.device().without_autodiff();
        Ok(Tensor::from_data(values, (&device, log_q.dtype())))
    }
}

/// A row and `atoms - 1` others of `all` rows, without replacement (Floyd).
fn atoms_of(row: usize, atoms: usize, all: usize, noise: &mut Noise) -> Vec<usize> {
    let mut chosen = vec![row];
    // The other rows are numbered without `row`.
    for last in all - atoms..all - 1 {
        let other = |place: usize| if place < row { place } else { place + 1 };
        let drawn = other(noise.next_below(last + 1));
        chosen.push(if chosen[1..].contains(&drawn) { other(last) } else { drawn });
    }
    chosen
}

fn wrong(reason: &str) -> Error {
    Error::data("training data of Atomic", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atoms_are_different_rows_and_equally_likely() {
        let mut noise = Noise::seeded(1);
        let mut counts = [0; 7];
        for _ in 0..7000 {
            let mut atoms = atoms_of(2, 4, 7, &mut noise);
            assert_eq!((atoms.len(), atoms[0]), (4, 2));
            atoms.iter().for_each(|&atom| counts[atom] += 1);
            atoms.sort_unstable();
            atoms.dedup();
            assert_eq!(atoms.len(), 4);
        }
        assert_eq!(counts[2], 7000);
        counts[2] = 3500;
        assert!(counts.iter().all(|count| (3290..3710).contains(count)), "{counts:?}");
        assert_eq!(atoms_of(1, 2, 2, &mut noise), [1, 0]);
    }
}
