"""The rows of one run, made by hand: every value is given."""

import pytest

from kdtheory.rows import checked_row

IDS = {
    "dataset": "cifar100", "task": "first_half", "teacher": "resnet8", "student": "lenet5x1",
    "settings": "3f2a90bc",
}  # fmt: skip
POINT = {"step": 10, "epoch": 1.0, "final": True}
ACCURACIES = {
    "train_loss": 0.5, "train_accuracy": 0.9, "validation_accuracy": None, "test_accuracy": 0.8,
}  # fmt: skip
STUDENT = {
    "alpha": 1.0, "train_fidelity": 0.9, "test_fidelity": 0.85, "train_kl": 0.1, "test_kl": 0.2,
    "ntk_similarity": 0.5, "margin": 0.4,
}  # fmt: skip
COMPLEXITY = {
    "complexity": 4.0, "adjusted_complexity": 2.0, "margin": 0.5, "trace": 100.0, "ridge": 1e-3,
    "condition": 100.0, "residual": 1e-9, "target_rms": 1.0,
}  # fmt: skip
BOUND = {
    "step": 0, "epoch": 0.0, "final": False, "checkpoint_step": None, "n": 1024,
    "teacher_error": 0.1, "teacher_test_error": 0.2, "gamma": 0.5, "margin_loss": 0.1,
    "complexity_term": 2.0, "confidence_term": 0.1, "radius": 3.0, "delta": 0.05,
    "validity": "certificate", "squared_norm": 8.5, "trace": 1000.0,
}  # fmt: skip


def checked(row):
    checked_row(row)
    return row


class HandMade:
    """Rows of one seed; keywords replace values."""

    def __init__(self, seed, **ids):
        self.common = {**IDS, **ids, "seed": seed}

    def teacher(self, **values):
        return checked({**self.common, "kind": "teacher", **POINT, **ACCURACIES, **values})

    def student(self, arm, temperature=None, **values):
        on = {"kind": "student", "arm": arm, "temperature": temperature}
        return checked({**self.common, **on, **POINT, **ACCURACIES, **STUDENT, **values})

    def complexity(self, supervision, supervision_temperature=None, **values):
        """Of the student trained on labels."""
        on = {
            "kind": "complexity", "arm": "labels", "temperature": None, "supervision": supervision,
            "supervision_temperature": supervision_temperature,
        }  # fmt: skip
        return checked({**self.common, **on, **POINT, **COMPLEXITY, **values})

    def bound(self, supervision, supervision_temperature=None, **values):
        """The bound is the sum of its terms."""
        on = {
            "kind": "bound", "supervision": supervision,
            "supervision_temperature": supervision_temperature,
        }  # fmt: skip
        row = {**self.common, **on, **BOUND, **values}
        terms = ("teacher_error", "margin_loss", "complexity_term", "confidence_term")
        return checked({**row, "bound": sum(row[term] for term in terms)})


@pytest.fixture
def hand_made():
    return HandMade
