"""One training loop for all recipes: AdamW, one learning-rate cycle, averaged weights."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

MEMORY_LAYOUT = {4: torch.channels_last, 5: torch.channels_last_3d}
"""The layout that is fastest on processors, by the axes of a convolution's weights."""


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy plus one minus the soft Dice of the foreground labels.

    Parameters
    ----------
    logits
        ``(N, classes, *spatial)``.
    labels
        int64 ``(N, *spatial)``.
    """
    axes = tuple(range(2, logits.ndim))
    probabilities = logits.softmax(dim=1)[:, 1:]
    truth = functional.one_hot(labels, logits.shape[1]).movedim(-1, 1)[:, 1:].float()
    overlap = (probabilities * truth).sum(axes)
    total = probabilities.sum(axes) + truth.sum(axes)
    dice = (2 * overlap + 50.0) / (total + 50.0)
    return functional.cross_entropy(logits, labels) + 1 - dice.mean()


def train(
    network: nn.Module,
    draw: Callable[[], tuple[Tensor, Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    steps: int,
    rate: float,
    decay: float = 1e-4,
    limit_s: float = float("inf"),
) -> nn.Module:
    """Train a network for a fixed number of steps.

    No validation picks the weights: the average of the last ones is what is returned.

    Parameters
    ----------
    network
        Trained in place, in bfloat16 arithmetic where that is safe.
    draw
        Returns one random batch, inputs and targets.
    loss
        Of outputs and targets.
    steps
        Batches to train on.
    rate
        Highest learning rate of the cycle.
    decay
        Weight decay.
    limit_s
        Wall time after which the cycle is cut short; leave it unset to reproduce the weights.

    Returns
    -------
    torch.nn.Module
        Exponential average of the weights, batch statistics included, in evaluation mode.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
    schedule = OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.99), use_buffers=True)
    layout = MEMORY_LAYOUT[next(p.ndim for p in network.parameters() if p.ndim >= 4)]
    network.to(memory_format=layout).train()
    start = time.monotonic()
    total = 0.0
    for step in range(1, steps + 1):
        inputs, targets = draw()
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(inputs.to(memory_format=layout))
        value = loss(outputs.float(), targets)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(network)
        total += value.item()
        if step % 50 == 0:
            elapsed = time.monotonic() - start
            logger.info("step %d/%d loss %.4f, %.0f s", step, steps, total / 50, elapsed)
            total = 0.0
            if elapsed > limit_s:
                logger.warning("time limit reached at step %d", step)
                break
    return average.module.eval()
