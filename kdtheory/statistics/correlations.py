"""Spearman's rank correlation over arms or runs: a seed's, and that of all seeds together."""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

#: What a quantity was measured of: an arm, or a run.
Measured = TypeVar("Measured")

#: Resamplings of the seeds.
RESAMPLES = 1000


class Interval(NamedTuple):
    """Ends of a 95 % interval; NaN where the seeds are too few."""

    low: float
    high: float


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return Spearman's rank correlation of pairs of values.

    None with fewer than three pairs, or where either quantity is the same in all.

    >>> rank_correlation([(1.0, 2.0), (2.0, 3.0), (3.0, 9.0)])
    1.0
    """
    import numpy as np
    from scipy.stats import rankdata

    ranks = rankdata(np.reshape(pairs, (-1, 2)), axis=0)
    if len(pairs) < 3 or not np.all(np.ptp(ranks, axis=0) > 0):
        return None
    return float(np.corrcoef(ranks, rowvar=False)[0, 1])


def partial_rank_correlation(triples: Sequence[tuple[float, float, float]]) -> float | None:
    """Return Spearman's correlation of the first two of three quantities, given the third.

    (r12 - r13 r23) / sqrt((1 - r13^2) (1 - r23^2)) of the ranks. None with fewer than four triples,
    where a quantity is the same in all, or where the third ranks as one of the others does.

    >>> first, second, given = (1.0, 2.0, 3.0, 4.0), (2.0, 1.0, 4.0, 3.0), (1.0, 2.0, 2.0, 1.0)
    >>> partial_rank_correlation(list(zip(first, second, given)))
    0.6
    """
    pairs = ((0, 1), (0, 2), (1, 2))
    found = [rank_correlation([(t[i], t[j]) for t in triples]) for i, j in pairs]
    if len(triples) < 4 or None in found:
        return None
    r12, r13, r23 = (value for value in found if value is not None)
    left = (1 - r13**2) * (1 - r23**2)
    # What rounding leaves of 1 - 1 is no variance.
    return None if left < 1e-12 else round((r12 - r13 * r23) / left**0.5, 12)


def pairs_by_seed(
    first: Mapping[Measured, Mapping[int, float]], second: Mapping[Measured, Mapping[int, float]]
) -> list[list[tuple[float, float]]]:
    """Return, for each seed, both quantities of every arm or run that has both.

    Args:
      first: {seed: value} by arm or run.
      second: the same of the other quantity.
    """
    seeds = sorted({seed for values in first.values() for seed in values})
    found = [
        [
            (values[seed], second[measured][seed])
            for measured, values in first.items()
            if seed in values and seed in second.get(measured, {})
        ]
        for seed in seeds
    ]
    return [pairs for pairs in found if pairs]


def rank_correlations(
    first: Mapping[Measured, Mapping[int, float]], second: Mapping[Measured, Mapping[int, float]]
) -> list[float]:
    """Return Spearman's correlation of two quantities over arms or runs, one a seed.

    A seed with fewer than three of them, or in which either quantity is the same for all, has no
    rank correlation and is left out.

    Args:
      first: {seed: value} by arm or run.
      second: the same of the other quantity.

    >>> rank_correlations({"a": {0: 1.0}, "b": {0: 2.0}, "c": {0: 3.0}},
    ...                   {"a": {0: 5.0}, "b": {0: 7.0}, "c": {0: 9.0}})
    [1.0]
    """
    found = [rank_correlation(pairs) for pairs in pairs_by_seed(first, second)]
    return [correlation for correlation in found if correlation is not None]


def pooled_correlation(by_seed: Sequence[Sequence[tuple[float, float]]]) -> float | None:
    """Return Spearman's rank correlation over the pairs of all seeds, None as of one seed."""
    return rank_correlation([pair for pairs in by_seed for pair in pairs])


def bootstrap_interval(by_seed: Sequence[Sequence[tuple[float, float]]]) -> Interval:
    """Return the 95 % percentile interval of `pooled_correlation`, whole seeds drawn at random.

    A seed's arms share a teacher, so they are drawn together or not at all.

    Returns:
      Its ends; NaN with fewer than two seeds, or if some draw has no correlation.
    """
    import numpy as np
    from scipy.stats import bootstrap

    # A few seeds have few different draws: each is computed once.
    @functools.cache
    def of_draw(drawn: tuple[int, ...]) -> float | None:
        return pooled_correlation([by_seed[number] for number in drawn])

    if len(by_seed) < 2 or any(of_draw((number,)) is None for number in range(len(by_seed))):
        return Interval(float("nan"), float("nan"))
    result = bootstrap(
        (np.arange(len(by_seed)),),
        lambda drawn: of_draw(tuple(sorted(int(number) for number in drawn))),
        n_resamples=RESAMPLES,
        vectorized=False,
        method="percentile",
        random_state=np.random.default_rng(0),
    )
    return Interval(float(result.confidence_interval.low), float(result.confidence_interval.high))
