# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: jupytext,kernelspec,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---


# %% [markdown]
# # Your own images, your own student, your own teacher
#
# You have a folder of images, a student of your own in Flax, and a trained teacher, mostly from
# another framework. How complex is the teacher's supervision for *your* student, and does it help?
# Three things are taught here: **a student and images of one's own** in a run, **a teacher by a
# file of its logits**, and **complexity along one's own checkpoints**. Everything also works on the
# command line, and mostly is done there.
#
# With `KDTHEORY_NOTEBOOK_SMALL=1` in the environment everything shrinks, for the tests.

# %%
import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
import optax
import polars as pl
from IPython.display import HTML, Image, display
from PIL import Image as Picture
from sklearn.neural_network import MLPClassifier

import kdtheory
from kdtheory import datasets, models, ntk
from kdtheory.errors import InputError

SMALL = os.environ.get("KDTHEORY_NOTEBOOK_SMALL") == "1"
WORK = Path(tempfile.mkdtemp(prefix="kdtheory-"))  # stands for a folder of yours


def shell(command):
    """Run a command in WORK, as in a shell, and show what it printed."""
    words = [sys.executable, "-m", *command.split()]
    done = subprocess.run(words, cwd=WORK, capture_output=True, text=True)
    print(done.stdout)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])


# %% [markdown]
# ## 1. A folder of images
#
# `ROOT/train/CLASS/` and `ROOT/test/CLASS/` with images in them, or the classes alone and
# `--test-fraction 0.2`. Here: discs, squares and crosses on noise. Arrays, tables and TFDS sets are
# named as easily: see [Data sets](../docs/datasets.md).

# %%
SIDE, COUNTS = 16, {"train": 24 if SMALL else 400, "test": 12 if SMALL else 200}
CLASSES = ("cross", "disc", "square")
COORDINATES = np.mgrid[:SIDE, :SIDE]


def draw(rng, label):
    """Return a cross, a disc or a square of random size, place and colour, on noise."""
    size, centre = rng.uniform(3, 5), rng.uniform(5, SIDE - 6, size=2)
    down, right = np.abs(COORDINATES - centre[:, None, None])
    inside = (
        (np.minimum(down, right) < 0.35 * size) & (np.maximum(down, right) < size),
        down**2 + right**2 < size**2,
        np.maximum(down, right) < 0.85 * size,
    )[label]
    noise = rng.uniform(0, 160, size=(SIDE, SIDE, 3))
    return np.where(inside[..., None], rng.uniform(60, 255, size=3), noise).astype(np.uint8)


rng = np.random.default_rng(0)
for split, count in COUNTS.items():
    for index in range(count):
        folder = WORK / "shapes" / split / CLASSES[index % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(draw(rng, index % 3)).save(folder / f"{index:04}.png")

shell("kdtheory data show folder:shapes")
shapes = datasets.load(f"folder:{WORK / 'shapes'}", validation_size=0)
_, axis = plt.subplots(figsize=(9, 1))
axis.imshow(np.concatenate(list(shapes.train.images[:12]), axis=1))
axis.set_axis_off()
plt.show()

# %% [markdown]
# ## 2. A student
#
# Any linen module that maps images (n, h, w, c) to logits, takes `train`, and in inference mode
# treats the examples one by one. The decorator gives it a name; the pattern's groups go to the
# builder as strings. `--import my_model.py` makes every command know it.

# %%
# %%writefile {WORK}/my_model.py
"""A student of one's own."""

import flax.linen as nn

from kdtheory import models


class Scale(nn.Module):
    """A layer that no library knows: one factor a channel."""

    @nn.compact
    def __call__(self, x):
        return x * self.param("scale", nn.initializers.ones, x.shape[-1:])


class MyNet(nn.Module):
    """Two convolutions with BatchNorm, then the mean over the image."""

    num_outputs: int
    width: int

    @nn.compact
    def __call__(self, x, train=False):
        for width in (self.width, 2 * self.width):
            x = nn.Conv(width, (3, 3), use_bias=False)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
            x = nn.avg_pool(x, (2, 2), strides=(2, 2))
        return nn.Dense(self.num_outputs)(Scale()(x.mean(axis=(1, 2))))


@models.register(r"mynet(\d+)", examples=("mynet8",), image_shape=(16, 16, 3))
def build_mynet(num_outputs, width):
    """Build "mynetW", with W channels in the first layer."""
    return MyNet(num_outputs, int(width))


# %% [markdown]
# **Is its kernel exact?** `ntk.gram` reads the program that JAX traces and is exact for every
# function whose gradient JAX can take: `ntk.explain` says what it found. `Scale`, which kdtheory
# has never heard of, is a product like any other. A function in which one example sees another,
# such as BatchNorm in training mode, has no kernel of two images, and is refused.

# %%
sys.path.insert(0, str(WORK))
importlib.import_module("my_model")  # what --import does for a command

model = models.create("mynet8", shapes.num_outputs)
variables = models.init(model, jax.random.key(0), shapes.image_shape)
x = np.asarray(datasets.normalize(shapes.train.images[:12], shapes.mean, shapes.std))
explanation = ntk.explain(model.apply, variables, x)
print(explanation)
try:
    ntk.gram(lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"])[0], variables, x)
    batch_statistics_refused = False
except InputError as refusal:
    print("refused:", refusal)
    batch_statistics_refused = True

# %% [markdown]
# ## 3. A teacher, by a file of its logits
#
# The teacher may be of any framework: it is a file. `kdtheory data export` writes the images that a
# run will use, in its order and with their ids; your framework turns them into logits. In PyTorch
# these are [the same six lines](../examples/pytorch_teacher.py); here it is scikit-learn.

# %%
shell("kdtheory data export --dataset folder:shapes --validation-size 0 --out exported")

# %%
images = {split: np.load(WORK / "exported" / split / "images.npy") for split in COUNTS}
np.testing.assert_array_equal(images["train"], shapes.train.images)  # in this order
flat = {split: array.reshape(len(array), -1) / 255 for split, array in images.items()}
teacher = MLPClassifier((64,), alpha=1.0, max_iter=2000, random_state=0)
teacher.fit(flat["train"], np.load(WORK / "exported/train/labels.npy"))
logits = {split: teacher.predict_log_proba(array) for split, array in flat.items()}
ids = np.load(WORK / "exported/train/ids.npy")
np.savez(WORK / "teacher.npz", ids=ids, **logits)

# %% [markdown]
# ## 4. The table
#
# One command trains the student on labels, on the teacher and on itself, measures the complexity of
# each supervision along the way, and ends with the table. Ctrl-C is harmless: the same command
# goes on. `runs/shapes` then has the table as Markdown, LaTeX, CSV and HTML, figures, and
# `report.html` with all of it.

# %%
size = "--epochs 2 --batch-size 12 --ntk-size 8 --seeds 1 --points 2"
if not SMALL:
    size = "--epochs 15 --batch-size 50 --ntk-size 64 --seeds 2 --points 3"
shell(
    "kdtheory run --import my_model.py --dataset folder:shapes --validation-size 0 "
    "--teacher-logits teacher.npz --student mynet4 --arms labels offline --temperatures 1 4 "
    f"{size} --out runs/shapes"
)
display(HTML((WORK / "runs/shapes/table.html").read_text()))
display(Image((WORK / "runs/shapes/complexity.png").read_bytes(), width=900))

# %% [markdown]
# [Reading the table](../docs/reading_the_table.md) explains a row, column by column. Look at
# complexity and margin together: at temperature 4 both are smaller, because the targets are.
#
# ## 5. Complexity along your own checkpoints
#
# The training loop is yours: here, ten lines of optax. All that is needed of it is the parameters
# at some steps.

# %%
student = models.create("mynet4", shapes.num_outputs)
images_in = np.asarray(datasets.normalize(shapes.train.images, shapes.mean, shapes.std))
Y = np.asarray(datasets.encode_labels(shapes.train.labels, shapes.num_outputs))
optimizer = optax.adam(3e-3)


def loss(params, rest):
    """Return the mean cross-entropy of a full batch."""
    out, changed = student.apply(
        {"params": params, **rest}, images_in, train=True, mutable=["batch_stats"]
    )
    return optax.softmax_cross_entropy(out, Y).mean(), changed


@jax.jit
def step(params, rest, state):
    """Return what an update makes of parameters, statistics and the optimiser's state."""
    gradient, changed = jax.grad(loss, has_aux=True)(params, rest)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), changed, state


start = dict(models.init(student, jax.random.key(1), shapes.image_shape))
params, rest = start.pop("params"), start
state, checkpoints = optimizer.init(params), {}
for number in range(0, 5 if SMALL else 121):
    if number % (2 if SMALL else 30) == 0:
        checkpoints[number] = {"params": params, **rest}
    params, rest, state = step(params, rest, state)

# %% [markdown]
# And these are the ten lines. The kernel is computed once for each checkpoint, and all targets
# share it; they are centred, since one-hot and soft rows share a constant.

# %%
few = slice(0, 12 if SMALL else 64)
soft = np.exp(logits["train"])
targets = {"labels": Y[few], "teacher": soft[few]}
found = {
    number: kdtheory.supervision_complexity(
        student.apply, variables, images_in[few],
        {name: target - target.mean(axis=0) for name, target in targets.items()},
        ridge=1e-3, labels=shapes.train.labels[few],
    )
    for number, variables in checkpoints.items()
}  # fmt: skip
by_step = pl.DataFrame([
    {"step": number, "targets": name, "adjusted": one.adjusted.value,
     "over rms": one.over_rms.value}
    for number, of in found.items() for name, one in of.items()
])  # fmt: skip
_, axis = plt.subplots(figsize=(6, 3), layout="constrained")
for (name,), lines in by_step.group_by("targets", maintain_order=True):
    axis.plot(lines["step"], lines["over rms"], "o-", label=name)
axis.set(xlabel="step of your training", ylabel="adjusted complexity / rms", ylim=(0, None))
axis.legend(frameon=False)
plt.show()
by_step

# %% [markdown]
# "Over rms" is what rescaling the targets does not change: the number by which two supervisions of
# different scale can be compared.
#
# ## From here
#
# - [Adding your own](../docs/extending.md): data sets, tasks, methods and claims, from such a file.
# - [The kernel of your model](../docs/kernels.md): NNX, Equinox, Haiku and plain JAX.
# - [Command line](../docs/cli.md): `kdtheory table` puts runs side by side, `kdtheory sweep` makes
#   many of them.
