"""A run goes on with the generator it began with, or not at all."""

import contextlib
import json

import jax
import pytest

from kdtheory.errors import InputError, KdtheoryError
from kdtheory.runs.store import open_store

DATA = {"sha256": "of some data"}
USUAL, RBG, OLD = (
    contextlib.nullcontext,
    lambda: jax.default_prng_impl("rbg"),
    lambda: jax.threefry_partitionable(False),
)


def opened(config, generator, **settings):
    with generator(), open_store(config, data=DATA, **settings) as store:
        return store.out


@pytest.mark.parametrize(
    ("begun", "continued", "message"),
    [
        (USUAL, RBG, "impl threefry2x32 there, rbg here: set JAX_DEFAULT_PRNG_IMPL=threefry2x32"),
        (RBG, USUAL, "impl rbg there, threefry2x32 here: set JAX_DEFAULT_PRNG_IMPL=rbg"),
        (USUAL, OLD, "partitionable True there, False here: set JAX_THREEFRY_PARTITIONABLE=true"),
    ],
)
def test_another_generator_is_refused(tiny, begun, continued, message):
    opened(tiny, begun)
    opened(tiny, begun)
    with pytest.raises(InputError, match=message):
        opened(tiny, continued)
    opened(tiny, continued, fresh=True)


def test_a_run_that_says_nothing_has_the_usual_one(tiny):
    path = opened(tiny, USUAL) / "provenance.json"
    sessions = json.loads(path.read_text())["sessions"]
    assert sessions[0].pop("prng") == {"impl": "threefry2x32", "partitionable": True}
    path.write_text(json.dumps({"sessions": sessions}))
    opened(tiny, USUAL)
    path.write_text(json.dumps({"sessions": sessions}))
    with pytest.raises(InputError, match="another random number generator of JAX"):
        opened(tiny, RBG)


@pytest.mark.parametrize("sessions", ["ab", [1], [{"prng": 3}], [{"prng": "rbg"}], {"a": 1}, 3])
def test_a_provenance_of_other_types_is_one_line(tiny, sessions):
    out = opened(tiny, USUAL)
    (out / "provenance.json").write_text(json.dumps({"sessions": sessions}))
    with pytest.raises(KdtheoryError, match=r"provenance\.json is damaged"):
        opened(tiny, USUAL)


def test_links_in_a_runs_folder_are_not_written_through(tiny, tmp_path):
    out = opened(tiny, USUAL)
    (out / "seeds").symlink_to(tmp_path)
    with pytest.raises(InputError, match="seeds is a symbolic link"):
        opened(tiny, USUAL)
