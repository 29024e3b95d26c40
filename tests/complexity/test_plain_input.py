"""What a user gives by mistake, without the tests' own checks of types: one right line, or a value.

In a process of its own: the import hook of `conftest.py` would refuse most of it before it arrives.
"""

import json
import subprocess
import sys

import pytest

CASES = {
    "lists": ("factorize([[2.0, 0.0], [0.0, 4.0]]).complexity([2.0, 4.0]).complexity", 6.0),
    "certified lists": ("certify([[2.0, 0.0], [0.0, 4.0]], [2.0, 4.0], ridge=1e-9).lower", 6.0),
    "spectrum of lists": ("eigendecompose([[2.0, 0.0], [0.0, 4.0]]).trace", 6.0),
    "zero kernel, ridge": ("certify(np.zeros((2, 2)), [1.0, 1.0], ridge=0.5).upper", 4.0),
    "zero kernel, factor": (
        "factorize(np.zeros((2, 2)), ridge=0.5).complexity([1.0, 1.0]).complexity", 4.0
    ),
    "zero kernel": ("factorize(np.zeros((2, 2)))", "kernel is zero: its only function is 0, and"),
    "zero kernel, mixed": ("certify(np.zeros((2, 2)), [1.0, 1.0], ridge=0.5, route='mixed').lower",
        4.0),
    "ragged": ("factorize([[1.0], [1.0, 2.0]])", "numbers, got rows of different length"),
    "words": ("factorize([['a']])", "kernel must be an array of numbers, got <U1"),
    "complex": ("factorize(np.eye(2) * 1j)", "kernel must be real, got complex128: take .real"),
    "complex, certify": ("certify(np.eye(2) * 1j, np.ones(2), ridge=1.0)", "kernel must be real"),
    "complex, mixed": ("certify(np.eye(2) * (1 + 1j), np.ones(2), ridge=1.0, route='mixed')",
        "kernel must be real, got complex128"),
    "complex, spectrum": ("eigendecompose(np.eye(2) * 1j)", "kernel must be real, got complex128"),
    "complex product": ("certify(lambda v: v * (1 + 1j), np.ones(2), ridge=1.0)",
        "a product of the kernel must be real, got complex128"),
    "complex J": ("factored(np.ones((2, 1)) * 1j)", "a Jacobian must be real, got complex128"),
    "complex nystrom": ("nystrom(np.eye(2) * 1j, ridge=1.0, rank=1)", "kernel must be real"),
    "complex targets": ("factorize(np.eye(2)).complexity(np.ones(2) * 1j)", "targets must be real"),
    "class indices": ("factorize(np.eye(4)).complexity(np.array([0, 2, 1, 1]))",
        "targets of dtype int64 and shape (4,) are class indices, not numbers to fit: give 2.0 * "),
    "class indices, certify": ("certify(np.eye(4), np.array([0, 2, 1, 1]), ridge=1.0)",
        "are class indices"),
    "class indices, stack": ("factorize(np.eye(4)).complexity(np.array([[0, 2, 1, 1]]))",
        "are class indices"),
    "class indices, column": ("factorize(np.eye(4)).complexity(np.array([[0], [2], [1], [1]]))",
        "targets of dtype int64 and shape (4, 1) are class indices"),
    "class indices, columns": ("factorize(np.eye(2)).complexity(np.ones((2, 2, 1), int))",
        "are class indices"),
    "truth values": ("factorize(np.eye(4)).complexity(np.array([True, False, True, True]))",
        "are class indices"),
    "whole signs": ("factorize(np.eye(2)).complexity(np.array([1, -1])).complexity", 2.0),
    "whole one-hot": (
        "factorize(np.eye(4)).complexity(np.array([[0, 1], [1, 0]])).complexity", 2.0
    ),
    "flat whole one-hot": (
        "factorize(np.eye(4), num_outputs=2).complexity(np.array([0, 1, 1, 0])).complexity", 2.0
    ),
    "large targets": ("factorize(np.eye(2)).complexity(np.full(2, 1e200))",
        "targets as large as 1e+200 cannot be squared and summed in float64, at most"),
    "large targets, certify": ("certify(np.eye(2), np.full(2, -1e200), ridge=1.0)", "as large as"),
    "large kernel": ("factorize(np.eye(2) * 1e200)", "kernel has entries as large as 1e+200"),
    "large kernel, certify": ("certify(np.eye(2) * 1e200, np.ones(2), ridge=1.0, route='mixed')",
        "kernel has entries as large as 1e+200"),
    "NaN targets": ("factorize(np.eye(2)).complexity([1.0, np.nan])",
        "targets have 1 values that are NaN or infinite; all must be finite"),
    "infinite targets": ("certify(np.eye(2), [1.0, np.inf], ridge=1.0)", "NaN or infinite"),
    "one number": ("certify(np.eye(1), 1.0, ridge=1.0)", "targets of shape () do not fit"),
    "empty": ("certify(np.zeros((0, 0)), np.zeros(0), ridge=1.0)", "kernel is empty"),
}  # fmt: skip

SCRIPT = """
import json, sys, warnings
warnings.simplefilter("error")
import numpy as np
from kdtheory.complexity import certify, eigendecompose, factored, factorize, nystrom
from kdtheory.errors import KdtheoryError

def found(text):
    try:
        return float(eval(text))
    except KdtheoryError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__} out of {text}: {error}"

print(json.dumps({name: found(text) for name, text in json.load(sys.stdin).items()}))
"""


@pytest.fixture(scope="module")
def answers():
    texts = json.dumps({name: text for name, (text, _) in CASES.items()})
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=texts, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", CASES)
def test_answer(answers, name):
    expected = CASES[name][1]
    if isinstance(expected, str):
        assert expected in answers[name]
        assert "\n" not in answers[name]
    else:
        assert answers[name] == pytest.approx(expected, rel=1e-3)
