"""How students are supervised: by known logits where that is possible, in one program."""

import dataclasses
import functools
from pathlib import Path

import jax
import numpy as np
import pytest

from kdtheory.datasets import AugmentConfig
from kdtheory.report import read_rows
from kdtheory.runs import execute, seed, student
from kdtheory.targets import Teacher
from kdtheory.targets.tabulated import TabulatedTeacher


@functools.cache
def student_rows(out):
    rows = read_rows(Path(out)).rows
    return {
        (row["arm"], row["temperature"], row["step"]): row
        for row in rows
        if row["kind"] == "student"
    }


@pytest.fixture
def contexts(monkeypatch):
    """What `provider_of` was asked, for each student that a test trains."""
    asked = []
    original = student.provider_of

    def provider_of(*arguments):
        asked.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(student, "provider_of", provider_of)
    return asked


def providers_of(contexts):
    """Return the target providers of the arms with a teacher."""
    return {
        asked[0]: student.provider_of(*asked) for asked in list(contexts) if asked[0].temperature
    }


@pytest.mark.slow
def test_known_logits_and_inference_train_the_same_student(
    finished_once, tiny, contexts, monkeypatch
):
    monkeypatch.setattr(seed, "TABLE_BYTES", 0)
    execute(tiny, quiet=True)
    assert {type(provider) for provider in providers_of(contexts).values()} == {Teacher}
    computed, known = student_rows(tiny.output.out), student_rows(str(finished_once))
    assert computed.keys() == known.keys()
    for key, row in computed.items():
        for name in ("train_loss", "test_kl", "margin"):
            np.testing.assert_allclose(row[name], known[key][name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_arms_of_one_teacher_share_a_compiled_program(tiny, contexts):
    execute(tiny.replace(epochs=1, points=2), quiet=True)
    providers = providers_of(contexts)
    kinds = {
        arm: (jax.tree.structure(p), tuple(leaf.shape for leaf in jax.tree.leaves(p)))
        for arm, p in providers.items()
        if arm.name in ("offline", "online")
    }
    assert len(kinds) == 4
    assert len(set(kinds.values())) == 1
    assert {type(provider) for provider in providers.values()} == {TabulatedTeacher}
    # Augmented images are others than those whose logits are known.
    arm, shared = contexts[-1]
    trainer = shared.student_trainer.replace(augmentation=AugmentConfig(flip=True))
    augmented = shared.config.replace(augment=True)
    changed = dataclasses.replace(shared, student_trainer=trainer, config=augmented)
    assert isinstance(student.provider_of(arm, changed), Teacher)
