"""The classifier two-sample test of sbibm 1.1.0 (its metrics/c2st.py): the same statistic on the same folds.

Both samples are standardised by the mean and the standard deviation of the reference. The result is the accuracy of a
network with two hidden layers in five-fold cross-validation: 0.5 if the distributions cannot be told apart, 1 if they
do not overlap.
"""

import os

import numpy as np
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier

FOLDS = 5


def c2st(reference, samples):
    mean, std = reference.mean(axis=0), reference.std(axis=0, ddof=1)
    rows = ((np.concatenate([reference, samples]) - mean) / std).astype(np.float32)
    labels = np.repeat([0.0, 1.0], [len(reference), len(samples)])
    width = 10 * reference.shape[1]
    # The limit is that of sbibm. Training stops long before it.
    classifier = MLPClassifier((width, width), activation="relu", solver="adam", max_iter=10_000, random_state=1)
    folds = KFold(FOLDS, shuffle=True, random_state=1)
    jobs = min(FOLDS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    return float(cross_val_score(classifier, rows, labels, cv=folds, scoring="accuracy", n_jobs=jobs).mean())
