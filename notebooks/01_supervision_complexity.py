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
# # Supervision complexity, step by step
#
# A teacher network hands a student network *targets* to learn from. Some targets are harder for
# that student than others. This notebook puts a number on it, the **supervision complexity** of
# Harutyunyan, Rawat, Menon, Kim and Kumar (*Supervision Complexity and its Role in Knowledge
# Distillation*, ICLR 2023, [arXiv 2301.12245](https://arxiv.org/abs/2301.12245)), on a problem
# small enough to see everything: handwritten digits, even or odd.
#
# You need to know what a neural network and a matrix inverse are.
#
# | Symbol | Meaning |
# |---|---|
# | $n$ | number of examples; the networks have one output, for even or odd |
# | $f(x; w)$ | the student's logits at parameters $w$; $w_0$ are those at initialisation |
# | $K$ | the student's neural tangent kernel (NTK) on the $n$ examples, an $(n, n)$ matrix |
# | $Y$ | targets, one for each example |
# | $\tau$ | temperature, by which a teacher's logits are divided |
#
# With `KDTHEORY_NOTEBOOK_SMALL=1` in the environment everything shrinks, for the tests.

# %%
import os
from typing import NamedTuple

import ipywidgets
import jax
import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from IPython.display import display

from kdtheory import datasets, models
from kdtheory.analysis import decisions, margins
from kdtheory.complexity import eigendecompose, factorize
from kdtheory.ntk import gram
from kdtheory.targets import Examples, Labels, RandomLabels, soft_targets
from kdtheory.training import Trainer

SMALL = os.environ.get("KDTHEORY_NOTEBOOK_SMALL") == "1"
N = 64 if SMALL else 384  # examples that train the teacher and make the kernel
TEST = 60 if SMALL else 300
EPOCHS = 4 if SMALL else 8  # the teacher leaves a checkpoint after each
BATCH = 16 if SMALL else 64
NOISE = 0.1  # share of training labels that are made wrong

pl.Config.set_fmt_str_lengths(90)
pl.Config.set_tbl_hide_dataframe_shape(True)
# Okabe and Ito's colours, told apart under the common forms of colour blindness.
BLACK, ORANGE, BLUE, GREEN, RED = "#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00"
plt.rcParams.update({
    "figure.dpi": 100, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlesize": 11, "legend.frameon": False, "figure.constrained_layout.use": True,
})  # fmt: skip

# %% [markdown]
# ## 1. The data
#
# Real images, 8 by 8 pixels, from scikit-learn. A tenth of the training labels is made wrong on
# purpose (red, in quotes, below): noise is something a teacher can either smooth over or memorise,
# and we want to see which. The same examples train the teacher and make the kernel.

# %%
dataset = datasets.load("digits", task="even_odd", train_size=N, test_size=TEST, label_noise=NOISE)
sample = dataset.train


def as_inputs(images):
    """Return uint8 images as the networks see them."""
    return np.asarray(datasets.normalize(images, dataset.mean, dataset.std))


wrong = sample.labels != sample.clean_labels
print(f"{len(sample)} training examples, {wrong.sum()} with a wrong label; {TEST} test examples")
chosen = np.concatenate([np.flatnonzero(~wrong)[:7], np.flatnonzero(wrong)[:3]])
_, axes = plt.subplots(1, len(chosen), figsize=(10, 1.5))
for axis, i in zip(axes, chosen, strict=True):
    axis.imshow(sample.images[i, ..., 0], cmap="gray_r")
    name = dataset.class_names[sample.labels[i]].removesuffix(" classes")
    axis.set_title(f"“{name}”" if wrong[i] else name, color=RED if wrong[i] else BLACK)
    axis.set_axis_off()
plt.show()

# %% [markdown]
# ## 2. A student and its kernel
#
# The student is a LeNet-5 with one output: positive for "even", negative for "odd". To first order
# in a change of its parameters,
#
# $$f(x; w) \approx f(x; w_0) + \nabla_w f(x; w_0) \cdot (w - w_0),$$
#
# it is a linear model in the features $\nabla_w f(x; w_0)$. Their Gram matrix is the (empirical)
# **neural tangent kernel**, $K_{ij} = \nabla_w f(x_i; w_0) \cdot \nabla_w f(x_j; w_0)$: how much a
# gradient step on example $j$ moves the prediction on example $i$.

# %%
student = models.create("lenet5x1", dataset.num_outputs)
student_init = models.init(student, jax.random.key(0), dataset.image_shape)
K = gram(student.apply, student_init, as_inputs(sample.images))
print(f"{models.num_params(student_init):,} parameters; K is {K.shape}, trace {np.trace(K):,.0f}")

spectrum = eigendecompose(K)
by_class = np.argsort(sample.clean_labels, kind="stable")[:: max(1, N // 128)]
_, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), width_ratios=[1, 1.4])
scale = np.sqrt(np.diag(K))
left.imshow((K / np.outer(scale, scale))[np.ix_(by_class, by_class)], cmap="cividis")
left.set(title="K, scaled to a diagonal of 1", xlabel="odd digits, then even")
left.set(xticks=[], yticks=[])
share = spectrum.eigenvalues / spectrum.trace
right.loglog(np.arange(1, N + 1), share, color=BLUE)
right.set(title="Spectrum of K", xlabel="eigenvalue, by rank", ylabel="share of the trace")
plt.show()
print(f"the ten largest of {N} eigenvalues are {share[:10].sum():.0%} of the trace")

# %% [markdown]
# A few directions carry nearly everything, and hundreds carry almost nothing. Targets along the
# first are easy for this student; targets along the last need a large change of its parameters.
#
# ## 3. The complexity of targets
#
# $$C(Y; K) = Y^\top K^{-1} Y$$
#
# is the squared norm, in the kernel's function space, of the *smallest* function that takes the
# values $Y$ on the examples; for the linearised student it is $\lVert w - w_0 \rVert^2$, how far
# the parameters must go. With $K = \sum_i \lambda_i q_i q_i^\top$ it is $\sum_i (q_i^\top Y)^2 /
# \lambda_i$: the energy in each direction, divided by how easy the direction is.
#
# The **adjusted** complexity takes out the kernel's scale, $A = \frac1n \sqrt{Y^\top K^{-1} Y \cdot
# \operatorname{Tr} K}$. For random signs its root mean square is at least 1, and 1 only if all
# eigenvalues are equal.
#
# One Cholesky factorisation of $K$ serves all targets from here on. $Y = \pm 1$ for labels.

# %%
factor = factorize(K)
first = Examples(as_inputs(sample.images), sample.labels, np.arange(N))
targets = {
    "random labels": np.asarray(RandomLabels(jax.random.key(9), 1).targets(0, first)),
    "labels, a tenth wrong": np.asarray(Labels(1).targets(0, first)),
    "labels, all right": np.asarray(datasets.encode_labels(sample.clean_labels, 1)),
}
values = factor.complexity(np.stack(list(targets.values())))
print(f"condition number of K {values.condition:.1e}, residual {max(values.residual):.0e}")
label_complexity = dict(zip(targets, values.adjusted, strict=True))
pl.DataFrame({"targets": list(targets), "C": values.complexity, "A": values.adjusted})

# %% [markdown]
# Where does it come from? The cumulative sums below run from the easiest direction to the hardest.
# All three targets have the same energy, $\lVert Y \rVert^2 = n$. What differs is how much of it is
# left for the hard end, where it is divided by the smallest eigenvalues.

# %%
_, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
styles = [(BLACK, ":"), (RED, "--"), (BLUE, "-")]
for (name, target), (color, line) in zip(targets.items(), styles, strict=True):
    options = {"color": color, "linestyle": line, "label": name}
    left.semilogx(np.arange(1, N + 1), np.cumsum(spectrum.energy(target)) / N, **options)
    right.semilogx(np.arange(1, N + 1), np.cumsum(spectrum.complexity_terms(target)), **options)
left.set(title="Energy explained", xlabel="directions, easiest first", ylabel="share")
right.set(title="Complexity so far", xlabel="directions, easiest first", ylabel="C")
left.legend()
plt.show()

# %% [markdown]
# **What changes with scale.** A kernel $c$ times as large divides $C$ by $c$ and leaves $A$ alone.
# Targets $a$ times as large multiply $C$ by $a^2$ and $A$ by $a$, *and their margins by $a$ too*.
# So a smaller $A$ means nothing by itself: targets near zero are "simple". The third number to
# watch is $A$ over the mean margin, which no rescaling changes.

# %%
Y = targets["labels, a tenth wrong"]
np.testing.assert_allclose(
    [factorize(7 * K).complexity(Y).adjusted, factor.complexity(3 * Y).adjusted],
    factor.complexity(Y).adjusted * np.array([1, 3]),
    rtol=1e-3,
)

# %% [markdown]
# ## 4. A teacher and its trajectory
#
# The teacher is a small ResNet, trained on the sample with its wrong labels. It leaves a checkpoint
# after every epoch. Its targets at temperature $\tau$ are $2\sigma(z/\tau) - 1$, between -1 and 1,
# for its logit $z$ (for several classes: $\operatorname{softmax}(z/\tau)$).
#
# - **Offline** distillation uses the last checkpoint all the time.
# - **Online** distillation (the paper's Algorithm 1) uses, at the student's step $t$, the first
#   checkpoint with $t_i \ge t$: the teacher runs just ahead of the student. The teacher is trained
#   before and never learns from the student.


# %%
def error(logits, labels):
    """Return the share of wrong decisions."""
    return float(np.mean(decisions(logits) != labels))


teacher = models.create("resnet8", 1)
shape = dataset.image_shape
trainer = Trainer(module=teacher, image_shape=shape, examples=N, epochs=EPOCHS, batch_size=BATCH)
checkpoints = trainer.train(
    Labels(1),
    trainer.place(sample, mean=dataset.mean, std=dataset.std),
    points=[epoch * (N // BATCH) for epoch in range(1, EPOCHS + 1)],
    init_key=jax.random.key(1),
    train_key=jax.random.key(2),
)
steps, teacher_logits, test_logits = [], [], []
for step, variables in checkpoints:
    steps.append(step)
    for split, of_split in ((sample, teacher_logits), (dataset.test, test_logits)):
        of_split.append(teacher.apply(variables, as_inputs(split.images)))
pl.DataFrame({
    "checkpoint": range(1, EPOCHS + 1),
    "step": steps,
    "error, given labels": [error(z, sample.labels) for z in teacher_logits],
    "error, right labels": [error(z, sample.clean_labels) for z in teacher_logits],
    "test error": [error(z, dataset.test.labels) for z in test_logits],
})  # fmt: skip

# %% [markdown]
# Where the first error column is near 10 % and the second near 0 the teacher smooths over the wrong
# labels; when they change places it has memorised them.

# %% [markdown]
# ## 5. Complexity against temperature and against checkpoint
#
# Every point of the next figure is one set of targets given to the one factorisation of section 3.
# The margin is the mean of $y_i Y_i$ over the examples, $y_i$ the given label. Why should a small
# complexity be good? Because a function of small norm generalises. Let $f^*$ be the smallest
# function of the kernel's space that reproduces the targets on the sample: that is the linearised
# student, trained to the end. Its error on test images stands in the last column. What a *bound*
# makes of all this, and when it says anything, is [the next notebook](02_bounds.ipynb).

# %%
cross = gram(student.apply, student_init, as_inputs(dataset.test.images), as_inputs(sample.images))


class Point(NamedTuple):
    """What one set of targets comes to; ratio: adjusted over margin; test_error: of f*."""

    complexity: float
    adjusted: float
    margin: float
    ratio: float
    test_error: float


def measured(target):
    """Return the numbers of targets on the sample. Factors nothing."""
    value = factor.complexity(target)
    margin = float(margins(target, sample.labels).mean())
    test_error = error(cross @ factor.solve(target), dataset.test.labels)
    return Point(value.complexity, value.adjusted, margin, value.adjusted / margin, test_error)


def update(temperature, checkpoint):
    """Return the numbers of a temperature and a checkpoint, counted from 1."""
    return measured(np.asarray(soft_targets(teacher_logits[checkpoint - 1], temperature)))


TEMPERATURES = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
by_temperature = np.array([update(tau, EPOCHS) for tau in TEMPERATURES])
by_checkpoint = {
    tau: np.array([update(tau, i) for i in range(1, EPOCHS + 1)]) for tau in (1.0, 4.0)
}  # fmt: skip
label_row = measured(Y)

TITLES = ["Adjusted complexity A", "Mean margin", "A over mean margin", "Test error of $f^*$"]
_, axes = plt.subplots(2, 4, figsize=(12, 5.4), sharex="row")
for column, title in enumerate(TITLES, start=1):
    top, bottom = axes[:, column - 1]
    top.semilogx(TEMPERATURES, by_temperature[:, column], "o-", base=2, color=BLUE)
    top.set(title=title, xlabel=r"temperature $\tau$, last checkpoint")
    for (tau, series), style in zip(by_checkpoint.items(), ("o-", "^--"), strict=True):
        color = BLUE if tau == 1.0 else ORANGE
        label = rf"teacher, $\tau$ = {tau:g}"
        bottom.plot(range(1, EPOCHS + 1), series[:, column], style, color=color, label=label)
    bottom.set(xlabel="teacher checkpoint (epoch)")
    for axis in (top, bottom):
        axis.axhline(label_row[column], color=RED, linestyle=":", label="given labels")
        axis.set_ylim(bottom=0)
axes[1, 2].legend(loc="lower left", fontsize=8)
plt.show()

# %% [markdown]
# Read the columns from left to right. A higher temperature lowers the complexity, and the margin
# with it; the third column is what remains. The same for an earlier checkpoint.

# %% [markdown]
# ## 6. Live: sliders, which need a running kernel


# %%
def show(temperature, checkpoint):
    """Draw what `update` returns, beside the same for temperature 1 and the last checkpoint."""
    bars = {
        "offline, $\\tau$ = 1": update(1.0, EPOCHS),
        f"checkpoint {checkpoint}, $\\tau$ = {temperature:.3g}": update(temperature, checkpoint),
    }
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
    target = np.asarray(soft_targets(teacher_logits[checkpoint - 1], temperature))
    of = margins(target, sample.labels)
    left.hist(
        [of[~wrong], of[wrong]], bins=np.linspace(-1, 1, 31), stacked=True,
        color=[BLUE, RED], label=["right labels", "wrong labels"],
    )  # fmt: skip
    left.set(title="Margins of the targets", xlabel="$y_i Y_i$", ylabel="examples")
    left.legend(loc="upper left")
    names = ["A", "margin", "A / margin", "error of $f^*$ (%)"]
    for offset, (name, point), color in zip((-0.5, 0.5), bars.items(), (BLACK, BLUE), strict=True):
        heights = [point.adjusted, point.margin, point.ratio, 100 * point.test_error]
        bar = right.bar(np.arange(4) + 0.38 * offset, heights, 0.38, color=color, label=name)
        right.bar_label(bar, fmt="%.2f", fontsize=8)
    right.set_xticks(range(4), names)
    right.set_ylim(top=1.3 * right.get_ylim()[1])
    right.legend(loc="upper left", ncols=2, fontsize=8)
    plt.show()


show(4.0, EPOCHS)

# %%
sliders = {
    "temperature": ipywidgets.FloatLogSlider(value=4, base=2, min=-1, max=5, step=0.25),
    "checkpoint": ipywidgets.IntSlider(value=EPOCHS, min=1, max=EPOCHS),
}
for name, slider in sliders.items():
    slider.description = name
view = ipywidgets.interactive_output(show, sliders)
display(ipywidgets.VBox([ipywidgets.HBox(list(sliders.values())), view]))

# %% [markdown]
# Move the temperature alone: $A$ and the margin move together, their ratio hardly. Move the
# checkpoint down at temperature 1: the red part of the histogram, examples with a wrong label,
# moves to the left: an early teacher contradicts them.

# %% [markdown]
# ## 7. What goes against the theory here
#
# Computed from the numbers above, whatever they turn out to be.

# %%
offline_1, offline_4, early_1 = update(1.0, EPOCHS), update(4.0, EPOCHS), update(1.0, 1)
every = [update(tau, i) for tau in TEMPERATURES for i in range(1, EPOCHS + 1)]
ratios = np.array([point.ratio for point in every])
errors = np.array([point.test_error for point in every])
order = np.corrcoef(np.argsort(np.argsort(ratios)), np.argsort(np.argsort(errors)))[0, 1]
in_order = [*list(label_complexity.values())[:2], offline_1.adjusted, early_1.adjusted]
findings = [
    (
        "random labels > labels > offline teacher > early teacher, in A",
        ", ".join(f"{adjusted:.2f}" for adjusted in in_order),
        in_order == sorted(in_order, reverse=True),
    ),
    (
        "a higher temperature (4 for 1) lowers A / margin by a tenth or more",
        f"{offline_1.ratio:.2f} to {offline_4.ratio:.2f}",
        offline_4.ratio < 0.9 * offline_1.ratio,
    ),
    (
        "an early checkpoint lowers A / margin by a tenth or more (temperature 1)",
        f"{offline_1.ratio:.2f} to {early_1.ratio:.2f}",
        early_1.ratio < 0.9 * offline_1.ratio,
    ),
    (
        "a smaller A / margin comes with a smaller measured error of f*",
        f"rank correlation {order:.2f}",
        bool(order > 0),
    ),
]
display(pl.DataFrame(findings, schema=["statement", "measured", "holds"], orient="row"))

# %% [markdown]
# **Most of what a temperature does to $A$ is rescaling.** At high temperature
# $2\sigma(z/\tau) - 1 \approx z / 2\tau$, a mere multiple of the logits, and $A$ over the margin
# settles at that of the logits. What remains comes from the saturation of the sigmoid at low
# temperature. One seed, one student, one small data set; and $f^*$ is a kernel predictor, not a
# trained network: [online distillation](03_online_distillation.ipynb) follows one.
#
# ## 8. From here
#
# - `kdtheory demo` trains students on every arm, several seeds, both tasks, and sets complexity
#   beside accuracy in one table; `kdtheory run` does it on your data.
# - `kdtheory gram` and `kdtheory complexity` give the numbers alone.
