"""Every program that the package compiles can be lowered for CUDA and TPU."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

import kdtheory

PACKAGE = pathlib.Path(kdtheory.__file__).parent
SCRIPT = pathlib.Path(__file__).with_name("lower_programs.py")

#: Modules whose programs are not lowered by the script, and why they need not be.
EXCUSED = {
    "kdtheory.claims": "checks of theorems on small arrays, made of the same functions",
    "kdtheory.runs": "losses and initial states alone, which the training's programs contain",
    "kdtheory.training.checkpoints": "one copy of arrays, beside orbax",
    "kdtheory.training.epoch_orders": "the order of an epoch, which advance contains",
}


def compiling_modules() -> set[str]:
    """Return the modules that call `jax.jit` themselves."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        code = re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL)
        if re.search(r"(?<!type\()\bjax\.jit\(|@jax\.jit\b|partial\(jax\.jit|= jax\.jit\b", code):
            name = ".".join(("kdtheory", *path.relative_to(PACKAGE).with_suffix("").parts))
            found.add(name.removesuffix(".__init__"))
    return found


@pytest.fixture(scope="module")
def programs() -> dict[str, list[str]]:
    root = str(PACKAGE.parent)
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root, "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def test_every_module_that_compiles_is_lowered(programs: dict[str, list[str]]) -> None:
    needed = {
        name
        for name in compiling_modules()
        if not any(name == other or name.startswith(f"{other}.") for other in EXCUSED)
    }
    assert len(needed) >= 5
    assert needed - set(programs) == set()


def test_the_programs_of_training_and_of_kernels_are_among_them(
    programs: dict[str, list[str]],
) -> None:
    names = {name.rpartition(".")[2] for found in programs.values() for name in found}
    assert {"advance", "advance_many", "advance_on"} <= names


def test_a_program_that_needs_the_host_is_refused() -> None:
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import jax, numpy as np, lower_programs
recorded = lower_programs.Recorded(
    lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x), "module"
)
try:
    recorded(np.ones(2, np.float32))
except AssertionError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(SCRIPT.parent)],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    assert "callback" in done.stdout, done.stderr
