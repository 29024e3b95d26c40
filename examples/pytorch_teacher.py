"""A teacher from PyTorch: its logits of the images that `kdtheory data export` wrote.

Replace the network and its training by your own; the last six lines are all that is needed.
"""

import sys
from pathlib import Path

import numpy as np
import torch

folder, out = Path(sys.argv[1]), sys.argv[2]
train, test = (np.load(folder / split / "images.npy") for split in ("train", "test"))
labels = torch.tensor(np.load(folder / "train/labels.npy")).long()


def tensor(images: np.ndarray) -> torch.Tensor:
    """Return images as PyTorch has them, (n, c, h, w)."""
    return torch.tensor(images).float().permute(0, 3, 1, 2) / 255


torch.manual_seed(0)
teacher = torch.nn.Sequential(
    torch.nn.Flatten(), torch.nn.LazyLinear(128), torch.nn.ReLU(), torch.nn.LazyLinear(10)
)
teacher(tensor(train[:1]))
optimizer = torch.optim.Adam(teacher.parameters(), lr=1e-2)
for _ in range(100):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(teacher(tensor(train)), labels).backward()
    optimizer.step()

teacher.eval()
with torch.no_grad():
    logits = {name: teacher(tensor(x)).numpy() for name, x in (("train", train), ("test", test))}
np.savez(out, ids=np.load(folder / "train/ids.npy"), **logits)
