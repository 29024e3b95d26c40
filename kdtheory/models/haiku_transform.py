"""A Haiku transform as (apply_fn, variables)."""

from typing import Any

from kdtheory.typing import ApplyFn, Variables


def from_haiku(transformed: Any, params: Any, state: Any = None) -> tuple[ApplyFn, Variables]:
    """Return (apply_fn, variables) of a Haiku transform.

    Args:
      transformed: what `hk.transform` or `hk.transform_with_state` returned, of a function x ->
        logits (n, d) in evaluation mode, which draws no random numbers.
      params: its parameters.
      state: its state, for `transform_with_state`.

    Returns:
      apply_fn (variables, x) -> logits; {"params": params, "state": state}.

    >>> from types import SimpleNamespace
    >>> made = SimpleNamespace(apply=lambda params, rng, x: params["w"] * x)
    >>> apply_fn, variables = from_haiku(made, {"w": 2})
    >>> apply_fn(variables, 3)
    6
    """
    if state is None:
        return lambda variables, x: transformed.apply(variables["params"], None, x), {
            "params": params
        }
    return (
        lambda variables, x: transformed.apply(variables["params"], variables["state"], None, x)[0],
        {"params": params, "state": state},
    )
