"""Rows such as a run writes, made from a seeded generator instead of training."""

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

ARMS = (
    ("labels", None),
    ("offline", 1.0),
    ("offline", 4.0),
    ("online", 1.0),
    ("online", 4.0),
    ("self", 1.0),
)
# Level of each supervision's adjusted complexity late in training, and each arm's accuracy, close
# to what a small LeNet on noisy digits gives. Online supervision starts low and meets offline.
LEVELS = {
    ("random_labels", None): 3.4,
    ("labels", None): 2.1,
    ("offline", 1.0): 1.5,
    ("offline", 4.0): 0.95,
    ("online", 1.0): 1.5,
    ("online", 4.0): 0.95,
    ("self", 1.0): 1.3,
}
ACCURACY = {
    ("labels", None): 0.871,
    ("offline", 1.0): 0.893,
    ("offline", 4.0): 0.912,
    ("online", 1.0): 0.889,
    ("online", 4.0): 0.921,
    ("matched", 1.0): 0.89,
    ("self", 1.0): 0.874,
}


def make_rows(
    *,
    seeds: Sequence[int] = (0, 1, 2),
    arms: Sequence[tuple[str, float | None]] = ARMS,
    points: int = 5,
    complexity: bool = True,
    noise: float = 1.0,
    **group: str,
) -> list[dict[str, Any]]:
    """Return the rows of one run group; `group` replaces parts of its name."""
    names = {
        "dataset": "digits",
        "task": "ten",
        "teacher": "resnet8",
        "student": "lenet5x1",
        "settings": "3f2a90bc",
        **group,
    }
    rows: list[dict[str, Any]] = []
    epochs = np.linspace(0.0, 30.0, points) if points > 1 else np.array([30.0])
    for seed in seeds:
        draw = np.random.default_rng(seed)
        for number, epoch in enumerate(epochs):
            done = epoch / 30.0
            point = {
                **names,
                "seed": seed,
                "step": round(40 * epoch),
                "epoch": float(epoch),
                "final": number == len(epochs) - 1,
            }
            learnt = 1 - np.exp(-4 * done)
            rows.append(
                {
                    **point,
                    "kind": "teacher",
                    "train_loss": float(2.3 * np.exp(-5 * done)),
                    "train_accuracy": float(0.1 + 0.88 * learnt),
                    "validation_accuracy": None,
                    "test_accuracy": float(
                        np.clip(0.1 + 0.86 * learnt + 0.004 * noise * draw.normal(), 0, 1)
                    ),
                }
            )
            for arm, temperature in arms:
                student = {**point, "arm": arm, "temperature": temperature}
                reached = ACCURACY[arm, temperature] + 0.006 * noise * draw.normal()
                rows.append(
                    {
                        **student,
                        "kind": "student",
                        "alpha": 1.0,
                        "train_loss": float(2.3 * np.exp(-3 * done) + 0.05),
                        "train_accuracy": float(0.1 + 0.8 * learnt),
                        "validation_accuracy": None,
                        "test_accuracy": float(np.clip(0.1 + (reached - 0.1) * learnt, 0, 1)),
                        "train_fidelity": float(np.clip(0.1 + 1.02 * (reached - 0.1), 0, 1)),
                        "test_fidelity": float(np.clip(0.1 + 0.99 * (reached - 0.1), 0, 1)),
                        "train_kl": float(0.5 * (1 - learnt)),
                        "test_kl": float(0.6 * (1 - learnt)),
                        "ntk_similarity": float(0.4 + 0.3 * learnt + 0.02 * draw.normal()),
                        "margin": float(5 * learnt),
                    }
                )
                if not complexity:
                    continue
                for supervision, level in LEVELS.items():
                    if supervision[0] == "self" and arm != "self":
                        continue
                    scale = 0.55 + 0.45 * learnt if supervision[0] == "online" else 1.0
                    adjusted = level * scale * (0.6 + 0.4 * learnt) + 0.03 * noise * draw.normal()
                    rows.append(
                        {
                            **student,
                            "kind": "complexity",
                            "supervision": supervision[0],
                            "supervision_temperature": supervision[1],
                            "complexity": float(512 * adjusted**2 / (30 + 40 * learnt)),
                            "adjusted_complexity": float(adjusted),
                            "margin": 1.0 if supervision[1] is None else 1.0 / supervision[1],
                            "trace": float(512 * (30 + 40 * learnt)),
                            "ridge": 1e-6,
                            "condition": 1e6,
                            "residual": 1e-9,
                        }
                    )
    return rows


@pytest.fixture
def forget() -> Iterator[Callable[[], None]]:
    """What makes this process one in which nothing of a user's is registered; it ends so too."""
    from kdtheory import arms, claims, studies
    from kdtheory.datasets import sources, tasks
    from kdtheory.methods import registry as methods
    from kdtheory.models import registry as models
    from kdtheory.runs import own_code

    registries = (
        models._FAMILIES, sources.SOURCES, tasks.TASKS, arms.ARMS, methods.METHODS,
        claims.CLAIMS, studies.STUDIES, own_code._IMPORTED,
    )  # fmt: skip
    before = [registry.copy() for registry in registries]
    path, loaded = list(sys.path), set(sys.modules)

    def back() -> None:
        for registry, kept in zip(registries, before, strict=True):
            registry.clear()
            registry.update(kept) if isinstance(registry, dict) else registry.extend(kept)
        sys.path[:] = path
        for name in set(sys.modules) - loaded:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if name.startswith("kdtheory_import_") or "pytest-of-" in file:
                del sys.modules[name]

    yield back
    back()


@pytest.fixture(name="make_rows")
def make_rows_fixture() -> Callable[..., list[dict[str, Any]]]:
    return make_rows


#: Where tests look at figures, or draw what is drawn nowhere else: folders, and files of report/.
DRAWN = ("claims", "experiments", "notebooks", "studies", "test_figures.py", "test_run_page.py")


@pytest.fixture(scope="module", autouse=True)
def blank_figures_fixture(request: pytest.FixtureRequest) -> Iterator[None]:
    """Write empty pictures: a third of what a small run costs is the drawing of its figures."""
    if request.path.parent.name in DRAWN or request.path.name in DRAWN:
        yield
        return
    from matplotlib.figure import Figure

    drawn = Figure.savefig

    def blank(_: Figure, file: Any, **options: Any) -> None:
        empty = io.BytesIO()
        drawn(Figure(figsize=(0.1, 0.1)), empty, **options)
        file.write(empty.getvalue())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", blank)
        yield
