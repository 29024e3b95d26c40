"""Certified complexity: a lower and an upper bound from products with the kernel alone."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Real

from kdtheory.complexity.checkpoint import Checkpoint, fingerprint
from kdtheory.complexity.dual import bound_dual
from kdtheory.complexity.factored_kernel import ArrayJacobian, FactoredProducts
from kdtheory.complexity.golub_kahan import GolubKahanState, jacobian_norm_bound
from kdtheory.complexity.intervals import (
    CertifiedComplexity,
    Keep,
    OnProduct,
    Route,
    State,
    collect,
)
from kdtheory.complexity.kernel_checks import real_array
from kdtheory.complexity.lanczos import LanczosState
from kdtheory.complexity.mixed import bound_mixed
from kdtheory.complexity.preconditioner import Preconditioner
from kdtheory.complexity.primal import bound_primal
from kdtheory.complexity.products import Products, column_products, norm_bound
from kdtheory.complexity.stacks import stack_targets
from kdtheory.errors import InputError, KernelError, unknown_name
from kdtheory.typing import AnyArray, ArrayLike

_Kind = TypeVar("_Kind", LanczosState, GolubKahanState)
_ROUTES = ("auto", "primal", "dual", "mixed")
#: From how many rows on "auto" factorises a dense kernel in float32 instead of iterating.
_MIXED_SIZE = 512
#: `product_error` for arrays and functions, and for networks' products.
_ARRAY_ERROR, _NETWORK_ERROR = 8.0, 32.0


def certify(
    kernel: Real[ArrayLike, "..."] | Products | FactoredProducts,
    targets: AnyArray,
    *,
    ridge: float = 0.0,
    smallest_eigenvalue: float = 0.0,
    largest_eigenvalue: float | None = None,
    size: int | None = None,
    relative_gap: float = 1e-3,
    max_products: int = 1000,
    batched: bool = False,
    product_error: float | None = None,
    preconditioner: Preconditioner | None = None,
    states: Sequence[State] | None = None,
    route: str = "auto",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    on_product: OnProduct | None = None,
) -> CertifiedComplexity:
    """Bound Y^T (K + ridge I)^-1 Y from both sides.

    Args:
      kernel: K, positive semidefinite, one of

        - an array (N, N);
        - `ntk.operator(...)` without a ridge of its own, or `factored(J)` for K = J J^T: both
          know their factor J of shape (N, P);
        - a function that returns K v.
      targets: (N,), (n, d), (k, n, d) or (k, N), as for `Factor.complexity`.
      ridge: added to K, >= 0.
      smallest_eigenvalue: a number known to be at or below every eigenvalue of K; 0 for any
        kernel. ridge + smallest_eigenvalue must be > 0: no number of products tells a kernel
        with a tiny eigenvalue from a singular one, so without it there is no upper bound.
        A kernel of n d > P rows is singular: it needs a ridge. Route "dual" does not use it.
      largest_eigenvalue: a number known to be at or above every eigenvalue of K, such as its trace:
        the scale of the products' rounding. None takes one from an array's entries, and for other
        kernels one from 8 products (or passes) more with a random direction, which is too small
        with a probability of at most 1e-6 and some 5 to 10 times too large.
      size: N, needed where `kernel` is a function and the targets are a stack (k, N); otherwise
        read from the targets.
      relative_gap: stop at (upper - lower) <= relative_gap * lower.
      max_products: products with K for each set of targets, those of `states` included.
      batched: whether the function takes and returns (N, t): t directions in one call.
      product_error: bound of ||fl(K v) - K v|| / (||K|| ||v||), and of the same for J, in units
        of eps of the product's dtype. None takes 8, which suits a BLAS product, for arrays and
        functions, and 32 for `ntk.operator`; products in TF32 have far more. Arrays are multiplied
        in float64 whatever their dtype.
      preconditioner: from `nystrom` for the same kernel and ridge: fewer products where the
        kernel has few large eigenvalues. `smallest_eigenvalue` is not used then.
      states: `states` of an earlier result for the same kernel, ridge, targets, route and
        preconditioner: goes on from there. Those of the route "dual" serve every ridge: a
        further one costs its certificate, and more steps only where it is smaller.
      route: how; the result says which was taken.

        - "primal": Lanczos on K, below. Any kernel.
        - "dual": Golub-Kahan on J, for kernels that know it, with a ridge. One pass over the
          data a step where K v takes two, vectors of length P to keep where Lanczos keeps those
          of length N, and a widening by rounding in proportion to sqrt(cond), not cond.
        - "mixed": arrays only: float32 Cholesky, float64 residuals. Some two thirds of the time
          of a float64 Cholesky, at any spectrum with a condition number up to about 1e6.
        - "auto": dual where the kernel knows J and P < N; mixed for arrays of 512 rows and
          more that have a float32 factor; else primal. `preconditioner` and `checkpoint` take
          no part in "mixed", `preconditioner` none in "dual", and auto goes by that, and by
          what `states` are of.
      checkpoint: file (.npz) that the states are written to, every `checkpoint_seconds` and at
        the end; where it exists, the iteration goes on from it.
      checkpoint_seconds: least time between two writes.
      on_product: called with (set, products, lower, upper) now and then; see `OnProduct`.

    Returns:
      A `CertifiedComplexity`.

    Raises:
      InputError: targets, states or a checkpoint that do not fit, values out of range, a route
        that the kernel does not allow.
      KernelError: K + ridge I has a Rayleigh quotient below ridge + smallest_eigenvalue by more
        than rounding, a product that is not finite, or no float32 factor for "mixed".
      RunError: the checkpoint cannot be written.

    Primal. With A = K + ridge I, T_k its Lanczos matrix from Y and a = ridge + smallest_eigenvalue,
    ||Y||^2 e_1^T T_k^-1 e_1 is a lower bound (Gauss) and that of T_k extended so that a is one of
    its eigenvalues an upper bound (Gauss-Radau), for every k (Golub and Meurant 2010, chapters 6
    and 7). With a preconditioner P the same holds for P^-1/2 A P^-1/2 and P^-1/2 Y, whose smallest
    eigenvalue is at least `preconditioner.node`.

    Its rounding. The computed T_k belongs exactly to A + E with ||E|| <= eta = 2 sqrt(k) times the
    largest error of one step: `product_error` and the step's own arithmetic, both relative to
    `largest_eigenvalue` + ridge (not to what the targets see of K: those orthogonal to the top
    eigenvectors see nothing of the largest eigenvalues, and get their rounding all the same), or
    what full reorthogonalisation found where symmetry says 0. Since A <= (A + E) + eta, the Gauss
    rule of T_k + eta is still a lower bound; since A >= a,
    A^-1 <= (1 + 2 eta / a) ((A + E) + eta)^-1, so the Radau rule of T_k + eta times that factor is
    still an upper bound, and so is the one of T_k - eta with the node a - 2 eta where that is
    positive. The smaller is taken. The storage of Y / ||Y|| in the products' dtype is accounted for
    likewise.

    So the interval holds the value where (1) the products are as exact as `product_error` says, (2)
    `largest_eigenvalue` is no smaller than the largest eigenvalue (an array's bound never is, one
    from products with a probability of at most 1e-6), and (3) no eigenvalue of K is below
    `smallest_eigenvalue`. It is wide rather than wrong: with float32 products of a condition number
    above 1e4 it may say little, and `stopped` is "rounding". docs/bounds.md has a table of what was
    tried.

    Dual. The same two rules, as the values of a primal and a dual point that are evaluated at the
    end: `dual.certificate` has the statement and its rounding. Mixed: see `mixed.bound_mixed`.

    >>> K, Y = np.diag([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 4.0])
    >>> result = certify(K, Y, smallest_eigenvalue=0.5, relative_gap=1e-9)
    >>> result.lower <= 7.0 <= result.upper, result.products, result.stopped
    (True, 3, 'gap')
    """
    node = _check_numbers(
        ridge, smallest_eigenvalue, largest_eigenvalue, relative_gap, max_products, product_error,
        preconditioner,
    )  # fmt: skip
    jacobian = kernel.jacobian if isinstance(kernel, FactoredProducts) else None
    if isinstance(kernel, FactoredProducts):
        if kernel.ridge:
            raise InputError(
                f"the operator has a ridge of its own ({kernel.ridge:g}): give it to certify alone"
            )
        size = int(kernel.jacobian.shape[0])
    elif not callable(kernel):
        kernel = real_array("kernel", kernel, KernelError)
        if kernel.ndim == 2:
            size = len(kernel)
    stack = stack_targets(targets, size=_size(targets, size))
    count = stack.columns.shape[1]
    if states is not None and len(states) != count:
        raise InputError(f"states must be one a set of targets: {count}, got {len(states)}")
    if product_error is None:
        network = jacobian is not None and not isinstance(jacobian, ArrayJacobian)
        product_error = _NETWORK_ERROR if network else _ARRAY_ERROR
    dense = jacobian is None and not callable(kernel)
    resumable = states is not None or checkpoint is not None
    taken = _choose(
        route,
        shape=None if jacobian is None else jacobian.shape,
        rows=int(size) if dense and size is not None else None,
        ridge=ridge,
        states=states,
        preconditioned=preconditioner is not None,
        resumable=resumable,
    )
    report: OnProduct = on_product or (lambda *_: None)
    if taken == "mixed":
        bounds = bound_mixed(
            np.asarray(kernel),
            np.array(stack.columns, np.float64),
            ridge=ridge,
            node=node,
            gap=relative_gap,
            limit=max_products,
            product_error=product_error,
            on_product=report,
        )
        if bounds is not None:
            return collect(
                bounds, (None,) * count, stacked=stack.stacked, ridge=ridge, route="mixed"
            )
        if route == "mixed":
            raise KernelError(
                "K + ridge I has no float32 Cholesky factor: it is not positive semidefinite, or "
                'too ill-conditioned; use route "primal", or complexity.factorize'
            )
        taken = "primal"
    store = None
    if checkpoint is not None:
        parts = () if preconditioner is None else (preconditioner.eigenvalues,)
        # Golub-Kahan does not know the ridge: its states serve every one.
        own = {} if taken == "dual" else {"ridge": float(ridge)}
        store = Checkpoint(
            checkpoint,
            route=taken,
            fingerprint=fingerprint(taken, stack.columns, *parts, **own),
            seconds=checkpoint_seconds,
        )
        if states is None:
            states = store.load(count)
    if states is None:
        states = [None] * count
    keep: Keep = store if store is not None else lambda _: None
    left: tuple[State, ...]
    if taken == "dual" and jacobian is not None:
        bounds, left = bound_dual(
            jacobian,
            np.array(stack.columns, np.float64),
            ridge=ridge,
            largest_eigenvalue=largest_eigenvalue,
            gap=relative_gap,
            limit=max_products,
            product_error=product_error,
            states=[_of_kind(state, GolubKahanState) for state in states],
            on_product=report,
            keep=keep,
        )
    else:
        products = (lambda v: kernel @ v) if isinstance(kernel, FactoredProducts) else kernel
        apply = column_products(products, batched=batched)

        def norm() -> float:
            if largest_eigenvalue is None and isinstance(jacobian, ArrayJacobian):
                return jacobian_norm_bound(jacobian) ** 2
            return norm_bound(products, apply, len(stack.columns), known=largest_eigenvalue)

        bounds, left = bound_primal(
            apply,
            stack.columns,
            ridge=ridge,
            node=node,
            norm=norm,
            gap=relative_gap,
            limit=max_products,
            product_error=product_error,
            preconditioner=preconditioner,
            states=[_of_kind(state, LanczosState) for state in states],
            on_product=report,
            keep=keep,
        )
    if store is not None:
        store.save(left)
    return collect(bounds, left, stacked=stack.stacked, ridge=ridge, route=taken)


def _choose(
    route: str,
    *,
    shape: tuple[int, int] | None,
    rows: int | None,
    ridge: float,
    states: Sequence[State] | None,
    preconditioned: bool,
    resumable: bool,
) -> Route:
    """Return the route for a kernel with a Jacobian of `shape`, or an array of `rows`, or neither.

    >>> _choose("auto", shape=(9, 4), rows=None, ridge=0.1, states=None, preconditioned=False,
    ...         resumable=False)
    'dual'
    """
    if route not in _ROUTES:
        raise unknown_name("route", route, _ROUTES)
    of_dual = any(isinstance(state, GolubKahanState) for state in states or ())
    of_primal = any(isinstance(state, LanczosState) for state in states or ())
    if route in ("auto", "dual"):
        refused = None
        if shape is None:
            refused = "a kernel that knows its factor: ntk.operator(...) or complexity.factored(J)"
        elif ridge <= 0:
            refused = "ridge > 0"
        elif preconditioned:
            refused = "no preconditioner"
        if route == "dual" and refused is not None:
            raise InputError(f'route "dual" needs {refused}')
        wanted = shape is not None and shape[1] < shape[0] and not of_primal
        if refused is None and (route == "dual" or of_dual or wanted):
            return "dual"
    if route in ("auto", "mixed"):
        usable = rows is not None and not preconditioned and not resumable
        if route == "mixed" and not usable:
            raise InputError(
                'route "mixed" needs an array, and takes no preconditioner, states or checkpoint'
            )
        if usable and (route == "mixed" or (rows or 0) >= _MIXED_SIZE):
            return "mixed"
    return "primal"


def _of_kind(state: State, kind: type[_Kind]) -> _Kind | None:
    if state is not None and not isinstance(state, kind):
        raise InputError(f"states of another route: got {type(state).__name__}")
    return state


def _check_numbers(
    ridge: float,
    smallest_eigenvalue: float,
    largest_eigenvalue: float | None,
    relative_gap: float,
    max_products: int,
    product_error: float | None,
    preconditioner: Preconditioner | None,
) -> float:
    """Raise InputError for values out of range; return ridge + smallest_eigenvalue."""
    for name, value in (("ridge", ridge), ("smallest_eigenvalue", smallest_eigenvalue)):
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{name} must be finite and >= 0, got {value}")
    if largest_eigenvalue is not None and not largest_eigenvalue >= smallest_eigenvalue:
        raise InputError(
            f"largest_eigenvalue must be >= smallest_eigenvalue = {smallest_eigenvalue:g}, got "
            f"{largest_eigenvalue}"
        )
    node = ridge + smallest_eigenvalue
    if node <= 0:
        raise InputError(
            "an upper bound needs ridge > 0, or smallest_eigenvalue > 0 where one is known; both "
            "are 0"
        )
    error = 1.0 if product_error is None else product_error
    if not (relative_gap > 0 and error > 0 and max_products >= 1):
        raise InputError(
            "relative_gap and product_error must be > 0 and max_products >= 1, got "
            f"{relative_gap}, {product_error} and {max_products}"
        )
    if preconditioner is not None and preconditioner.ridge != ridge:
        raise InputError(
            f"the preconditioner is for ridge {preconditioner.ridge:g}, got ridge {ridge:g}"
        )
    return node


def _size(targets: AnyArray, size: int | None) -> int:
    if size is not None:
        return size
    shape = np.shape(targets)
    if not shape:
        raise InputError("targets must be an array of shape (N,), (n, d), (k, n, d) or (k, N)")
    return shape[0] if len(shape) == 1 else int(shape[-2] * shape[-1])
