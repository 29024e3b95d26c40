"""Arms whose similarity, fidelity and accuracy are given: the study finds their correlation."""

import math

import pytest

from kdtheory.report.figures import render
from kdtheory.rows import checked_row
from kdtheory.runs import RunConfig
from kdtheory.statistics.correlations import bootstrap_interval, pooled_correlation
from kdtheory.studies import accuracy, find_study
from kdtheory.studies.results import summary
from kdtheory.studies.similarity import JUDGED, QUANTITIES, SIMILARITY, analyse

ARMS = [("labels", None), ("offline", 1.0), ("offline", 4.0), ("online", 4.0), ("self", 1.0)]


@pytest.fixture
def rows_of(hand_made):
    def rows(sign=1.0, shift=0.05, **fixed):
        """Quantities that rise over the arms; accuracy falls where the sign is negative."""
        made = []
        for seed in range(3):
            for number, arm in enumerate(ARMS):
                # The seeds differ by more than the arms do, the other way round.
                level = 0.5 + 0.01 * number
                values = dict.fromkeys(QUANTITIES, level + shift * seed)
                values["test_accuracy"] = 0.5 + sign * 0.01 * number - shift * seed
                row = hand_made(seed).student(*arm, **{**values, **fixed})
                checked_row(row)
                made.append(row)
        return made

    return rows


def test_quantities_that_rise_together_are_seen_whatever_the_seeds(rows_of):
    analysis = analyse({"binary": rows_of()})
    assert len(analysis.findings) == len(JUDGED)
    assert {found.verdict for found in analysis.findings} == {"seen"}


def test_falling_accuracy_is_not_seen(rows_of):
    found = analyse({"binary": rows_of(sign=-1.0)}).findings
    with_accuracy = [f.verdict for f in found if "accuracy" in f.hypothesis]
    without = [f.verdict for f in found if "accuracy" not in f.hypothesis]
    assert with_accuracy == ["not seen"] * 4
    assert without == ["seen"] * 2


def test_similarity_that_was_not_measured_is_undecided(rows_of):
    rows = rows_of(test_ntk_similarity=None)
    verdicts = {f.hypothesis: f.verdict for f in analyse({"binary": rows}).findings}
    assert verdicts["binary: test NTK similarity and test accuracy rise together"] == "undecided"
    assert verdicts["binary: test fidelity and test accuracy rise together"] == "seen"


def test_the_table_tells_arms_from_seeds(rows_of):
    columns = analyse({"a": rows_of(), "b": rows_of()}).tables[0].columns
    assert len(columns["run"]) == 2 * math.comb(len(QUANTITIES), 2)
    line = next(
        number
        for number, pair in enumerate(zip(columns["first"], columns["second"], strict=True))
        if pair == ("train fidelity", "test accuracy")
    )
    assert columns["correlation a seed"][line].mean == pytest.approx(1.0)
    # Pooled, the seeds count too, and they go the other way.
    assert columns["pooled"][line] < 0
    assert columns["students"][line] == 3 * len(ARMS)
    assert "test NTK similarity" in summary(SIMILARITY, analyse({"a": rows_of()}), "small")


def test_a_panel_a_judged_pair_and_a_mark_a_student(rows_of):
    figure = analyse({"a": rows_of(), "b": rows_of()}).figures[0].figure
    assert len(figure.axes) == len(JUDGED)
    marks = [line for line in figure.axes[0].lines if line.get_linestyle() == "None"]
    assert sum(len(line.get_xdata()) for line in marks) == 2 * 3 * len(ARMS)
    # Less its seed's mean, a seed's level is gone.
    assert max(abs(x) for line in marks for x in line.get_xdata()) == pytest.approx(0.02)
    assert render(figure, "png").startswith(b"\x89PNG")


def test_the_bootstrap_draws_whole_seeds():
    rising = [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]
    falling = [(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]
    assert pooled_correlation([rising, falling]) == pytest.approx(0.0, abs=1e-12)
    low, high = bootstrap_interval([rising, falling])
    assert (low, high) == pytest.approx((-1.0, 1.0))
    assert bootstrap_interval([rising, falling]) == bootstrap_interval([rising, falling])
    assert bootstrap_interval([rising, rising]) == pytest.approx((1.0, 1.0))
    assert math.isnan(bootstrap_interval([rising]).low)
    constant = [(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]
    assert math.isnan(bootstrap_interval([rising, constant]).low)


def test_it_has_the_runs_of_accuracy():
    assert find_study("similarity") is SIMILARITY
    assert SIMILARITY.runs_of == accuracy.ACCURACY.name
    for size in ("smoke", "small", "full"):
        cases = SIMILARITY.cases(size)
        assert cases == accuracy.cases(size)
        assert all(isinstance(config, RunConfig) for config in cases.values())
        # Test similarity is measured in all of them.
        assert all(config.measuring.similarity_size > 0 for config in cases.values())
