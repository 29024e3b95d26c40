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
# # From complexity to bounds, beside the true risk
#
# A generalisation bound says how often a predictor errs on *new* examples, from the sample alone.
# Here the distribution is known, so the true risk is known too, and every term of every bound can
# be seen beside it. The way leads from one identity (complexity is a squared norm) to the
# **teacher-student bound** of Harutyunyan, Rawat, Menon, Kim and Kumar (*Supervision Complexity and
# its Role in Knowledge Distillation*, ICLR 2023, [arXiv 2301.12245](https://arxiv.org/abs/2301.12245)).
#
# You need a first course in learning theory: risk, kernel, Rademacher complexity. Notebook 01 says
# what the kernel is. This one takes two minutes on two CPU cores; its sliders (section 6) need a
# running kernel.
#
# Symbols: $n$ examples with labels $y_i = \pm 1$; $K$ the student's tangent kernel (NTK) on them;
# $Y$ targets, one an example, and $C = Y^\top K^{-1} Y$ their complexity; $\lVert f \rVert$ the
# norm of a predictor $f$ in the kernel's space; $\gamma$ a margin; $\delta$ = 5 % the probability
# that a statement about the sample fails.

# %%
import os

import ipywidgets
import jax
import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import scipy.special
from IPython.display import display

from kdtheory import bounds, models
from kdtheory.analysis import decisions, margins
from kdtheory.complexity import eigendecompose, factorize
from kdtheory.ntk import gram
from kdtheory.targets import soft_targets

# The tests execute the notebook at small size; its numbers then mean nothing.
SMALL = os.environ.get("KDTHEORY_NOTEBOOK_SMALL") == "1"
SIZES = [32, 64, 96] if SMALL else [64, 128, 256, 512, 1024, 2048, 4096]
N = 64 if SMALL else 2048  # the sample of sections 3, 4, 6 and 7; one of SIZES
FRESH = 400 if SMALL else 10_000  # new inputs, from which the true risk is computed
MODEL = "mlp64x1" if SMALL else "mlp512x1"

pl.Config(fmt_str_lengths=90, tbl_hide_dataframe_shape=True, tbl_width_chars=160, float_precision=3)
# Okabe and Ito's colours; lines also differ in style and marker, bars in hatching.
BLACK, ORANGE, BLUE, GREEN, RED = "#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00"
plt.rcParams.update({
    "figure.dpi": 100, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlesize": 11, "legend.frameon": False, "figure.constrained_layout.use": True,
})  # fmt: skip
rng = np.random.default_rng(0)
BESIDE = {"loc": "upper left", "bbox_to_anchor": (1, 1)}

# %% [markdown]
# ## 1. A problem whose risk is known
#
# Two Gaussian clouds in ten dimensions: $y = \pm 1$ with equal probability, and $x = y \mu + $
# standard normal noise. The chance of $y = 1$ given $x$ is $\sigma(2 \mu^\top x)$. The best
# predictor is $\mu^\top x$. It errs with probability $\Phi(-\lVert \mu \rVert)$, as the clouds
# overlap.
#
# For any predictor $f$ the risk is the mean, over new inputs, of the chance that $f$'s sign is
# wrong *given the input*. That needs no labels, so its standard error is small.

# %%
DIMENSION, DISTANCE = 10, 2.0
mu = DISTANCE * np.eye(DIMENSION)[0]


def draw(rng, size):
    """Return inputs (size, 10) and labels 0 or 1, as the package's functions take them."""
    labels = rng.integers(0, 2, size)
    return (2 * labels - 1)[:, None] * mu + rng.normal(size=(size, DIMENSION)), labels


def true_risk(predictions):
    """Return the risk of a predictor from its values on the fresh inputs, and a standard error."""
    wrong = scipy.special.expit(np.where(predictions > 0, -1, 1) * bayes_logit(fresh))
    return wrong.mean(), wrong.std() / np.sqrt(len(wrong))


def bayes_logit(x):
    """Return the log odds of y = 1, 2 mu^T x."""
    return 2 * x @ mu


inputs, labels = draw(rng, SIZES[-1])
fresh, _ = draw(rng, FRESH)
held_out, held_out_labels = draw(rng, N)
y = 2.0 * labels - 1
estimate, standard_error = true_risk(bayes_logit(fresh))
print(f"smallest risk possible: {scipy.special.ndtr(-DISTANCE):.4f}")
print(f"the same from {FRESH:,} fresh inputs: {estimate:.4f}, standard error {standard_error:.4f}")

# %% [markdown]
# ## 2. Complexity is a squared norm
#
# The student is a network with one hidden layer, **linearised** at its initialisation $w_0$ and
# counted from its output there: $f(x) = J(x)\,(w - w_0)$, $J$ the gradient by the parameters. Its
# kernel is $K = J J^\top$. Train it by gradient descent on the squared loss from $w_0$. Then
#
# $$C(f(X); K) = \lVert f \rVert^2 = \lVert w - w_0 \rVert^2$$
#
# for its predictions *at every step*, since descent never leaves the span of the gradients. At the
# end the predictions are the targets, and $C(Y; K) = \lVert f^* \rVert^2 = \lVert w^* - w_0
# \rVert^2$. Complexity is how far the weights must go.

# %%
student = models.create(MODEL, 1)
variables = models.init(student, jax.random.key(0), (DIMENSION,))

# The kernel of the whole sample, in float64 since it is inverted; a smaller sample is its corner.
kernel = gram(student.apply, variables, inputs, dtype="float64")
cross = gram(student.apply, variables, fresh, inputs)
print(f"{models.num_params(variables):,} parameters; mean of k(x, x): {np.diag(kernel).mean():.0f}")

few = slice(0, 24)
gradients = jax.jacrev(lambda v: student.apply(v, inputs[few].astype(np.float32)))(variables)
J = np.hstack([np.asarray(g, float).reshape(24, -1) for g in jax.tree.leaves(gradients)])
np.testing.assert_allclose(J @ J.T, kernel[few, few], rtol=1e-3, atol=1e-2)
few_factor = factorize(J @ J.T)
final = few_factor.complexity(y[few]).complexity
moved, rate = np.zeros(J.shape[1]), 1 / np.linalg.norm(J, 2) ** 2  # w - w0 to begin with
checkpoints = np.unique(np.geomspace(1, 2000, 16).astype(int))
distance, predicted = [], []
for step in range(1, 2001):
    moved -= rate * J.T @ (J @ moved - y[few])
    if step in checkpoints:
        distance.append(moved @ moved)
        predicted.append(J @ moved)
identity = few_factor.complexity(np.stack(predicted)).complexity

_, axis = plt.subplots(figsize=(6, 3))
axis.semilogx(checkpoints, distance, "-", color=BLUE, label=r"$\|w - w_0\|^2$")
axis.semilogx(checkpoints, identity, "o", color=ORANGE, label="C of the predictions")
axis.axhline(final, color=BLACK, linestyle=":", label="C of the labels")
axis.set(title="Both sides of the identity", xlabel="step of gradient descent", ylim=(0, None))
axis.legend()
plt.show()
print(f"largest relative difference {np.max(np.abs(identity / distance - 1)):.0e}")

# %% [markdown]
# ### Random labels
#
# How large is a complexity? Compare it with that of random signs, which mean nothing. Over these
# $E[C] = \operatorname{Tr} K^{-1}$ exactly, and the **adjusted** complexity $A = \frac1n \sqrt{C
# \operatorname{Tr} K}$ has a root mean square of at least 1. $A$ will be the complexity term of the
# bound, twice over $\gamma$. So a bound for random labels is vacuous, as it must be.

# %%
size = N // 4
factor = factorize(kernel[:size, :size])
random_values = factor.complexity(rng.choice([-1.0, 1.0], size=(200, size)))
trace_inverse = factor.inverse_diagonal().sum()
logits = bayes_logit(inputs[:size])
signals = {
    "labels": y[:size],
    "best predictor, temperature 1": np.tanh(logits / 2),
    "best predictor, temperature 4": np.tanh(logits / 8),
}
values = factor.complexity(np.stack(list(signals.values())))
mean, error = random_values.complexity.mean(), random_values.complexity.std() / np.sqrt(200)
print(f"mean C of 200 random labellings {mean:.1f} +- {error:.1f}; Tr K^-1 = {trace_inverse:.1f}")
print(f"root mean square of their A: {np.sqrt(np.mean(random_values.adjusted**2)):.2f}")
pl.DataFrame({"targets": list(signals), "C": values.complexity, "A": values.adjusted})

# %% [markdown]
# The labels are simpler than noise, yet not simple: where the clouds overlap they *are* noise. The
# best predictor's soft values are simpler. That is what a teacher can give to a student. But
# beware: soft values are also *smaller*, and so are their margins.

# %% [markdown]
# ## 3. The margin bound
#
# With probability at least $1 - \delta$ over the sample, for **every** $f$ in the kernel's space
# and every $\gamma$ of a grid of $m$ values that was fixed beforehand,
#
# $$P(Y f(X) \le 0) \le
# \underbrace{\tfrac1n \#\{y_i f(x_i) \le \gamma\}}_{\text{margin loss}} +
# \underbrace{\tfrac{2B}{\gamma n}\sqrt{\operatorname{Tr} K}}_{\text{complexity}} +
# \underbrace{3\sqrt{\tfrac{1}{2n} \ln\tfrac{2m\,j(j+1)}{\delta}}}_{\text{confidence}}$$
#
# where $B = j u$ is $\lVert f \rVert$ rounded up to a multiple of $u$, also fixed beforehand. For
# the interpolant of $Y$ the complexity term is $2A/\gamma$, but for the rounding. A bound of 1 or
# more says nothing.
#
# A small $\gamma$ makes the first term small and the second large. We may take the best of the
# grid: $m$ is paid for under the logarithm (a **union bound**), and so is $j$. "Every $f$" means
# that training and ridge are free choices, with the sample in hand.
#
# > **Certificate or diagnostic.** The **kernel** must be fixed before the sample is drawn. Ours is
# > taken at initialisation: a **certificate**. With the kernel of a network trained on the sample
# > the formula is a **diagnostic**, a measurement that guarantees nothing; section 7 has a false
# > one. The argument `kernel_depends_on_sample` has no default.
#
# The figure is for a **ridge fit**, the $f$ that minimises $\lVert f(X) - y \rVert^2 + \rho \lVert
# f \rVert^2$, of the labels. Its norm is much smaller than the interpolant's.

# %%
GAMMAS = np.geomspace(0.01, 0.95, 24)
PARTS = {  # of a bound: label, colour, line, hatching
    "teacher_error": ("teacher's error", "0.5", (0, (6, 1, 1, 1, 1, 1)), ""),
    "margin_loss": ("margin loss", ORANGE, "--", "//"),
    "complexity_term": ("complexity", BLUE, "-.", ""),
    "confidence_term": ("confidence", GREEN, ":", ".."),
}


def bounds_of(predictions, squared_norm, labels):
    """Return the margin bound and the PAC-Bayes bound of section 4, each over its whole grid."""
    corner = kernel[: len(labels), : len(labels)]
    margin = margins(predictions, labels)
    shared = {"squared_norm": squared_norm, "kernel_depends_on_sample": False}
    trace = np.trace(corner)
    bound = bounds.margin_bound(margin, trace=trace, gamma=GAMMAS, radius_unit=0.001, **shared)
    return bound, bounds.pac_bayes_bound(margin, np.diag(corner), **shared)


def fit_labels(size, ridge):
    """Return both bounds and the true risk of a ridge fit to the labels; 0 interpolates."""
    fit = bounds.ridge_fit(factorize(kernel[:size, :size], ridge=ridge), y[:size])
    risk, _ = true_risk(cross[:, :size] @ fit.coefficients)
    return *bounds_of(fit.predictions, fit.squared_norm, labels[:size]), risk


def draw_terms(axis, x, columns, risk):
    """Draw the bound, its terms and the true risk against x."""
    axis.plot(x, columns["bound"], "-", color=BLACK, linewidth=2, label="bound")
    for name in [name for name in PARTS if name in columns]:
        label, color, line, _ = PARTS[name]
        height = np.broadcast_to(columns[name], np.shape(x))
        axis.plot(x, height, color=color, linestyle=line, linewidth=2, label=label)
    if "pac_bayes" in columns:
        axis.plot(x, columns["pac_bayes"], "s-", color=BLACK, fillstyle="none", label="PAC-Bayes")
    height = np.broadcast_to(risk, np.shape(x))
    axis.plot(x, height, "D-", color=RED, markersize=4, label="true risk")
    axis.axhline(1, color="0.5", linewidth=1)
    axis.set_xscale("log")


terms, _, risk = fit_labels(N, ridge=N)
best = terms.best()
_, axis = plt.subplots(figsize=(7, 3.4))
draw_terms(axis, GAMMAS, terms._asdict(), risk)
axis.plot(best.gamma, best.bound, "*", color=BLACK, markersize=13, label="best of the grid")
axis.set(title=f"The margin bound by γ, n = {N:,}", xlabel=r"$\gamma$", ylim=(0, 2))
axis.legend(**BESIDE)
plt.show()
print(f"{best.validity}: risk <= {best.bound:.3f}, at gamma = {best.gamma:.2f}; true {risk:.4f}")

# %% [markdown]
# ## 4. Ridge and PAC-Bayes
#
# The **PAC-Bayes** form measures the same things otherwise. Shake $f$ by a random function of scale
# $s$; let $e_{s,c}$ be the share of errors on the sample then. With probability at least
# $1 - \delta$, for every $f$ and all $m$ pairs of $s$ and $c$,
#
# $$P(Y f(X) \le 0) \le \frac{1}{\Phi(c)} \sup\Big\{p : \operatorname{kl}(e_{s,c}, p) \le \tfrac1n
# \Big(\tfrac{\lVert f \rVert^2}{2 s^2} + \ln\tfrac{2 m \sqrt n}{\delta}\Big)\Big\}.$$
#
# Here a shaken margin counts as an error below $c$ standard deviations of the shaking. Where
# $e_{s,c}$ is near 0 the bound shrinks like $1/n$ and not like $1/\sqrt n$. $1/\Phi(c)$, at most 2,
# is the price of returning from the shaken predictor to $f$. Its premise is the same: a kernel
# fixed in advance.

# %%
RIDGES = np.geomspace(1e-3, 100, 4 if SMALL else 7)  # times n
ridge_fits = {size: [fit_labels(size, ridge * size) for ridge in RIDGES] for size in SIZES}
by_ridge = {  # at the best gamma and scale of each fit
    size: pl.DataFrame([
        {**bound.best()._asdict(), "pac_bayes": other.best().bound, "risk": risk}
        for bound, other, risk in fits
    ])
    for size, fits in ridge_fits.items()
}  # fmt: skip
_, axis = plt.subplots(figsize=(7, 3.6))
draw_terms(axis, RIDGES, by_ridge[N].to_dict(), by_ridge[N]["risk"])
axis.set(title=f"Ridge fits of the labels, n = {N:,}; each at its best γ", yscale="log")
axis.set(xlabel=r"ridge $\rho\,/\,n$", ylabel="probability", ylim=(0.01, 20))
axis.legend(**BESIDE)
plt.show()

# %% [markdown]
# The bounds hold for all fits at once, so the ridge at the bottom of a curve is a certificate too
# (for one of the two curves; both together fail with probability $2\delta$ at most). The bounds ask
# for more ridge than the risk needs. Here that does no harm, since the best predictor is linear and
# so very smooth. On other problems a strong ridge costs accuracy.
#
# ## 5. Where the bounds stop being vacuous
#
# The same with growing $n$. The **held-out** line is a yardstick: keep $n$ more examples aside, and
# the binomial distribution alone certifies this much (drawn for their typical number of errors).

# %%
rows = []
for size in SIZES:
    table, (interpolant, _, its_risk) = by_ridge[size], fit_labels(size, ridge=0.0)
    chosen = int(np.argmin(table["pac_bayes"]))
    risk = table["risk"][chosen]
    rows.append({
        "n": size,
        "interpolant, margin": interpolant.best().bound,
        "interpolant, true risk": its_risk,
        "ridge, margin": min(table["bound"]),
        "ridge, PAC-Bayes": table["pac_bayes"][chosen],
        "ridge, held-out": bounds.held_out_bound(round(risk * size), size),
        "ridge, true risk": risk,
    })  # fmt: skip
by_size = pl.DataFrame(rows)

styles = [(ORANGE, "v--"), (ORANGE, "x:"), (BLUE, "o-"), (BLACK, "s-"), (GREEN, "^-."), (RED, "D-")]
_, axis = plt.subplots(figsize=(7, 3.6))
for name, (color, style) in zip(by_size.columns[1:], styles, strict=True):
    axis.loglog(SIZES, by_size[name], style, color=color, fillstyle="none", label=name)
axis.axhline(1, color="0.5", linewidth=1)
axis.set(title="Fits of the labels: bounds and true risk", xlabel="n", ylabel="probability")
axis.legend(**BESIDE)
plt.show()
display(by_size)

# %% [markdown]
# The interpolant's bound *rises* with $n$ and never certifies anything. Every wrong label costs
# norm, ever more as $n$ nears the number of parameters, where $K$ becomes singular; its risk rises
# there too. A ridge fit gives up a few labels and certifies something.
#
# ### Complexity read as prediction: the certificate
#
# There is another way from complexity to risk, without norm, margin or $\operatorname{Tr} K$. Let
# $f_{i-1}$ be the ridge fit to the first $i - 1$ examples and $v_i$ its predictive variance at
# $x_i$. Then, by the chain rule of the Cholesky factor,
#
# $$Y^\top (K + \rho I)^{-1} Y = \sum_i \frac{(y_i - f_{i-1}(x_i))^2}{\rho + v_i}:$$
#
# complexity is the loss of predicting each example from those before it. Each of these predictions
# is *honest*: $f_{i-1}$ was fixed before $(x_i, y_i)$ was drawn. So the share $e$ of the $f_{i-1}$
# that err on their next example bounds their risk, as errors on held-out examples would, though no
# example was held out. With probability at least $1 - \delta$ the mean risk of the $f_{i-1}$ (with
# weights that the past decides) is at most `prequential_bound(...).bound`, about $\sup\{p :
# \operatorname{kl}(e, p) \le \ln(1 / \delta) / n\}$.
#
# > **Certificate.** Besides a kernel that was fixed beforehand it needs examples in a random
# > order, and targets that were made without the example itself and later ones. It certifies a
# > predictor *drawn among* the $f_{i-1}$, or twice that their vote; not the fit to all examples.


# %%
def certify_prediction(size, ridge):
    """Return the prequential bound of the labels, and the exact counterpart of what it bounds."""
    factor = factorize(kernel[:size, :size], ridge=ridge)
    terms = bounds.prequential_bound(
        factor, y[:size], labels[:size],
        kernel_depends_on_sample=False, targets_depend_on_sample=False,
    )  # fmt: skip
    # f_i(x) = sum over j <= i of (L^-1 k(X, x))_j z_j: all growing fits from one factor.
    part = slice(0, FRESH // 5)
    steps = factor.half_solve(np.asarray(cross[part, :size], float)) * factor.half_solve(y[:size])
    growing = np.cumsum(steps, axis=1) - steps
    logit = bayes_logit(fresh[part])[:, None]
    wrong = scipy.special.expit(np.where(growing > 0, -1, 1) * logit).mean(axis=0)
    # f_0 = 0 decides nothing, which counts as an error.
    return terms, float(terms.weights @ np.append(1.0, wrong[1:]))


rows = []
for size in SIZES:
    terms, risk = certify_prediction(size, ridge=0.1 * size)
    others = by_size.filter(pl.col("n") == size)
    rows.append({
        "n": size,
        "certificate": terms.bound,
        "its true risk": risk,
        "prequential error": terms.error,
        "ridge, PAC-Bayes": others["ridge, PAC-Bayes"][0],
        "ridge, held-out": others["ridge, held-out"][0],
        "error from complexity alone": terms.error_from_complexity,
    })  # fmt: skip
by_prediction = pl.DataFrame(rows)

styles = [(BLUE, "o-"), (RED, "D-"), (BLUE, "x:"), (BLACK, "s-"), (GREEN, "^-."), (ORANGE, "v--")]
_, axis = plt.subplots(figsize=(7, 3.6))
for name, (color, style) in zip(by_prediction.columns[1:], styles, strict=True):
    axis.loglog(SIZES, by_prediction[name], style, color=color, fillstyle="none", label=name)
axis.axhline(1, color="0.5", linewidth=1)
axis.set(title="The certificate and the true risk", xlabel="n", ylabel="probability")
axis.legend(**BESIDE)
plt.show()
display(by_prediction)

# %% [markdown]
# The certificate lies near the held-out line, which has $n$ *further* examples at its disposal.
# The last line is what complexity alone says of the errors: for labels $\pm 1$ each error costs at
# least 1 over $\rho + v_i$, so there are at most $\max_i (\rho + v_i) \cdot C$ of them.
#
# ## 6. Live: the teacher-student bound
#
# A student $f$ that learns from a teacher $g$ errs only where the teacher errs or where the two
# disagree: $P(Yf \le 0) \le P(Yg \le 0) + P(fg \le 0)$. The margin bound serves for the second,
# with the teacher's decisions as labels:
#
# $$P(Yf(X) \le 0) \le \text{teacher's error} + \underbrace{\tfrac1n \#\{\operatorname{sign}(g(x_i))
# f(x_i) \le \gamma\}}_{\text{margin loss}} + \text{complexity} + \text{confidence}.$$
#
# > **Certificate or diagnostic, once more.** The teacher's decisions are labels here, so the
# > teacher must **not have been trained on the sample**. Ours was not trained at all, and held-out
# > examples certify its error (they fail with probability 1 %, the margin bound with 5 %). So each
# > setting is a **certificate**. Temperature and time may even be picked by the bound, for they
# > only change $f$; picking the teacher so would have to be paid for.
#
# - **Accuracy.** The teacher's logit is the best one, $2\mu^\top x$, plus a ripple (random waves).
#   The larger the ripple, the less accurate the teacher.
# - **Temperature.** Targets are $2\sigma(z/\tau) - 1$ for its logit $z$.
# - **Stopping time** $t$ of the student's gradient flow on the mean squared error: predictions
#   $f_t(X) = (I - e^{-tK/n})\,Y$. It begins at 0 and ends with the interpolant.

# %%
spectrum = eigendecompose(kernel[:N, :N])
waves, phases = 1.5 * rng.normal(size=(DIMENSION, 20)), rng.uniform(0, 2 * np.pi, 20)
AMPLITUDES = np.concatenate([[0.0], np.geomspace(0.1, 30, 30)])


def rippled(x, amplitude):
    """Return the best logits plus a sum of 20 random waves."""
    return bayes_logit(x) + amplitude * np.cos(x @ waves + phases).sum(axis=1)


def teacher_logit(x, accuracy):
    """Return the logits of the teacher that has this accuracy."""
    return rippled(x, np.interp(1 - accuracy, ERRORS, AMPLITUDES))


def soft(logits, temperature):
    """Return 2 sigmoid(z / temperature) - 1."""
    return np.asarray(soft_targets(logits[:, None].astype(np.float32), temperature), float)[:, 0]


def stopped_student(targets, time):
    """Return predictions, squared norm and values on the fresh inputs after training for a time."""
    eigenvalues, vectors = spectrum.eigenvalues, spectrum.eigenvectors
    learnt = -np.expm1(-time * eigenvalues / N) * (vectors.T @ targets)
    on_fresh = cross[:, :N] @ (vectors @ (learnt / eigenvalues))
    return vectors @ learnt, float(learnt @ (learnt / eigenvalues)), on_fresh


ERRORS = [true_risk(rippled(fresh, amplitude))[0] for amplitude in AMPLITUDES]


def update(accuracy, temperature, time):
    """Return a setting's bound at its best gamma, its terms, and the truth. Factorises nothing."""
    logits = teacher_logit(inputs[:N], accuracy)
    predictions, squared_norm, on_fresh = stopped_student(soft(logits, temperature), time)
    student_bound, other = bounds_of(predictions, squared_norm, decisions(logits))
    mistakes = decisions(teacher_logit(held_out, accuracy)) != held_out_labels
    teacher_error = bounds.held_out_bound(int(mistakes.sum()), N, delta=0.01)
    terms = bounds.teacher_student_bound(
        student_bound, teacher_error=teacher_error, teacher_error_on_sample=False,
        teacher_depends_on_sample=False, teacher_delta=0.01,
    ).best()  # fmt: skip
    risk, risk_error = true_risk(on_fresh)
    return terms._asdict() | {
        "validity": terms.validity,
        "pac_bayes": teacher_error + other.best().bound,  # for the teacher's decisions
        "squared_norm": squared_norm,
        "risk": risk,  # the student's
        "risk_error": risk_error,
        "teacher_risk": true_risk(teacher_logit(fresh, accuracy))[0],
    }


DEFAULT = {"accuracy": 0.96, "temperature": 4.0, "time": 1.0}


def show(accuracy, temperature, time):
    """Draw what `update` returns."""
    point, end = update(accuracy, temperature, time), 0.0
    _, axis = plt.subplots(figsize=(8, 1.8))
    for name, (label, color, _, hatch) in PARTS.items():
        look = {"color": color, "hatch": hatch, "edgecolor": "white", "label": label}
        axis.barh(0, point[name], left=end, **look)
        end += point[name]
    for field, marker, label in (("risk", "D", "true risk"), ("pac_bayes", "s", "with PAC-Bayes")):
        axis.plot(point[field], 0, marker, color="white", markeredgecolor=BLACK, label=label)
    axis.axvline(1, color=BLACK, linestyle="--", linewidth=1)
    axis.set(yticks=[], ylim=(-0.6, 0.6), xlim=(0, max(1.05, 1.05 * end)))
    axis.set_title(f"Bound {point['bound']:.2f}, true risk {point['risk']:.3f}; vacuous from 1 on")
    axis.legend(**BESIDE)
    plt.show()


log_slider = ipywidgets.FloatLogSlider
sliders = {
    "accuracy": ipywidgets.FloatSlider(0.96, min=0.6, max=0.97, step=0.01, description="accuracy"),
    "temperature": log_slider(4.0, base=2, min=-1, max=4, step=0.5, description="temperature"),
    "time": log_slider(1.0, base=10, min=-2, max=4, step=0.25, description="time"),
}
view = ipywidgets.interactive_output(show, sliders)
display(ipywidgets.VBox([ipywidgets.HBox(list(sliders.values())), view]))

# %% [markdown]
# ### One slider at a time
#
# The others stand at their default. The temperature is drawn twice: for a student stopped early and
# for one that fits its targets closely. The PAC-Bayes line includes the teacher's error.

# %%
count = 4 if SMALL else 13
VALUES = {"accuracy": np.linspace(0.6, 0.97, count), "time": np.geomspace(1e-2, 1e4, count)}
VALUES["temperature"] = np.geomspace(0.5, 16, count)


def sweep(name, **others):
    """Return a table of points along one slider."""
    return pl.DataFrame([update(**DEFAULT | others | {name: float(v)}) for v in VALUES[name]])


sweeps = {
    "teacher's accuracy": ("accuracy", sweep("accuracy")),
    "time": ("time", sweep("time")),
    "temperature, at time 1": ("temperature", sweep("temperature")),
    "temperature, at time 100": ("temperature", sweep("temperature", time=100.0)),
}
_, axes = plt.subplots(1, 4, figsize=(12, 3.8), sharey=True)
for axis, (title, (name, table)) in zip(axes, sweeps.items(), strict=True):
    draw_terms(axis, VALUES[name], table.to_dict(), table["risk"])
    axis.axvline(DEFAULT[name], color="0.8", zorder=0)
    axis.set(xlabel=title, yscale="log", ylim=(0.01, 20))
axes[0].set(xscale="linear", ylabel="probability", title=f"Teacher-student bound, n = {N:,}")
axes[-1].legend(**BESIDE)
plt.show()

# %% [markdown]
# In our run (n = 2,048; the best risk possible is 0.023):
#
# - **Accuracy.** A worse teacher costs twice: its error, and a margin loss, for a student stopped
#   early does not learn the ripple. So it errs less than its teacher, and far less than the bound
#   says: the bound cannot see a student that is better than its teacher.
# - **Time.** Complexity grows, and the bound with it. The true risk grows only a little.
# - **Temperature.** At time 1 it does nothing: norm and margins shrink together. At time 100 a
#   higher one lowers the bound, as soft targets have no jump to be fitted; it stays vacuous.
# - **A teacher or none?** At its best the bound is no better than for a ridge fit of the labels
#   (section 5), for it pays for the teacher's error. The closer the fit, the more the teacher
#   helps, bound and true risk both. The table has students of the same stopping time:

# %%
versus = []
for time in (1.0, 10.0, 100.0, 1000.0):
    predictions, squared_norm, on_fresh = stopped_student(y[:N], time)
    alone, taught = (
        bounds_of(predictions, squared_norm, labels[:N])[0].best(),
        update(0.96, 4, time),
    )
    values = (time, alone.bound, taught["bound"], true_risk(on_fresh)[0], taught["risk"])
    versus.append(values)
columns = ["time", "bound, labels", "bound, teacher", "true risk, labels", "true risk, teacher"]
pl.DataFrame(versus, schema=columns, orient="row")

# %% [markdown]
# ## 7. Diagnostics that are false
#
# Both premises matter. Here is a teacher that broke the first: it is the best predictor everywhere
# but on the sample, where it says the opposite. A student that learns it well is wrong everywhere.
# And here is a kernel that broke the second: $k(x, x') = u(x) u(x')$, where $u$ is the label on the
# sample and the opposite of the best decision elsewhere. The predictor $u$ has norm 1.

# %%
contrary = -soft(bayes_logit(inputs[:N]), 4.0)
predictions, squared_norm, on_fresh = stopped_student(contrary, 1.0)
student_bound, _ = bounds_of(predictions, squared_norm, decisions(contrary))
smallest_risk = float(scipy.special.ndtr(-DISTANCE))
on_sample, rows = np.mean(decisions(contrary) != labels[:N]), []
for where, teacher_error in (("distribution", smallest_risk), ("sample", on_sample)):
    terms = bounds.teacher_student_bound(
        student_bound, teacher_error=teacher_error, teacher_error_on_sample=where == "sample",
        teacher_depends_on_sample=True,
    ).best()  # fmt: skip
    rows.append((f"contrary teacher, error on the {where}", terms, true_risk(on_fresh)[0]))
known = {"squared_norm": 1.0, "trace": N, "kernel_depends_on_sample": True}
terms = bounds.margin_bound(np.ones(N), gamma=GAMMAS, **known).best()
rows.append(("kernel that knows the sample", terms, 1 - smallest_risk))
falsified = pl.DataFrame([
    {"case": case, "is a": terms.validity, "broken premise": "; ".join(terms.premises.broken),
     "bound": terms.bound, "true risk": risk, "holds": bool(terms.bound >= risk)}
    for case, terms, risk in rows
])  # fmt: skip
display(falsified)
