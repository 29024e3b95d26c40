"""Bounds of known rates: the study says what their rows say."""

import math

import pytest

from kdtheory.arms import Supervision
from kdtheory.errors import InputError
from kdtheory.report.figures import render
from kdtheory.runs import RunConfig
from kdtheory.studies.bound_series import (
    exponents,
    networks_of,
    norm_terms,
    series_of,
    shown_supervisions,
)
from kdtheory.studies.bounds_on_images import BOUNDS_ON_IMAGES, analyse, cases
from kdtheory.studies.results import summary

SIZES = (100, 400, 1600)


@pytest.fixture
def rows_of(hand_made):
    def rows(n, *, labels=0.5, offline=0.4, growth=0.0, first=False, **ids):
        """The complexity term is its value at n = 100 times n^(growth / 2 - 1/2)."""
        made = []
        for seed in range(3):
            hand, wobble = hand_made(seed, **ids), 1 + 0.01 * seed
            fall = wobble * (n / 100) ** (growth / 2 - 0.5)
            made += [hand.teacher(), hand.student("labels", test_accuracy=0.8)]
            if first:
                made.append(hand.student("offline", 4.0, test_accuracy=0.9))
            for name, tau, term in (
                ("labels", None, labels), ("random_labels", None, 2.0), ("offline", 4.0, offline),
            ):  # fmt: skip
                made.append(
                    hand.bound(
                        name, tau, n=n, complexity_term=term * fall, trace=4.0 * n,
                        squared_norm=wobble * n**growth, teacher_error=0.05 if tau else 0.0,
                    )
                )  # fmt: skip
        return made

    return rows


def test_rows_that_obey_are_seen(rows_of):
    # Norms that shrink a little: a rate of exactly -1/2 is neither seen nor contradicted.
    # At the last n the bound is 0.2, the term, and the teacher's error of 0.05.
    runs = {f"n{n}": rows_of(n, growth=-0.1, offline=0.1) for n in SIZES}
    analysis = analyse(runs)
    assert {found.verdict for found in analysis.findings} == {"seen"}
    assert len(analysis.findings) == 2 * 3 + 1


def test_rows_that_break_the_hypotheses_are_not_seen(rows_of):
    runs = {f"n{n}": rows_of(n, growth=1.2, offline=0.9) for n in SIZES}
    assert {found.verdict for found in analyse(runs).findings} == {"not seen"}


def test_series_are_sorted_by_n_by_task_and_by_rule(rows_of):
    runs = {f"n{n}-free": rows_of(n) for n in reversed(SIZES)}
    runs |= {f"n{n}-proportional": rows_of(n) for n in SIZES}
    runs["digits"] = rows_of(150, dataset="digits", task="even_odd")
    tasks = series_of(runs)
    assert [task.name for task in tasks] == [
        "cifar100, first_half, ridge free", "cifar100, first_half, ridge ∝ n", "digits, even_odd",
    ]  # fmt: skip
    assert list(tasks[0].runs) == list(SIZES)
    assert shown_supervisions(tasks[0])[0] == Supervision("random_labels", None)
    # The first run of a task has its networks, whatever the rule.
    assert [task.setting for task in tasks] == ["n1600-free", "n1600-free", "digits"]
    assert list(networks_of(runs)) == ["n1600-free", "digits"]


def test_rates_are_those_of_the_rows(rows_of):
    (task,) = series_of({f"n{n}": rows_of(n, growth=0.4) for n in SIZES})
    labels = Supervision("labels", None)
    assert exponents(norm_terms(task, labels)) == pytest.approx([-0.3] * 3)
    assert norm_terms(task, labels)[400][0] == pytest.approx(math.sqrt(400**0.4 * 1600) / 400)


def test_one_run_s_networks_serve_every_n(rows_of):
    runs = {f"n{n}": rows_of(n, first=n == SIZES[0]) for n in SIZES}
    table = analyse(runs).tables[0].columns
    lines = zip(table["supervision"], table["n"], table["network's test error"], strict=True)
    errors = {line[:2]: line[2].mean for line in lines}
    assert all(errors["offline, τ = 4", n] == pytest.approx(0.1) for n in SIZES)
    assert all(errors["random labels", n] is None for n in SIZES)


def test_thresholds(rows_of):
    # 0.1 + 0.1 + the complexity term, and the teacher's 0.05.
    analysis = analyse({f"n{n}": rows_of(n, labels=1.0, offline=3.0) for n in SIZES})
    table = analysis.tables[1].columns
    found = dict(zip(table["supervision"], table["below 1 from n"], strict=True))
    assert found == {"random labels": "1,600", "labels": "400", "offline, τ = 4": "none"}
    assert table["below 0.5 from n"] == ["none", "1,600", "none"]
    assert "1,600" in summary(BOUNDS_ON_IMAGES, analysis, "small")


def test_figures_show_every_task(rows_of):
    runs = {f"n{n}": rows_of(n, first=True) for n in SIZES}
    runs["digits"] = rows_of(150, dataset="digits", task="even_odd")
    terms, rates = analyse(runs).figures
    titles = [axes.get_title() for axes in terms.figure.axes if axes.get_visible()]
    assert titles == [
        f"{task}: {name}"
        for task in ("cifar100, first_half", "digits, even_odd")
        for name in ("labels", "offline, τ = 4")
    ]
    assert [axes.get_xscale() for axes in rates.figure.axes] == ["log", "log"]
    assert render(terms.figure, "png").startswith(b"\x89PNG")
    assert render(rates.figure, "png").startswith(b"\x89PNG")


def test_a_run_without_bounds_is_refused(rows_of):
    rows = [row for row in rows_of(100) if row["kind"] != "bound"]
    with pytest.raises(InputError, match="needs bounds"):
        analyse({"n100": rows})


@pytest.mark.parametrize("size", ["smoke", "small", "full"])
def test_cases(size):
    configs = cases(size)
    assert all(
        isinstance(config, RunConfig) and config.measuring.bounds for config in configs.values()
    )
    first, *others = configs.values()
    assert first.distillation.arms == ("labels", "offline")
    # Bounds do not depend on how long students train; their teacher is that of the first run.
    for config in others:
        assert config.training.epochs == 1
        assert config.teaching.teacher_epochs == (
            first.teaching.teacher_epochs or first.training.epochs
        )
    ridges = {}
    for name, config in configs.items():
        ridges.setdefault(name.rsplit("-", 1)[1], {})[config.measuring.ntk_size] = (
            config.measuring.bound_ridges
        )
    assert len(set(ridges["free"].values())) == 1
    assert len(ridges["free"]) == len(ridges["proportional"]) >= 2
    per_example = [ridge / n for n, (ridge,) in ridges["proportional"].items()]
    assert per_example == pytest.approx([per_example[0]] * len(per_example))
