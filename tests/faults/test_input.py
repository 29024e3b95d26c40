"""Arguments, configuration files and arrays by hypothesis: an answer, or one line."""

import json
import string
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from kdtheory.cli import COMMANDS, parse
from kdtheory.commands.run import Run
from kdtheory.errors import KdtheoryError
from kdtheory.measure.kernel_file import values_of_files
from kdtheory.measure.spec import KernelSpec
from kdtheory.report import read_rows
from kdtheory.runs import RunConfig, read_config, to_json
from kdtheory.runs.sweep import expand, read_sweep

# What orbax's coroutines leave of the damaged reads of test_damage.py.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MANY = settings(max_examples=400, suppress_health_check=list(HealthCheck), deadline=None)
FEW = settings(max_examples=15, suppress_health_check=list(HealthCheck), deadline=None)
SIZES = [pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=pytest.mark.faults)]

FLAGS = sorted(to_json(RunConfig()))
WORDS = st.one_of(
    st.sampled_from([
        "nan", "inf", "-1", "0", "1e400", "9" * 30, "", "true", "None", "..", "\x1b[31m", "=1+1",
        "[", "lenet5x99999999999", "x" * 5000, "4GiB", "-0.0", "1e-320", "/dev/zero",
    ]),
    st.integers().map(str), st.floats().map(str), st.text(max_size=20),
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


def answered(call, tally, kind):
    """Count how a call ends; return whether it is an answer or one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except KdtheoryError as error:
            return tally(kind, "one line" if "\n" not in str(error) else "traceback")
        except SystemExit:
            return tally(kind, "answered")
    return tally(kind, "answered")


@pytest.mark.parametrize("amount", SIZES)
def test_arguments(tally, amount):
    @amount
    @given(st.lists(st.tuples(st.sampled_from(FLAGS), WORDS), min_size=1, max_size=3))
    def check(given_flags):
        words = []
        for flag, value in given_flags:
            words += ["--" + flag.replace("_", "-"), value]
        assert answered(lambda: parse("run", Run, words), tally, "arguments of run")

    check()


@pytest.mark.parametrize("amount", SIZES)
def test_arguments_of_every_command(tally, amount):
    @amount
    @given(st.sampled_from(sorted(COMMANDS)), st.lists(WORDS, max_size=4))
    def check(name, words):
        call = lambda: parse(name, COMMANDS[name].options, words)  # noqa: E731
        assert answered(call, tally, "arguments of all commands")

    check()


@pytest.mark.parametrize("amount", SIZES)
def test_configuration_files(tmp_path, tally, amount):
    path = tmp_path / "config.json"
    sweep = tmp_path / "sweep.json"

    @amount
    @given(
        st.dictionaries(
            st.sampled_from([*FLAGS, "", "out", "student_optimizer.learning_rate"]),
            VALUES,
            max_size=3,
        )
        | VALUES
    )
    def check(values):
        path.write_text(json.dumps(values))
        assert answered(lambda: read_config(path), tally, "configuration files")
        sweep.write_text(json.dumps({"base": values, "grid": {"epochs": [1]}}))
        assert answered(lambda: read_sweep(sweep, tmp_path), tally, "sweep files")

    check()


@pytest.mark.parametrize("amount", SIZES)
def test_texts_in_the_place_of_files(tmp_path, tally, amount):
    path = tmp_path / "rows.jsonl"

    @amount
    @given(st.binary(max_size=200) | st.text(string.printable).map(str.encode))
    def check(content):
        path.write_bytes(content)
        for kind, call in (
            ("rows files", lambda: read_rows(path)),
            ("configuration files", lambda: read_config(path)),
            ("sweep files", lambda: read_sweep(path, tmp_path)),
        ):
            assert answered(call, tally, kind)

    check()


@pytest.mark.parametrize("name", ["..", ".", ".hidden", "a/../../b", "x" * 300])
def test_names_of_sweep_cases_stay_in_the_folder(tmp_path, tally, name):
    def call():
        for case in expand({"cases": [{"name": name}]}, tmp_path):
            assert (tmp_path / case.name).resolve().parent == tmp_path.resolve()

    assert answered(call, tally, "names of sweep cases")


NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 1e200, 1e308, -1e-308, 5e-324, np.nan, np.inf, 1e30])


@pytest.mark.parametrize("amount", SIZES)
def test_arrays(tmp_path, tally, amount):
    kernel, targets = tmp_path / "K.npy", tmp_path / "Y.npy"
    shapes = npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    square = st.integers(1, 4).map(lambda n: (n, n))
    kinds = st.sampled_from([np.float64, np.float32, np.int8, np.complex64, np.bool_, np.uint64])

    def arrays(of):
        return kinds.flatmap(
            lambda kind: npst.arrays(
                kind, of, elements=NUMBERS if kind == np.float64 else None, fill=st.nothing()
            )
        )

    @amount
    @given(arrays(square | shapes), arrays(shapes), st.sampled_from([0.0, 1e-3, 1e300]))
    def check(matrix, values, ridge):
        np.save(kernel, matrix)
        np.save(targets, values)

        def call():
            found = values_of_files(kernel, targets, KernelSpec(ridge_absolute=ridge)).values
            numbers = np.concatenate([np.ravel(found["complexity"]), np.ravel(found["trace"])])
            assert np.isfinite(numbers).all(), found

        assert answered(call, tally, "arrays")

    check()
