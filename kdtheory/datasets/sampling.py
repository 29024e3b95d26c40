"""Seeded choices: stratified subsets and label noise.

Only `Generator.random` is drawn from, whose stream NumPy keeps the same from release to release in
practice, so that the same arguments give the same examples on every machine.
"""

from typing import Literal

import numpy as np
from jaxtyping import Int32, Int64

#: How a changed label is chosen; see `add_label_noise`.
NoiseKind = Literal["symmetric", "pair"]


def generator(*seed: int) -> np.random.Generator:
    """Return the random generator of these non-negative seeds.

    >>> float(generator(0, 1).random()) == float(generator(0, 1).random())
    True
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))


def stratified_order(
    labels: Int32[np.ndarray, " n"], rng: np.random.Generator
) -> Int64[np.ndarray, " n"]:
    """Return a random order of the examples of which every beginning and end is stratified.

    The r-th example (in random order) of a class of size m gets the key (r + u) / m with u uniform
    in [0, 1); the keys are sorted. Any key interval of length t then holds within one example of
    t * m of each class. So the first examples and the last ones are stratified, disjoint subsets,
    and a smaller subset is part of every larger one. For classes of equal size every class has
    the same count, give or take one.

    Args:
      labels: int32 of shape (n,), class indices.
    - Returns: int64 of shape (n,), a permutation of 0 to n - 1.

    >>> labels = np.repeat(np.arange(2, dtype=np.int32), 3)
    >>> labels[stratified_order(labels, generator(0))].reshape(3, 2).sum(axis=1)
    array([1, 1, 1])
    """
    shuffled = np.argsort(rng.random(len(labels)), kind="stable")
    jitter = rng.random(len(labels))
    keys = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        keys[members] = (np.arange(len(members)) + jitter[members]) / len(members)
    return np.argsort(keys, kind="stable")


def add_label_noise(
    labels: Int32[np.ndarray, " n"],
    *,
    fraction: float,
    num_classes: int,
    rng: np.random.Generator,
    kind: str = "symmetric",
) -> Int32[np.ndarray, " n"]:
    """Return the labels with round(fraction * n) of them moved to another class.

    For one seed the labels changed at a small fraction are changed in the same way at a larger one,
    and the same examples are changed for either kind.

    Args:
      labels: int32 of shape (n,), class indices 0 to num_classes - 1.
      kind: "symmetric": to a uniformly random other class. "pair": from class a to (a + 1) mod
        num_classes, the asymmetric noise of Han et al., Co-teaching, NeurIPS 2018.

    >>> noisy = add_label_noise(np.zeros(10, np.int32), fraction=0.3, num_classes=2,
    ...                         rng=generator(0))
    >>> int(noisy.sum())
    3
    """
    order = np.argsort(rng.random(len(labels)), kind="stable")
    shifts = 1 + np.floor(rng.random(len(labels)) * (num_classes - 1)).astype(np.int32)
    if kind == "pair":
        shifts = np.ones(len(labels), np.int32)
    changed = order[: round(fraction * len(labels))]
    noisy = labels.copy()
    noisy[changed] = (labels[changed] + shifts[changed]) % num_classes
    return noisy
