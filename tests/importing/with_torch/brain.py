"""The two networks of the package deepbet as one TorchScript network.

deepbet (MIT) finds the box of the brain on a coarse copy of the image, reads the box with a
second network, and puts the answer back. All of that is written here in operators that ONNX
has, so that the graph alone does it: sampling and cropping are one lookup per axis.

Left out: deepbet keeps only the largest piece of its coarse mask before it takes the box.
"""

from __future__ import annotations

from pathlib import Path

import torch

COARSE, FINE = 128, 256
LOW, HIGH = 0.005, 0.995
MARGIN = 0.1
LEAST_SHARE = 0.02
"""Of a plane's voxels in the coarse mask, for the plane to count as inside the box."""


class Brain(torch.nn.Module):
    """T1-weighted head in, share of brain out: (1, 1, k, j, i) of LPS, any values.

    deepbet reads (i, j, k) of RAS, so rows and columns are exchanged and run backwards.
    """

    def __init__(self, coarse: torch.nn.Module, fine: torch.nn.Module) -> None:
        super().__init__()
        self.coarse = coarse
        self.fine = fine

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Find the box, read it, put it back."""
        head = image[0, 0].permute(2, 1, 0).flip([0, 1])
        sizes = [torch.scalar_tensor(head.size(axis)) for axis in range(3)]
        small = head
        for axis, size in enumerate(sizes):
            small = small.index_select(axis, lookup(torch.zeros(()), size, COARSE))
        low, high = quantile(small, LOW), quantile(small, HIGH)
        mask = (self.coarse(normalized(small, low, high)[None, None])[0, 1] > 0.5).float()
        boxes = [box(mask, axis, size) for axis, size in enumerate(sizes)]
        part = head
        for axis, (start, stop) in enumerate(boxes):
            part = part.index_select(axis, lookup(start, stop - start, FINE))
        answer = self.fine(normalized(part, low, high)[None, None])[0, 1]
        for axis, (start, stop) in enumerate(boxes):
            places = torch.arange(head.size(axis)).float()
            inside = ((places >= start) & (places < stop)).float()
            found = torch.floor((places - start + 0.5) * (FINE / (stop - start)))
            answer = answer.index_select(axis, found.clamp(0, FINE - 1).long())
            shape = [1, 1, 1]
            shape[axis] = -1
            answer = answer * inside.reshape(shape)
        return answer.flip([0, 1]).permute(2, 1, 0)[None, None]


def lookup(start: torch.Tensor, size: torch.Tensor, want: int) -> torch.Tensor:
    """Give the nearest source voxel of each of `want` voxels over `size` from `start` on."""
    steps = torch.floor((torch.arange(want).float() + 0.5) * (size / want))
    return (start + torch.minimum(steps, size - 1)).long()


def quantile(values: torch.Tensor, share: float) -> torch.Tensor:
    """Interpolate between the two order statistics, as ``torch.quantile`` does."""
    rank = share * (COARSE**3 - 1)
    largest = share > 0.5
    count = int((COARSE**3 - 1) - rank if largest else rank) + 2
    ends = values.flatten().topk(count, largest=largest).values[-2:]
    below, above = (ends[1], ends[0]) if largest else (ends[0], ends[1])
    return below + (above - below) * (rank - int(rank))


def normalized(values: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Scale to the two quantiles, then to the mean and deviation the networks know."""
    values = ((values - low) / (high - low)).clamp(0, 1)
    # Axis by axis: sums of 16 million float32 in one go lose digits in some runtimes.
    values = values - values.mean(2).mean(1).mean(0)
    variance = (values * values).mean(2).mean(1).mean(0)
    deviation = torch.sqrt(variance * (values.numel() / (values.numel() - 1)))
    return 0.226 * (values / deviation) + 0.449


def box(mask: torch.Tensor, axis: int, size: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Find first voxel and end of the brain along one axis of the image, with a margin."""
    others = [other for other in range(3) if other != axis]
    counts = (mask.mean(others) > LEAST_SHARE).float()
    places = torch.arange(COARSE).float()
    first = torch.where(counts > 0, places, torch.scalar_tensor(COARSE)).min()
    end = ((places + 1) * counts).max()
    scale = size / COARSE
    centre = torch.round(scale * ((end + first) / 2))
    length = torch.round((1 + 2 * MARGIN) * (scale * (end - first)))
    start = torch.floor((centre - length / 2).clamp(min=0))
    stop = torch.minimum(torch.floor(centre + length / 2), size)
    return start, torch.maximum(stop, start + 1)


def script(models: Path, target: Path) -> None:
    """Write the network as TorchScript.

    Parameters
    ----------
    models
        Folder of deepbet with ``bbox_model.pt`` and ``model.pt``.
    target
        File to write.
    """
    coarse, fine = (
        torch.jit.load(str(models / name), map_location="cpu").eval()
        for name in ("bbox_model.pt", "model.pt")
    )
    example = torch.rand(1, 1, 40, 48, 56)
    with torch.no_grad():
        torch.jit.trace(Brain(coarse, fine).eval(), example, check_trace=False).save(str(target))
