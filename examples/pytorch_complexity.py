"""Complexity of targets for a PyTorch network while it trains: python pytorch_complexity.py OUT."""

import sys

import numpy as np
import torch
from torch.func import functional_call, jacrev, vmap

import kdtheory

rng = np.random.default_rng(0)
x = torch.tensor(rng.normal(size=(24, 6)), dtype=torch.float32)
labels = (x[:, 0] * x[:, 1] > 0).long()
one_hot = torch.nn.functional.one_hot(labels, 2).float()
shuffled = one_hot[torch.tensor(rng.permutation(24))]

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(6, 32), torch.nn.Tanh(), torch.nn.Linear(32, 2))
optimizer = torch.optim.SGD(net.parameters(), lr=0.2)


def kernel() -> torch.Tensor:
    """Return the NTK of the network as it is, (n, n, d, d)."""
    one = lambda params, image: functional_call(net, params, image[None])[0]  # noqa: E731
    rows = vmap(jacrev(one), (None, 0))(dict(net.named_parameters()), x)
    flat = torch.cat([part.flatten(2) for part in rows.values()], dim=2)
    return torch.einsum("iap,jbp->ijab", flat, flat)


record = kdtheory.kernel_recorder({"labels": one_hot, "random labels": shuffled}, labels=labels)
for step in range(101):
    if step % 25 == 0:
        record(step, kernel())
    loss = torch.nn.functional.cross_entropy(net(x), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
record.write(sys.argv[1])
