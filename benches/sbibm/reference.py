"""Reads observations and reference posteriors from the wheel of sbibm, and writes them as .npy files."""

import bz2
import io
import zipfile

import numpy as np
import torch

TASKS = ("two_moons", "slcp", "gaussian_mixture", "gaussian_linear", "gaussian_linear_uniform", "bernoulli_glm")
OBSERVATIONS = 10


def files(wheel, task):
    """Returns a function that reads a file of a task."""
    archive = zipfile.ZipFile(wheel)
    return lambda name: archive.read(f"sbibm/tasks/{task}/files/{name}")


def table(data):
    return np.loadtxt(io.BytesIO(data), delimiter=",", skiprows=1, ndmin=2)


def observed(wheel, task, name):
    """Returns one row of a CSV file for each observation."""
    read = files(wheel, task)
    return np.concatenate([table(read(f"num_observation_{k}/{name}.csv")) for k in range(1, OBSERVATIONS + 1)])


def seeds(wheel, task):
    """Returns the seeds of the observations."""
    return observed(wheel, task, "observation_seed")[:, 0].astype(int)


def posterior(wheel, task, k):
    """Returns the samples of the reference posterior of observation k, counted from 1."""
    return table(bz2.decompress(files(wheel, task)(f"num_observation_{k}/reference_posterior_samples.csv.bz2")))


def design(wheel):
    """Returns the design matrix of the Bernoulli GLM."""
    return torch.load(io.BytesIO(files(wheel, "bernoulli_glm")("design_matrix.pt"))).double().numpy()


def write(wheel, folder):
    """Writes what the Rust program reads."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "design.npy", design(wheel))
    for task in TASKS:
        (folder / task).mkdir(exist_ok=True)
        np.save(folder / task / "observations.npy", observed(wheel, task, "observation"))
        np.save(folder / task / "truths.npy", observed(wheel, task, "true_parameters"))
