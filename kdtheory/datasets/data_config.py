"""Which data: the settings that every command with a data set shares."""

from typing import get_args

from kdtheory.datasets.image_dataset import ImageDataset
from kdtheory.datasets.loading import load
from kdtheory.datasets.sampling import NoiseKind
from kdtheory.datasets.source import OnProgress
from kdtheory.errors import InputError
from kdtheory.settings import check_choices, check_minimum, settings_group


@settings_group
class DataConfig:
    """Which examples, of which classes, and how many."""

    dataset: str = "digits"
    """digits, synthetic; your own: folder:ROOT (ROOT/train/CLASS/*.png), npz:FILE, parquet:FILE,
    csv:FILE, hf:FOLDER (datasets' save_to_disk); or any TFDS image classification set (cifar10,
    cifar100, ...)."""
    task: str = "full"
    """full (all classes), coarse_label (CIFAR-100's 20 superclasses), binary: first_half, odd_even,
    even_odd, animals (CIFAR-100's superclasses, ten against ten), or some of the classes, by index,
    range or name: classes:3,5,8-11."""
    data_dir: str | None = None
    """Folder of the prepared TFDS sets (default: $KDTHEORY_DATA_DIR, else TFDS's own)."""
    train_size: int | None = None
    """Training examples, drawn evenly from the classes (default: all but validation's)."""
    validation_size: int | None = None
    """Examples held out of the training split (default: a tenth, or what is left)."""
    test_size: int | None = None
    """Test examples (default: all)."""
    test_fraction: float | None = None
    """Part of the training split that is held out for testing, for sets without a test split."""
    image_size: tuple[int, int] | None = None
    """Height and width to resize to, or one number for both; needed where images differ in size."""
    label_noise: float = 0.0
    """Fraction of the training labels that are replaced by another class."""
    noise_kind: NoiseKind = "symmetric"
    """symmetric (a random other class) or pair (the next class)."""
    data_seed: int = 0
    """Seed of the subsample and of the label noise, the same for every training seed."""

    def check(self) -> None:
        """Raise InputError if a setting is out of range."""
        check_choices(self, {"noise_kind": get_args(NoiseKind)})
        check_minimum(self, train_size=1, validation_size=0, test_size=1)
        if not 0 <= self.label_noise <= 1:
            raise InputError(f"label_noise must lie in [0, 1], got {self.label_noise}")

    def load(self, on_progress: OnProgress | None = None, *, certify_size: int = 0) -> ImageDataset:
        """Load the data; `on_progress` is called with (done, total) images read.

        `certify_size` examples are set apart first: see `datasets.load`.

        Raises:
          InputError: the data is missing or damaged, or a size is above what there is.

        >>> DataConfig(train_size=10, test_size=5).load().train.images.shape
        (10, 8, 8, 1)
        """
        return load(
            self.dataset,
            task=self.task,
            data_dir=self.data_dir,
            train_size=self.train_size,
            validation_size=self.validation_size,
            test_size=self.test_size,
            test_fraction=self.test_fraction,
            image_size=self.image_size,
            label_noise=self.label_noise,
            noise_kind=self.noise_kind,
            seed=self.data_seed,
            certify_size=certify_size,
            on_progress=on_progress,
        )
