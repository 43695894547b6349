"""Building a network in PyTorch and filling it with weights; needs the extra ``train``.

Weights are read with ``weights_only``: a pickle that would call anything is an error.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from engines.errors import BackendUnavailable, PackageError
from engines.importing.config import arguments
from engines.importing.draft import Document

MONAI_NETWORKS = "monai.networks.nets"
NNUNET_NETWORKS = "dynamic_network_architectures.architectures.unet"
NNUNET_CLASSES = ("PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet")

# Classes that nnU-Net's plans name; what is not here is not imported.
_LAYERS = {
    "torch.nn.modules.conv.Conv3d": torch.nn.Conv3d,
    "torch.nn.modules.instancenorm.InstanceNorm3d": torch.nn.InstanceNorm3d,
    "torch.nn.modules.batchnorm.BatchNorm3d": torch.nn.BatchNorm3d,
    "torch.nn.modules.activation.LeakyReLU": torch.nn.LeakyReLU,
    "torch.nn.modules.activation.ReLU": torch.nn.ReLU,
    "torch.nn.LeakyReLU": torch.nn.LeakyReLU,
    "torch.nn.ReLU": torch.nn.ReLU,
}

# nnU-Net's checkpoints keep losses and scores as NumPy numbers.
_NUMBERS = [
    np._core.multiarray.scalar,  # type: ignore[attr-defined]
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    np.dtypes.Int64DType,
]


def torchscript(path: Path) -> torch.nn.Module:
    """Load a TorchScript file: a graph of PyTorch's own operators, no Python of its author.

    Raises
    ------
    PackageError
        If it cannot be loaded.
    """
    try:
        loaded: torch.nn.Module = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, OSError, ValueError) as error:
        raise PackageError(f"{path.name}: is no TorchScript file ({_first(error)})") from error
    return loaded


def monai_network(inference: Document, weights: Path) -> torch.nn.Module:
    """Build the network that ``network_def`` names, by classes of MONAI alone.

    Raises
    ------
    PackageError
        If it is none of MONAI's networks, has arguments that are expressions, or the
        weights do not fit.
    BackendUnavailable
        If MONAI is not installed.
    """
    definition = arguments(inference, inference.get("network_def"), "network_def")
    target = str(definition.given["_target_"])
    network = getattr(_module(MONAI_NETWORKS, "monai"), definition.name, None)
    plain = target in (definition.name, f"{MONAI_NETWORKS}.{definition.name}")
    if not plain or not isinstance(network, type) or not issubclass(network, torch.nn.Module):
        raise PackageError(f"network_def: {target}: is no network of {MONAI_NETWORKS}")
    keys = [key for key in definition.given if not key.startswith("_")]
    given = {key: definition.get(key) for key in keys}
    return _filled(_build(network, (), given, target), weights, ("state_dict", "model"))


def nnunet_network(chosen: Document, channels: int, classes: int, weights: Path) -> torch.nn.Module:
    """Build the network that the plans of an nnU-Net v2 configuration describe.

    Raises
    ------
    PackageError
        If its class or one of its layers is unknown, or the weights do not fit.
    BackendUnavailable
        If dynamic_network_architectures is not installed.
    """
    plan = chosen.get("architecture")
    if not isinstance(plan, Mapping):
        raise PackageError("architecture: plans.json has none; nnU-Net writes it since 2.4")
    name = str(plan.get("network_class_name", "")).rsplit(".", 1)[-1]
    if name not in NNUNET_CLASSES:
        raise PackageError(f"architecture: {plan.get('network_class_name')} is not known")
    network = getattr(_module(NNUNET_NETWORKS, "dynamic-network-architectures"), name)
    given = dict(plan.get("arch_kwargs", {}))
    for key in plan.get("_kw_requires_import", ()):
        if given.get(key) is None:
            continue
        if given[key] not in _LAYERS:
            raise PackageError(f"architecture: {key}: {given[key]} is not known")
        given[key] = _LAYERS[given[key]]
    built = _build(network, (channels,), {"num_classes": classes, **given}, name)
    return _filled(built, weights, ("network_weights",))


def _module(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BackendUnavailable(f"{name} is not installed: pip install {package}") from error


def _build(
    network: Any, first: tuple[int, ...], given: dict[str, Any], name: str
) -> torch.nn.Module:
    try:
        built: torch.nn.Module = network(*first, **given)
    except (TypeError, ValueError, AttributeError, NotImplementedError, AssertionError) as error:
        raise PackageError(f"{name}: cannot be built: {_first(error)}") from error
    return built


def _filled(network: torch.nn.Module, path: Path, keys: tuple[str, ...]) -> torch.nn.Module:
    """Fill a network with weights, which may lie under one of `keys`."""
    try:
        with torch.serialization.safe_globals(_NUMBERS):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, OSError, EOFError) as error:
        raise PackageError(f"{path.name}: cannot be read as weights: {_first(error)}") from error
    for key in keys:
        state = state.get(key, state)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise PackageError(f"{path.name}: does not fit the network: {_first(error)}") from error
    return network


def _first(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


__all__ = ["monai_network", "nnunet_network", "torchscript"]
