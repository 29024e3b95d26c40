"""Parameters from files: three formats, matched by name and shape, told in one line."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import serialization

from kdtheory import models
from kdtheory.datasets import load
from kdtheory.errors import InputError
from kdtheory.models import match_variables, read_variables
from kdtheory.training import Checkpoints

MODEL = models.create("mlp4x1", 3)
LIKE = models.init(MODEL, jax.random.key(0), (2, 2, 1))
OTHER = models.init(MODEL, jax.random.key(1), (2, 2, 1))


def write(path, tree):
    if path.suffix == ".msgpack" or path.name.startswith("checkpoint_"):
        path.write_bytes(serialization.to_bytes(tree))
    elif path.suffix in (".safetensors", ".npz"):
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        named = {jax.tree_util.keystr(p, simple=True, separator="."): np.asarray(leaf)
                 for p, leaf in leaves}  # fmt: skip
        if path.suffix == ".npz":
            np.savez(path, **named)
        else:
            pytest.importorskip("safetensors.numpy").save_file(named, path)
    elif path.name == "7":
        with ocp.CheckpointManager(path.parent) as manager:
            params = ocp.args.StandardSave(tree["model"])
            items = {"params": params, "moments": ocp.args.StandardSave(tree["opt_state"])}
            manager.save(7, args=ocp.args.Composite(**items))
    else:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(path, tree)
    return path


def same(one, other):
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, one, other)))


FORMS = ["w.msgpack", "checkpoint_5", "w.safetensors", "w.npz", "orbax", "7"]


@pytest.mark.parametrize("name", FORMS)
def test_what_is_written_is_found_whatever_lies_around_it(name, tmp_path):
    whole = {"model": OTHER, "opt_state": {"mu": LIKE["params"]}}
    matched = match_variables(LIKE, read_variables(write(tmp_path / name, whole)))
    assert same(matched.variables, OTHER)
    assert (matched.unmatched, matched.left_over) == ((), ())
    again = match_variables(LIKE, OTHER)
    assert matched.sha256 == again.sha256 != match_variables(LIKE, LIKE).sha256


def test_the_report_names_what_did_not_match():
    head = sorted(OTHER["params"])[-1]
    given = {**OTHER["params"], head: {"kernel": np.ones((4, 7), np.float16)}, "extra": np.ones(2)}
    matched = match_variables(LIKE, given)
    assert same(matched.variables["params"][head], LIKE["params"][head])
    assert matched.report == (
        f"2 of the model's 4 arrays found; not found: params/{head}/bias (3,), "
        f"params/{head}/kernel (4, 3), there (4, 7); left over: extra (2,)"
    )


def test_what_cannot_be_used_is_one_line(tmp_path):
    with pytest.raises(InputError, match="0 of the model's 4 arrays found"):
        match_variables(LIKE, {"w": np.ones(3)})
    with pytest.raises(InputError, match=r"could be a/params/.* or b/params/"):
        match_variables(LIKE, {"a": OTHER, "b": OTHER})
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, OTHER)
    with pytest.raises(InputError, match="not finite"):
        match_variables(LIKE, broken)
    for name, message in (
        ("w.pt", "save_file writes one"),
        ("w.msgpack", "cannot be read as .msgpack"),
        ("w.safetensors", "cannot be read as .safetensors"),
    ):
        (tmp_path / name).write_bytes(b"\x93no numbers")
        with pytest.raises(InputError, match=message):
            read_variables(tmp_path / name)
    with pytest.raises(InputError, match="No such file"):
        read_variables(tmp_path / "none.msgpack")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="is no orbax checkpoint"):
        read_variables(tmp_path / "folder")
    os.mkfifo(tmp_path / "folder" / "pipe")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        read_variables(tmp_path / "folder")


def test_a_training_starts_from_them(tmp_path):
    from kdtheory.training import Trainer, fit

    data = load("synthetic", train_size=16, validation_size=0, test_size=8)
    model = models.create("mlp4x1", data.num_outputs)
    given = models.init(model, jax.random.key(7), data.image_shape)
    trainer = Trainer(module=model, image_shape=data.image_shape, examples=16, epochs=1,
                      batch_size=16, variables=given)  # fmt: skip
    assert same(trainer.initial_state(jax.random.key(0)).variables, given)
    path = write(tmp_path / "w.msgpack", given)
    settings = {"epochs": 1, "batch_size": 16, "key": jax.random.key(0)}
    assert same(
        fit(model, data, variables=path, **settings).variables,
        fit(model, data, variables=given, **settings).variables,
    )
    part = {"params": {"Dense_0": given["params"]["Dense_0"]}}
    with pytest.warns(UserWarning, match="2 of the model's 4 arrays found"):
        fit(model, data, variables=part, **settings)


def test_a_folder_of_checkpoints_says_which_to_name_and_a_runs_own_how(tmp_path):
    checkpoints = Checkpoints(tmp_path / "labels")
    for step in (8, 16):
        checkpoints.save(step, OTHER)
    checkpoints.close()
    last = tmp_path / "labels" / "step-00000016"
    with pytest.raises(
        InputError, match=f"no orbax checkpoint of arrays; name one, such as {last}"
    ):
        read_variables(tmp_path)
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine" / "step_3.msgpack", OTHER)
    with pytest.raises(InputError, match=r"name one, such as .*/mine/step_3\.msgpack"):
        read_variables(tmp_path / "mine")
    with pytest.raises(InputError, match="name it where it lies in the run's folder; in Python"):
        read_variables(last)
    write(tmp_path / "manager" / "7", {"model": OTHER, "opt_state": {"mu": LIKE["params"]}})
    with pytest.raises(InputError, match=f"name one, such as {tmp_path / 'manager/7/params'}"):
        read_variables(tmp_path / "manager")
