"""A kernel that is never formed: complexity as a certified interval, from products with it."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Real

from kdtheory.complexity import certify, condition_estimate
from kdtheory.complexity.fitted import fitted_values
from kdtheory.complexity.intervals import CertifiedComplexity, OnProduct
from kdtheory.errors import InputError
from kdtheory.measure.spec import KernelSpec
from kdtheory.measure.values import Interval, SupervisionComplexity, root_mean_square, stacked
from kdtheory.memory import making_bytes
from kdtheory.ntk.fingerprint import array_hash
from kdtheory.ntk.operators import NtkOperator


class CertifiedKernel:
    """K + lambda I through its products.

    Attributes:
      operator: K, without the ridge.
      num_outputs: d of the targets that it takes.
      trace: Tr K, exactly: one backward pass for every output of every example.
      ridge: lambda, in the unit of K.
    """

    def __init__(
        self,
        operator: NtkOperator,
        spec: KernelSpec,
        *,
        trace_gram: Callable[[], Float[np.ndarray, "n n"]],
        folder: Path | None,
        on_product: OnProduct | None = None,
    ) -> None:
        self.operator = operator
        self.num_outputs = operator.num_outputs
        self._spec = spec
        self._folder = folder
        self._trace_gram = trace_gram
        self._on_product = on_product
        self.trace = operator.trace()
        self.ridge = spec.lambda_of(trace=self.trace, rows=operator.shape[0])
        if not self.ridge > 0:
            raise InputError(
                f"this kernel of {operator.shape[0]:,} rows is bounded from products, which needs "
                "ridge > 0 (--ridge, or --ridge-absolute)"
            )

    @functools.cached_property
    def trace_kernel(self) -> Float[np.ndarray, "n n"] | None:
        """The (n, n) kernel summed over outputs, computed when first asked for.

        None where not even that fits in memory.
        """
        n = self.operator.shape[0] // self.num_outputs
        fits = making_bytes((n, n), "float64") <= self._spec.memory()
        return self._trace_gram() if fits else None

    def complexities(
        self, targets: Sequence[Real[np.ndarray, "n d"]]
    ) -> list[SupervisionComplexity]:
        """Return an interval for the complexity of every set of targets.

        Raises:
          InputError: targets of another shape, or not finite.
          KernelError: products that are not finite.
        """
        return self.described(self.certify(targets), targets)

    def certify(self, targets: Sequence[Real[np.ndarray, "n d"]]) -> CertifiedComplexity:
        """Return what `kdtheory.complexity.certify` finds, states of the iteration included."""
        stack = stacked(targets)
        checkpoint = None
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            checkpoint = self._folder / f"products-{array_hash(stack)}.npz"
        return certify(
            self.operator,
            stack,
            ridge=self.ridge,
            relative_gap=self._spec.relative_gap,
            max_products=self._spec.max_products,
            checkpoint=checkpoint,
            on_product=self._on_product,
        )

    def described(
        self, result: CertifiedComplexity, targets: Sequence[Real[np.ndarray, "n d"]]
    ) -> list[SupervisionComplexity]:
        """Return an interval for each set of targets out of what `certify` found for them."""
        lower, upper = result.adjusted(trace=self.trace, num_examples=len(targets[0]))
        ends = zip(
            np.ravel(result.lower), np.ravel(result.upper), np.ravel(lower), np.ravel(upper),
            strict=True,
        )  # fmt: skip
        return [
            SupervisionComplexity(
                complexity=Interval(float(ends_i[0]), float(ends_i[1])),
                adjusted=Interval(float(ends_i[2]), float(ends_i[3])),
                rms=root_mean_square(one),
                margin=None,
                trace=self.trace,
                ridge=self.ridge,
                condition=condition_estimate(state, ridge=self.ridge),
                residual=None,
                products=int(products),
            )
            for ends_i, one, state, products in zip(
                ends, targets, result.states, np.ravel(result.products), strict=True
            )
        ]

    def fitted(
        self, result: CertifiedComplexity, targets: Sequence[Real[np.ndarray, "n d"]]
    ) -> list[np.ndarray]:
        """Return the kernel predictor's values on its own examples, as far as the iteration saw."""
        return [
            fitted_values(self.operator, one, state, ridge=self.ridge).reshape(np.shape(one))
            for one, state in zip(targets, result.states, strict=True)
        ]
