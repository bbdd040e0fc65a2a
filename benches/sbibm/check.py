"""Tests the simulators of tasks.rs and the files of the wheel against each other.

1. The same calls of torch with the stored seeds give the stored parameters and observations. The functions here are
   therefore the simulators of sbibm.
2. The Rust program draws from the same distributions as these functions: Kolmogorov-Smirnov tests of the prior, and of
   data given each stored parameter, in every dimension and in random directions.
3. The log-densities of the Gaussian priors in tasks.rs are those of torch, up to a constant.
4. The reference posteriors of the Gaussian tasks have their closed forms.
"""

import math
import subprocess

import numpy as np
import torch
from scipy import stats
from torch.distributions import MultivariateNormal, Normal, Uniform

import reference

DRAWS = 20_000
DIRECTIONS = 20
# The probability that one of all tests fails by chance. Each test gets an equal part.
LEVEL = 1e-3


def box(bound, parameters):
    return lambda n: Uniform(-bound * torch.ones(parameters), bound * torch.ones(parameters)).sample((n,))


def gaussian(precision):
    return lambda n: normal(precision).sample((n,))


def normal(precision):
    return MultivariateNormal(torch.zeros(len(precision), dtype=precision.dtype), precision_matrix=precision)


def glm_precision():
    lag = torch.eye(9) - torch.diag(torch.ones(8), -1)
    factor = lag @ lag + torch.diag(torch.arange(9) / 9) ** 0.5
    precision = torch.zeros(10, 10)
    precision[0, 0] = 0.5
    precision[1:, 1:] = factor.T @ factor
    return precision


TENTH = torch.inverse(0.1 * torch.eye(10))
PRECISIONS = {"gaussian_linear": TENTH, "bernoulli_glm": glm_precision()}
PRIORS = {
    "two_moons": box(1.0, 2),
    "slcp": box(3.0, 5),
    "gaussian_mixture": box(10.0, 2),
    "gaussian_linear": gaussian(PRECISIONS["gaussian_linear"]),
    "gaussian_linear_uniform": box(1.0, 10),
    "bernoulli_glm": gaussian(PRECISIONS["bernoulli_glm"]),
}


def two_moons(theta):
    n = len(theta)
    angle = Uniform(-math.pi / 2, math.pi / 2).sample((n, 1))
    radius = Normal(0.1, 0.01).sample((n, 1))
    turn = torch.tensor([[1.0, 1.0], [-1.0, 1.0]]) / math.sqrt(2.0)
    first, second = (theta @ turn.T).split(1, dim=1)
    return torch.cat([radius * angle.cos() + 0.25 - first.abs(), radius * angle.sin() + second], dim=1)


def slcp(theta):
    first, second, rho = theta[:, 2] ** 2, theta[:, 3] ** 2, theta[:, 4].tanh()
    both = rho * first * second
    covariance = torch.stack([first**2 + 1e-6, both, both, second**2 + 1e-6], dim=1).reshape(-1, 1, 2, 2)
    return MultivariateNormal(theta[:, None, :2], covariance).expand((len(theta), 4)).sample().reshape(-1, 8)


def gaussian_mixture(theta):
    # The version of torch that made the files drew a category by a uniform number in f64. Current versions do not.
    narrow = torch.rand(len(theta), 1, dtype=torch.float64) > 0.5
    return Normal(theta, torch.where(narrow, 0.1, 1.0)).sample()


def gaussian_linear(theta):
    return MultivariateNormal(theta, precision_matrix=TENTH).sample()


def bernoulli_glm(design):
    def simulate(theta):
        logits = theta @ design.T
        spikes = torch.rand(logits.shape) < 1 / (1 + torch.exp(-logits))
        return spikes.float() @ design

    return simulate


def simulators(wheel):
    design = torch.as_tensor(reference.design(wheel), dtype=torch.float32)
    return {
        "two_moons": two_moons,
        "slcp": slcp,
        "gaussian_mixture": gaussian_mixture,
        "gaussian_linear": gaussian_linear,
        "gaussian_linear_uniform": gaussian_linear,
        "bernoulli_glm": bernoulli_glm(design),
    }


def stored(wheel, task, simulate):
    """Compares stored parameters and observations with the same draws from the stored seeds."""
    truths = reference.observed(wheel, task, "true_parameters")
    observations = reference.observed(wheel, task, "observation")
    for seed, truth, observed in zip(reference.seeds(wheel, task), truths, observations):
        torch.manual_seed(seed)
        theta = PRIORS[task](1)
        x = simulate(theta)
        np.testing.assert_allclose(theta[0], truth, rtol=1e-4, atol=1e-5, err_msg=f"{task}, seed {seed}")
        np.testing.assert_allclose(x[0], observed, rtol=1e-4, atol=1e-5, err_msg=f"{task}, seed {seed}")


def projections(rows, directions):
    """Columns, and columns in random directions after a standardisation that both samples share."""
    return np.concatenate([rows, rows @ directions], axis=1).T


def alike(name, first, second, tests):
    """Adds the p-values of Kolmogorov-Smirnov tests of two samples."""
    generator = np.random.default_rng(1)
    directions = generator.normal(size=(first.shape[1], DIRECTIONS)) / second.std(axis=0)[:, None]
    pairs = zip(projections(first, directions), projections(second, directions))
    tests += [(f"{name}, column {at}", stats.ks_2samp(a, b).pvalue) for at, (a, b) in enumerate(pairs)]


def distributed(name, rows, cdfs, tests):
    """Adds the p-values of Kolmogorov-Smirnov tests of every column against its distribution."""
    columns = enumerate(zip(rows.T, cdfs))
    tests += [(f"{name}, column {at}", stats.kstest(column, cdf).pvalue) for at, (column, cdf) in columns]


def prior_density(folder, task, rows):
    """Compares the log-density of the prior, up to a constant. A uniform prior has the constant 0."""
    found = np.load(folder / task / "log_prior.npy")[:, 0]
    expected = np.zeros(len(rows))
    if task in PRECISIONS:
        expected = normal(PRECISIONS[task].double()).log_prob(torch.as_tensor(rows)).numpy()
    gap = found - expected
    np.testing.assert_allclose(gap, gap[0], rtol=0, atol=1e-5, err_msg=f"log-density of the prior of {task}")


def references(wheel, tests):
    for k in range(1, reference.OBSERVATIONS + 1):
        for task, cdf in CLOSED.items():
            observed = reference.observed(wheel, task, "observation")[k - 1]
            rows = reference.posterior(wheel, task, k)
            assert rows.shape == (10_000, len(observed)), rows.shape
            distributed(f"reference posterior {k} of {task}", rows, [cdf(x) for x in observed], tests)


def truncated(x):
    """The normal of variance 0.1 around x, cut off at -1 and 1."""
    scale = math.sqrt(0.1)
    return stats.truncnorm((-1 - x) / scale, (1 - x) / scale, loc=x, scale=scale).cdf


CLOSED = {
    # The prior and the likelihood have the same variance 0.1.
    "gaussian_linear": lambda x: stats.norm(x / 2, math.sqrt(0.05)).cdf,
    "gaussian_linear_uniform": truncated,
}


def run(wheel, folder, program):
    tests = []
    for task, simulate in simulators(wheel).items():
        stored(wheel, task, simulate)
        subprocess.run([program, "repeat", folder, task, str(DRAWS)], check=True)
        torch.manual_seed(1)
        rows = np.load(folder / task / "prior.npy")
        prior_density(folder, task, rows)
        alike(f"prior of {task}", rows, PRIORS[task](DRAWS).double().numpy(), tests)
        repeats = np.load(folder / task / "repeats.npy")
        for k, truth in enumerate(reference.observed(wheel, task, "true_parameters")):
            theta = torch.as_tensor(truth, dtype=torch.float32).expand(DRAWS, -1)
            own = repeats[k * DRAWS : (k + 1) * DRAWS]
            alike(f"data of {task}, parameters {k + 1}", own, simulate(theta).double().numpy(), tests)
    references(wheel, tests)
    name, least = min(tests, key=lambda test: test[1])
    print(f"{len(tests)} tests; the smallest p-value is {least:.1e} ({name})")
    if least < LEVEL / len(tests):
        raise SystemExit(f"{name}: the distributions differ")
