"""The studies by name: each a question, its runs, and what is made of them; one file a study."""

from kdtheory.errors import InputError, unknown_name
from kdtheory.studies.accuracy import ACCURACY
from kdtheory.studies.bounds_on_images import BOUNDS_ON_IMAGES
from kdtheory.studies.capacity_gap import CAPACITY_GAP
from kdtheory.studies.cifar100 import CIFAR100
from kdtheory.studies.complexity_curve import COMPLEXITY_CURVE
from kdtheory.studies.early_stopping import EARLY_STOPPING
from kdtheory.studies.methods import METHODS_STUDY
from kdtheory.studies.noisy_teacher import NOISY_TEACHER
from kdtheory.studies.predictors import PREDICTORS_STUDY
from kdtheory.studies.regime import REGIME
from kdtheory.studies.schedule import SCHEDULE
from kdtheory.studies.similarity import SIMILARITY
from kdtheory.studies.study import Study
from kdtheory.studies.temperature import TEMPERATURE

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        REGIME,
        ACCURACY,
        CIFAR100,
        COMPLEXITY_CURVE,
        TEMPERATURE,
        EARLY_STOPPING,
        SIMILARITY,
        CAPACITY_GAP,
        SCHEDULE,
        NOISY_TEACHER,
        BOUNDS_ON_IMAGES,
        PREDICTORS_STUDY,
        METHODS_STUDY,
    )
}


def register_study(study: Study) -> Study:
    """Make a study of your own known by its name; return it.

    Raises:
      InputError: the name is taken.

    >>> register_study(STUDIES["accuracy"])
    Traceback (most recent call last):
    kdtheory.errors.InputError: a study named 'accuracy' exists already
    """
    if study.name in STUDIES:
        raise InputError(f"a study named {study.name!r} exists already")
    STUDIES[study.name] = study
    return study


def find_study(name: str) -> Study:
    """Return a study by name.

    Raises:
      InputError: there is none of that name.

    >>> find_study("accuracy").name
    'accuracy'
    """
    if name not in STUDIES:
        raise unknown_name("study", name, STUDIES, registered=True)
    return STUDIES[name]


__all__ = ["STUDIES", "Study", "find_study", "register_study"]
