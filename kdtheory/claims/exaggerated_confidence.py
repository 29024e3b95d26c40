"""The student exaggerates the teacher's confidence: least where this is least."""

from typing import TYPE_CHECKING

import numpy as np
import scipy.integrate
import scipy.linalg
import scipy.special

from kdtheory.claims.claim import Claim, Outcome, decided

if TYPE_CHECKING:
    import matplotlib.axes

#: What the integrator does not do.
_LEAST = 1e-6


def check(*, quick: bool = False, seed: int = 0, own_teacher: bool = True) -> Outcome:
    """Flow on the logistic loss, a teacher on labels and a student on the teacher's probabilities.

    Args:
      quick: fewer examples and stopping times.
      seed: of the kernels and labels.
      own_teacher: whether the teacher learnt with the student's kernel; False exchanges its
        confidences among the clusters.
    """
    rng = np.random.default_rng(seed)
    sizes = (1, 2, 4, 8, 16) if quick else (1, 2, 3, 5, 8, 12, 18, 27)
    times = (5.0, 20.0) if quick else (5.0, 20.0, 80.0)
    first = np.cumsum((0, *sizes[:-1]))
    least, below, above = np.inf, 0.0, np.inf
    confidence: np.ndarray = np.ones(len(sizes))
    ratio: np.ndarray = confidence
    for _ in range(1 if quick else 3):
        inner = rng.uniform(0.5, 1.0)
        gram = scipy.linalg.block_diag(
            *(inner * np.ones((m, m)) + (1 - inner) * np.eye(m) for m in sizes)
        )
        gram /= np.linalg.norm(gram, 2)
        sign = np.repeat(rng.choice([-1.0, 1.0], size=len(sizes)), sizes)
        for stop in times:
            teacher = flow(gram, (sign + 1) / 2, stop)
            if not own_teacher:
                teacher = np.repeat(np.abs(teacher[first])[::-1], sizes) * sign
            for until in times:
                student = flow(gram, scipy.special.expit(teacher), until)
                # One example a cluster, the teacher's least confident first.
                logits, learnt = (one[first] * sign[first] for one in (teacher, student))
                order = np.argsort(logits)
                confidence, share = logits[order], (learnt / logits)[order]
                ratio = share * logits.mean() / learnt.mean()
                least = min(least, float(np.diff(np.log(share)).min()))
                below, above = max(below, float(ratio[0])), min(above, float(ratio[-1]))
    slopes = [slope_elsewhere(rng) for _ in range(3 if quick else 10)]
    return decided(
        min(least - _LEAST, 1 - below, above - 1),
        f"from a cluster to the next in the teacher's confidence the student's share of its logit "
        f"rises by at least {least:.1e} (needed {_LEAST:g}); at one mean logit it is at most "
        f"{below:.2f} of the teacher's where this is least confident and at least {above:.2f} "
        f"where most; with overlapping inputs the slope is {min(slopes):.2f} to {max(slopes):.2f}, "
        f"above 1 in {np.mean(np.array(slopes) > 1):.0%} of {len(slopes)}",
        confidence=scipy.special.expit(confidence),
        ratio=ratio,
        slope=slopes,
    )


def flow(gram: np.ndarray, probabilities: np.ndarray, time: float) -> np.ndarray:
    """Return the logits at a time of the flow dz/dt = K (p - sigmoid(z)), from 0.

    >>> round(float(flow(np.ones((1, 1)), np.array([0.75]), 1e3)[0]), 6)  # log 3
    1.098612
    """
    found = scipy.integrate.solve_ivp(
        lambda _, z: gram @ (probabilities - scipy.special.expit(z)), (0.0, time),
        np.zeros(len(gram)), method="LSODA", rtol=1e-9, atol=1e-11,
    )  # fmt: skip
    return found.y[:, -1]


def slope_elsewhere(rng: np.random.Generator) -> float:
    """Return the slope of student's over teacher's logits, of equal means, for an RBF kernel.

    A tenth of the labels is wrong; logits are of the teacher's own decision.
    """
    x = rng.normal(size=(40, 4))
    gram = np.exp(-((x[:, None] - x) ** 2).sum(-1) / 4)
    gram /= np.linalg.norm(gram, 2)
    labels = (x[:, 0] > 0) ^ (rng.uniform(size=len(x)) < 0.1)
    teacher = flow(gram, labels.astype(float), 20.0)
    student = flow(gram, scipy.special.expit(teacher), 20.0)
    logits, learnt = (one * np.sign(teacher) for one in (teacher, student))
    return float(np.polyfit(logits, learnt * logits.mean() / learnt.mean(), 1)[0])


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the student's logit over the teacher's, scaled to one mean, over the confidence."""
    axes.plot(outcome.series["confidence"], outcome.series["ratio"], "o-")
    axes.axhline(1, color="grey", linestyle=":", label="teacher")
    axes.set(
        xlabel="teacher's probability of its own decision",
        ylabel="student's logit / teacher's, equal means",
        title="Confidence",
    )
    axes.legend()


CLAIM = Claim(
    name="exaggerated_confidence",
    statement=(
        "Two classes, logistic loss, gradient flow from zero with a fixed kernel of clusters that "
        "do not see each other; the teacher learns labels and stops, the student of the same "
        "kernel learns the teacher's probabilities and stops. The larger a cluster the larger its "
        "eigenvalue, and the more confident the teacher. Student's over teacher's logit, at most "
        "1, rises with the teacher's confidence. So at one mean logit, which a temperature sets, "
        "the student is less confident than its teacher where this is least confident and more "
        "where most: it exaggerates. On the squared loss the share is 1 - exp(-lambda_k t) in "
        "eigendirection k of any kernel."
    ),
    source="Own reading of arXiv 2301.12923, of its part on confidence; not at hand",
    varied="stopping times of both, kernel, labels",
    check=check,
    draw=draw,
    caveat=(
        "No theorem for examples that see each other: there a low confidence can be a wrong label "
        "half learnt, which the student forgets first, and the slope of the student's logits over "
        "the teacher's is above 1 in most kernels but not in all. It needs a teacher that is most "
        "confident where the student's kernel learns fastest, and a student that has not "
        "converged."
    ),
)
