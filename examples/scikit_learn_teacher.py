"""A teacher from scikit-learn: its logits of the images that `kdtheory data export` wrote.

kdtheory data export --dataset digits --train-size 512 --out digits
python examples/scikit_learn_teacher.py digits teacher.npz
kdtheory run --dataset digits --train-size 512 --teacher-logits teacher.npz --out runs/mine
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier

folder, out = Path(sys.argv[1]), sys.argv[2]
images = {split: np.load(folder / split / "images.npy") for split in ("train", "test")}
flat = {split: values.reshape(len(values), -1) / 255 for split, values in images.items()}
teacher = MLPClassifier((128,), max_iter=2000, random_state=0)
teacher.fit(flat["train"], np.load(folder / "train/labels.npy"))
# Logits: for softmax, the logarithm of the probabilities is as good as what it was made from.
logits = {split: teacher.predict_log_proba(values) for split, values in flat.items()}
np.savez(out, ids=np.load(folder / "train/ids.npy"), **logits)
