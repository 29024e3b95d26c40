"""Kernels of PyTorch networks, as their users compute them: torch.func, and nngeometry."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import torch_models

#: Examples in a batch of nngeometry, as of `nt.batch` beside it.
_BATCH = 64


def _network(name: str, d: int, x: np.ndarray) -> tuple[Any, Any] | None:
    """Return a network of the same shape, BatchNorm in inference mode, and the images."""
    import torch

    net = torch_models.build(name, d)
    if net is None:
        return None
    return net.eval(), torch.from_numpy(x.transpose(0, 3, 1, 2).copy())


def contracted_jacobians(name: str, d: int, x: np.ndarray) -> Callable[[], Any] | None:
    """Return torch.func's Jacobian contraction, as PyTorch's tutorial on NTKs has it."""
    import torch
    from torch.func import functional_call, jacrev, vmap

    found = _network(name, d, x)
    if found is None:
        return None
    net, images = found
    params = {name: value.detach() for name, value in net.named_parameters()}

    def run() -> Any:
        def one(params: Any, image: Any) -> Any:
            return functional_call(net, params, (image[None],))[0]

        jacobian = vmap(jacrev(one), (None, 0))(params, images)
        flat = [j.flatten(2) for j in jacobian.values()]
        return sum(torch.einsum("iap,jbp->iajb", j, j) for j in flat).numpy()

    return run


def nngeometry_gram(name: str, d: int, x: np.ndarray) -> Callable[[], Any] | None:
    """Return nngeometry's GramMatrix of a data loader."""
    import torch
    from nngeometry.gram import GramMatrix

    found = _network(name, d, x)
    if found is None:
        return None
    net, images = found
    examples = torch.utils.data.TensorDataset(images, torch.zeros(len(images)))

    def run() -> Any:
        loader = torch.utils.data.DataLoader(examples, batch_size=_BATCH)
        return GramMatrix(net, loader, function=lambda *batch: net(batch[0])).data.numpy()

    return run


#: method -> the package that it needs, and what makes its kernel of (model, outputs, images).
KERNELS: dict[str, tuple[str, Callable[[str, int, np.ndarray], Callable[[], Any] | None]]] = {
    "torch": ("torch", contracted_jacobians),
    "nngeometry": ("nngeometry", nngeometry_gram),
}
