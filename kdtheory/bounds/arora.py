"""The bound of Arora et al. 2019 for wide two-layer networks, and its form for any kernel."""

import math
from typing import NamedTuple

from kdtheory.bounds.arguments import check_delta, check_size
from kdtheory.bounds.margin import confidence_term, radius_of
from kdtheory.bounds.validity import Premises, Validity, premises_of
from kdtheory.errors import InputError


class AroraBound(NamedTuple):
    """Expected loss of an interpolant; the loss is in [0, 1], 1-Lipschitz and 0 at the label."""

    bound: float
    """Complexity_term + confidence_term."""
    leading_term: float
    """Sqrt(2 C / n), as published; their remaining term is of order sqrt(log(n / (lambda_min
    delta)) / n), with a constant that is not stated.
    """
    complexity_term: float
    """2 B sqrt(Tr K) / n."""
    confidence_term: float
    """3 sqrt(ln(2 B (B + 1) / delta) / (2 n))."""
    radius: float
    """B = ceil(sqrt(C)), at least 1."""
    delta: float
    """Probability of failure."""
    premises: Premises
    """What the bound rests on; `validity` sums it up: "certificate", or "diagnostic" where the
    kernel depends on the sample.
    """

    @property
    def validity(self) -> Validity:
        """Whether the premises hold: "certificate" or "diagnostic"."""
        return self.premises.validity


def arora_bound(
    *,
    complexity: float,
    trace: float,
    num_examples: int,
    kernel_depends_on_sample: bool,
    delta: float = 0.05,
) -> AroraBound:
    """Bound the expected loss of the minimum-norm interpolant by sqrt(2 y^T H^-1 y / n) and kin.

    Args:
      complexity: C = y^T H^-1 y.
      trace: Tr H on the sample.
      num_examples: n.
      kernel_depends_on_sample: whether these examples had a part in making the kernel.
      delta: probability of failure, in (0, 1).

    Returns:
      An `AroraBound`.

    Raises:
      InputError: values out of range.

    Published statement: for inputs on the unit sphere, H the NTK of the first layer of a two-layer
    ReLU network of sufficient width (H_ii = 1/2), trained by gradient descent from a small
    initialisation, the expected loss is at most sqrt(2 y^T H^-1 y / n) and a term of order
    sqrt(log(n / (lambda_min delta)) / n). Proof idea: the network stays in a ball of radius
    sqrt(C) around its start; that ball's Rademacher complexity is sqrt(C / (2 n)); twice that.

    Our form, for the kernel predictor itself, states every constant and takes any kernel: the loss
    is 0 on the sample, so only 2 B sqrt(Tr H) / n and the confidence term remain. With
    Tr H = n / 2 and B = sqrt(C) the first is the published leading term.

    Source: Arora, Du, Hu, Li, Wang 2019, "Fine-grained analysis of optimization and generalization
    for overparameterized two-layer neural networks", Theorem 5.1.

    >>> terms = arora_bound(complexity=25.0, trace=5_000.0, num_examples=10_000,
    ...                     kernel_depends_on_sample=False)
    >>> round(terms.leading_term, 6), round(terms.complexity_term, 6)
    (0.070711, 0.070711)
    """
    if num_examples < 1:
        raise InputError(f"num_examples must be >= 1, got {num_examples}")
    check_size("complexity", complexity)
    check_size("trace", trace)
    check_delta(delta)
    radius, log_weight = radius_of(complexity)
    complexity_term = 2 * radius * math.sqrt(trace) / num_examples
    confidence = confidence_term(num_examples, delta, log_weight=log_weight)
    return AroraBound(
        bound=complexity_term + confidence,
        leading_term=math.sqrt(2 * complexity / num_examples),
        complexity_term=complexity_term,
        confidence_term=confidence,
        radius=radius,
        delta=delta,
        premises=premises_of(
            kernel_depends_on_sample=kernel_depends_on_sample,
            assumed=("f interpolates the sample, and the loss is 0 there",),
        ),
    )
