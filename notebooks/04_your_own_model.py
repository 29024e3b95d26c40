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
# # Your own model, your own data, and a table
#
# You have a Flax model and a TensorFlow Datasets (TFDS) image set. What is the complexity of a
# teacher's supervision for *your* model, and does distillation help it? Three files' worth of work:
# a data set, a model under a name, a configuration. Then the same on the command line.
#
# **Size.** With `KDTHEORY_NOTEBOOK_SMALL=1` in the environment everything shrinks, so that the
# tests run the notebook in seconds. The numbers then mean nothing.

# %%
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from IPython.display import HTML, Image, display

from kdtheory import datasets, models, ntk, report
from kdtheory.errors import InputError
from kdtheory.report.figures import render
from kdtheory.runs import RunConfig, execute

SMALL = os.environ.get("KDTHEORY_NOTEBOOK_SMALL") == "1"
WORK = Path(tempfile.mkdtemp(prefix="kdtheory-"))  # stands for a folder of yours
DATA = WORK / "data"
sys.path.insert(0, str(WORK))

# %% [markdown]
# ## 1. A data set
#
# **A set that TFDS has** needs its name alone: `kdtheory data prepare svhn_cropped` downloads it
# once, and `dataset="svhn_cropped"` uses it. **A set of your own** has a TFDS builder, such as the
# one below: coloured shapes on noise. Whatever a builder prepared in the data folder is found by
# its name, if it has a uint8 image and a class label. kdtheory reads the files, not the builder.
#
# No TFDS at all? A folder of images is `dataset="folder:ROOT"`, and arrays get a name by
# `datasets.register_source`; see [Data sets](../docs/datasets.md).

# %%
# %%writefile {WORK}/my_data.py
"""python my_data.py FOLDER: prepare the set "shapes" in a data folder."""

import sys

import numpy as np
import tensorflow_datasets as tfds

SIDE = 16
COORDINATES = np.mgrid[:SIDE, :SIDE]


def draw(rng, label):
    """Return a disc, a square or a cross of random size, place and colour, on noise."""
    size, centre = rng.uniform(3, 5), rng.uniform(5, SIDE - 6, size=2)
    down, right = np.abs(COORDINATES - centre[:, None, None])
    inside = (
        down**2 + right**2 < size**2,
        np.maximum(down, right) < 0.85 * size,
        (np.minimum(down, right) < 0.35 * size) & (np.maximum(down, right) < size),
    )[label]
    noise = rng.uniform(0, 160, size=(SIDE, SIDE, 3))
    return np.where(inside[..., None], rng.uniform(60, 255, size=3), noise).astype(np.uint8)


class Shapes(tfds.core.GeneratorBasedBuilder):
    """Discs, squares and crosses."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(SIDE, SIDE, 3)),
            "label": tfds.features.ClassLabel(names=["disc", "square", "cross"]),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(0, 1200),
            "test": self._generate_examples(1, 600),
        }

    def _generate_examples(self, seed, count):
        rng = np.random.default_rng(seed)
        for index in range(count):
            yield index, {"image": draw(rng, index % 3), "label": index % 3}


if __name__ == "__main__":
    # array_record files can be read at random, and without TensorFlow.
    Shapes(data_dir=sys.argv[1]).download_and_prepare(file_format="array_record")

# %% [markdown]
# Preparing is done once, in a process of its own: it loads TensorFlow, which nothing else does.


# %%
def python(*words):
    """Run Python on a file in WORK, as in a shell, and return what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=WORK, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout


python("my_data.py", DATA)
shapes = datasets.load("shapes", data_dir=DATA, train_size=60, test_size=30, validation_size=0)
print(shapes.class_names, shapes.image_shape, shapes.provenance["source"])
_, axis = plt.subplots(figsize=(9, 1))
axis.imshow(np.concatenate(list(shapes.train.images[:12]), axis=1))
axis.set_axis_off()
plt.show()

# %% [markdown]
# ## 2. A model
#
# Any linen module that maps images (n, h, w, c) to logits, takes `train`, and in inference mode
# treats the examples one by one. The decorator gives it a name; the pattern's groups go to the
# builder as strings. Keep it in a file, so that notebook and command line share it.

# %%
# %%writefile {WORK}/my_model.py
"""A model of one's own; `python my_model.py run ...` is `kdtheory run ...` that knows it."""

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
    remat: bool = False

    @nn.compact
    def __call__(self, x, train=False):
        convolution = nn.remat(nn.Conv) if self.remat else nn.Conv
        for width in (self.width, 2 * self.width):
            x = convolution(width, (3, 3), use_bias=False)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
            x = nn.avg_pool(x, (2, 2), strides=(2, 2))
        return nn.Dense(self.num_outputs)(Scale()(x.mean(axis=(1, 2))))


@models.register(r"mynet(\d+)", examples=("mynet8",), image_shape=(16, 16, 3))
def build_mynet(num_outputs, width):
    """Build "mynetW", with W channels in the first layer."""
    return MyNet(num_outputs, int(width))


if __name__ == "__main__":
    from kdtheory.cli import main

    main()

# %%
import my_model

model = models.create("mynet8", shapes.num_outputs)
variables = models.init(model, jax.random.key(0), shapes.image_shape)
print(f"mynet8 has {models.summarize('mynet8', num_outputs=3).num_params:,} parameters")

# %% [markdown]
# ## 3. Does the kernel engine understand it?
#
# `ntk.gram` reads the program that JAX traces, finds where parameters meet data, and is exact for
# every function whose gradient JAX can take; `ntk.explain` says what it found and what a kernel
# will take. `Scale`, which kdtheory has never heard of, is a product like any other.

# %%
x = np.asarray(datasets.normalize(shapes.train.images[:12], shapes.mean, shapes.std))
explanation = ntk.explain(model.apply, variables, x)
print(explanation)
layerwise, reference = (
    ntk.gram(model.apply, variables, x, method=method, dtype="float64")
    for method in ("layerwise", "neural_tangents")
)
difference = np.abs(layerwise - reference).max() / np.abs(reference).max()
print(f"kernel {layerwise.shape}; largest relative difference {difference:.0e}")
assert difference < 1e-12

# %% [markdown]
# **Whatever the code looks like.** `nn.remat`, `nn.scan`, weights tied between layers, a function
# of NNX, Equinox or plain JAX: the program is the same, and so is the kernel. Here is `MyNet` with
# `nn.remat`, which saves memory in training. Its layers have other names, the parameters not.

# %%
hidden = my_model.MyNet(shapes.num_outputs, 8, remat=True)
parameters = {name.replace("Conv", "CheckpointConv"): v for name, v in variables["params"].items()}
hidden_variables = {**variables, "params": parameters}
by_auto = ntk.gram(hidden.apply, hidden_variables, x, dtype="float64")
np.testing.assert_allclose(by_auto, layerwise, atol=1e-12 * np.abs(layerwise).max())

# %% [markdown]
# **BatchNorm** must be in inference mode, with its running statistics. In training mode the output
# for an image depends on the rest of the batch, and there is no kernel of two images. `model.apply`
# is in inference mode by default (`train=False`), and the other is refused. You can
# see it in the kernel: one of fewer images is a corner of the one of more.

# %%
few = ntk.gram(model.apply, variables, x[:4], dtype="float64")
rows = 4 * shapes.num_outputs
np.testing.assert_allclose(few, layerwise[:rows, :rows], atol=1e-12 * np.abs(few).max())


def in_training_mode(variables, images):
    """Return logits made with the batch's own statistics."""
    return model.apply(variables, images, train=True, mutable=["batch_stats"])[0]


try:
    ntk.gram(in_training_mode, variables, x)
    batch_statistics_refused = False
except InputError as error:
    print("refused:", error)
    batch_statistics_refused = True

# %% [markdown]
# ## 4. The table
#
# A configuration says everything; what is not said has a default (`help(RunConfig)`, or
# `kdtheory run --help`). A run that was interrupted goes on where it was when it is called again.

# %%
config = RunConfig.of(
    dataset="shapes",
    data_dir=str(DATA),
    train_size=24 if SMALL else 600,
    validation_size=0,
    test_size=24 if SMALL else 600,
    teacher="mlp" if SMALL else "mynet32",
    student="mynet4",
    arms=("labels", "offline", "online"),
    temperatures=(4.0,),
    epochs=2 if SMALL else 15,
    batch_size=24 if SMALL else 60,
    teacher_checkpoints=2 if SMALL else 5,
    points=2 if SMALL else 4,
    ntk_size=12 if SMALL else 100,
    seeds=1 if SMALL else 3,
    out=str(WORK / "runs" / "shapes"),
)
rows = execute(config, quiet=True)
table = report.summarize(rows)
wanted = ["adjusted_complexity", "margin", "train_fidelity", "ntk_similarity", "test_accuracy"]
with pl.Config(tbl_cols=-1, tbl_hide_dataframe_shape=True, float_precision=3):
    display(table.select("arm", "temperature", *(f"{name}_mean" for name in wanted)))

# %% [markdown]
# `report` made more of the rows, in the run's folder: the table for people (below, with the error
# bars over seeds, the meaning of each column, and what the rows say about the theory), the same as
# Markdown, LaTeX and CSV, figures, and `report.html` with everything in one file.
# [Reading the table](../docs/reading_the_table.md) explains a row, column by column.

# %%
out = Path(config.output.out)
display(HTML((out / "table.html").read_text()))
display(Image(render(report.complexity_figure(rows), "png"), width=900))
print(*sorted(path.name for path in out.glob("[!.]*.*")))

# %% [markdown]
# What does not agree with the theory, if anything? One seed leaves everything undecided, and three
# seeds often do.

# %%
for finding in report.findings(rows):
    print(f"{finding.verdict}: {finding.hypothesis} ({finding.evidence})")

# %% [markdown]
# ## 5. The same on the command line
#
# The command `kdtheory` knows the models that came with it. Your file knows yours as well, and
# hands everything else on: it takes the same subcommands and flags.
#
# ```sh
# python my_data.py data
# python my_model.py run --dataset shapes --data-dir data --student mynet4 --teacher mynet32 \
#     --arms labels offline online --temperatures 4 --epochs 15 --seeds 3 --out runs/shapes
# kdtheory table runs/shapes
# kdtheory data show shapes --data-dir data
# ```
#
# A run leaves its settings in `config.json`, and `--config` reads them. The run above is finished,
# so this finds everything there and only prints it:

# %%
before = (out / "rows.jsonl").read_bytes()
printed = python("my_model.py", "run", "--config", out / "config.json")
print(printed)
assert (out / "rows.jsonl").read_bytes() == before
