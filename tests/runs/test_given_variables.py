"""A run from pretrained parameters: a teacher that is not trained, students that start there."""

import json

import jax
import numpy as np
import pytest
from flax import serialization

from kdtheory import models
from kdtheory.errors import InputError
from kdtheory.rows import students, teachers
from kdtheory.runs import RunConfig, checkpoint_variables, execute
from kdtheory.runs.given_variables import student_start
from kdtheory.runs.loading import load_dataset


def assert_equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_teacher_and_student_are_what_was_given(tiny, tmp_path):
    config = tiny.replace(
        arms=("offline", "online"), temperatures=(2.0,), epochs=1, batch_size=32, points=2,
        kernel="none",
    )  # fmt: skip
    data = load_dataset(config)
    files = {}
    for name, model, seed in (("a", "mlp16x1", 1), ("b", "mlp16x1", 2), ("s", "mlp8x1", 3)):
        variables = models.init(
            models.create(model, data.num_outputs), jax.random.key(seed), data.image_shape
        )
        files[name] = tmp_path / f"{name}.msgpack"
        files[name].write_bytes(serialization.to_bytes(variables))
    teacher = (str(files["a"]),)
    with pytest.raises(InputError, match="one checkpoint, of which online would be the same"):
        config.replace(teacher_variables=teacher)
    config = config.replace(arms=("offline",))
    plain = config.replace(teacher_variables=teacher)
    rows = execute(plain, quiet=True)
    assert len(teachers(rows)) == 1
    given = execute(
        plain.replace(student_variables=str(files["s"]), out=str(tmp_path / "s")), quiet=True
    )
    first = [students(one)[0] for one in (rows, given)]
    assert first[0]["settings"] != first[1]["settings"]
    assert first[0]["train_kl"] != first[1]["train_kl"]
    stored = json.loads((tmp_path / "s" / "data.json").read_text())
    assert "4 of the model's 4 arrays found" in stored["student_variables"]["report"]
    # Another run's student is named by its folder; the folders above hold several.
    (own,) = sorted((tmp_path / "s").rglob("step-*"))[-1:]
    found = student_start(plain.replace(student_variables=str(own)), data)
    assert "4 of the model's 4 arrays found" in found.report
    like = models.abstract_variables(models.create("mlp8x1", data.num_outputs), data.image_shape)
    assert_equal(found.variables[0], checkpoint_variables(own, like))
    for folder in (own.parent, tmp_path / "s"):
        with pytest.raises(InputError, match=f"no orbax checkpoint.*; name one, such as {own}"):
            student_start(plain.replace(student_variables=str(folder)), data)
    with pytest.raises(InputError, match=r"\(teacher_variables: \w{12} there, \w{12} asked\)"):
        execute(plain.replace(teacher_variables=(str(files["b"]),)), quiet=True)
    with pytest.raises(InputError, match="not trained needs all of them"):
        execute(plain.replace(teacher_variables=(str(files["s"]),)), quiet=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher_epochs": 3}, "that of --teacher-variables is not"),
        ({"teacher_logits": "x.npy"}, "not both"),
        ({"arms": ("rco",)}, "arm rco needs a teacher with at least 2 checkpoints"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(InputError, match=message):
        RunConfig.of(**{"arms": ("offline",), "teacher_variables": ("a.msgpack",), **settings})
