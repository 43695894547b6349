"""From a folder that somebody gave us to a package folder."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from engines.checks import verify
from engines.errors import BackendUnavailable, PackageError
from engines.importing.bundle import read_bundle
from engines.importing.draft import LPS, Document, Draft
from engines.importing.labels import without_code
from engines.importing.nnunet import configuration, read_results
from engines.package import MANIFEST, load_package
from engines.types import FloatArray

if TYPE_CHECKING:
    import torch

CASE = "selftest/case-1.npz"
EXAMPLE = "example.npy"
MODULE_EXAMPLE = (64, 64, 64)
"""Voxels of the known answer of a TorchScript network without window and `EXAMPLE`."""

Build = Callable[[], "torch.nn.Module"]


@dataclass(frozen=True)
class Imported:
    """A package that was written and has passed its own test.

    Parameters
    ----------
    root
        The package folder.
    kind
        What the source was: ``monai-bundle``, ``nnunet-v2`` or ``torchscript``.
    notes
        What the package does otherwise than the source, and what is left to do.
    """

    root: Path
    kind: str
    notes: tuple[str, ...]


def import_model(source: Path, out: Path) -> Imported:
    """Write a package from a MONAI bundle, an nnU-Net v2 result or a TorchScript network.

    What the source says is mapped first; only if a manifest can express all of it are
    weights read.

    Parameters
    ----------
    source
        Folder with ``configs/inference.json`` (MONAI), ``plans.json`` (nnU-Net), or
        ``model.ts`` and ``manifest.yaml`` (TorchScript, in the engines' axes).
    out
        Folder of the package; made, and empty if it exists.

    Raises
    ------
    PackageError
        If something cannot be expressed, with its name; or if the ONNX file gives other
        numbers than the network.
    BackendUnavailable
        If PyTorch or the framework of the source is not installed.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise PackageError(f"{out} exists and is not an empty folder")
    try:
        kind, draft, build = _read(source)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PackageError(
            f"{source.name}: its configuration lacks something or is of another form ({error!r})"
        ) from error
    try:
        from engines.importing import export
    except ImportError as error:
        raise BackendUnavailable(
            f"importing needs PyTorch ({error.name} is missing): pip install 'wetread[train]'"
        ) from error
    network = export.Turned(build(), draft.axes)
    example = _example(source, draft)
    model = draft.manifest["model"]
    names = model["inputs"][0]["name"], model["outputs"][0]["name"]
    content = export.export(network, example, names)
    expected = export.answer(network, example)
    out.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that only what has passed its test appears there, and at once.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".") as folder:
        made = Path(folder) / "package"
        _write(made, draft, content, example, expected)
        if findings := verify(load_package(made)):
            raise PackageError("the exported graph is not the network:\n" + "\n".join(findings))
        made.rename(out)
    notes = [*draft.notes]
    if private := without_code(draft.manifest["postprocess"]["labels"]):
        notes.append(f"No SNOMED CT code is known for {', '.join(private)}: put them in.")
    return Imported(out, kind, tuple(notes))


def _read(source: Path) -> tuple[str, Draft, Build]:
    """Map the source and say how its network would be built."""
    if (source / "configs" / "inference.json").is_file():
        return "monai-bundle", *_bundle(source)
    if (source / "plans.json").is_file():
        return "nnunet-v2", *_nnunet(source)
    if (source / "model.ts").is_file() and (source / MANIFEST).is_file():
        return "torchscript", *_torchscript(source)
    raise PackageError(
        f"{source}: is no MONAI bundle (configs/inference.json), no nnU-Net v2 result "
        f"(plans.json) and no TorchScript network (model.ts, {MANIFEST})"
    )


def _bundle(source: Path) -> tuple[Draft, Build]:
    inference = _json(source / "configs" / "inference.json")
    draft = read_bundle(_json(source / "configs" / "metadata.json"), inference, source.name)
    script, weights = source / "models" / "model.ts", source / "models" / "model.pt"
    if script.is_file():
        return draft, lambda: _networks().torchscript(script)
    return draft, lambda: _networks().monai_network(inference, weights)


def _nnunet(source: Path) -> tuple[Draft, Build]:
    plans, dataset = _json(source / "plans.json"), _json(source / "dataset.json")
    last = source.resolve().name.rsplit("__", 1)[-1]
    name = last if last in plans.get("configurations", {}) else "3d_fullres"
    draft = read_results(plans, dataset, name)
    fold = next((f for f in ("fold_all", "fold_0") if (source / f).is_dir()), "fold_0")
    weights = source / fold / "checkpoint_final.pth"
    chosen, model = configuration(plans, name), draft.manifest["model"]
    channels, classes = len(model["inputs"][0]["channels"]), model["outputs"][0]["channels"]
    note = f"The weights are those of {fold} alone; nnU-Net averages over all folds."
    draft = Draft(draft.manifest, draft.axes, draft.example, (*draft.notes, note))
    return draft, lambda: _networks().nnunet_network(chosen, channels, classes, weights)


def _torchscript(source: Path) -> tuple[Draft, Build]:
    try:
        manifest = yaml.safe_load((source / MANIFEST).read_text(encoding="utf-8"))
        manifest["model"].pop("sha256", None)
        manifest["postprocess"].setdefault("labels", {})
        patch = manifest["infer"].get("patch") or MODULE_EXAMPLE
        draft = Draft(manifest, LPS, (patch[0], patch[1], patch[2]))
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise PackageError(f"{MANIFEST}: cannot be read as a manifest ({error})") from error
    return draft, lambda: _networks().torchscript(source / "model.ts")


def _networks() -> Any:
    from engines.importing import networks

    return networks


def _json(path: Path) -> Document:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PackageError(f"{path.name}: cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise PackageError(f"{path.name}: is no JSON object")
    return found


def _example(source: Path, draft: Draft) -> FloatArray:
    """Give the input of the known answer: the source's own, else noise from 0 to 1.

    Returns
    -------
    ndarray
        float32, axes (1, channel, k, j, i).
    """
    channels = len(draft.manifest["model"]["inputs"][0]["channels"])
    if not (source / EXAMPLE).is_file():
        shape = (1, channels, *draft.example)
        return np.random.default_rng(0).random(shape, dtype=np.float32)
    found = np.load(source / EXAMPLE, allow_pickle=False)
    if found.dtype != np.float32 or found.ndim != 4 or len(found) != channels:
        raise PackageError(
            f"{EXAMPLE}: is {found.dtype} {found.shape}, expected float32 ({channels}, k, j, i)"
        )
    example: FloatArray = found[np.newaxis]
    return example


def _write(
    out: Path, draft: Draft, content: bytes, example: FloatArray, expected: FloatArray
) -> None:
    manifest = dict(draft.manifest)
    manifest["model"] = {**manifest["model"], "sha256": hashlib.sha256(content).hexdigest()}
    # Logits may be large, and float32 has seven digits.
    limit = max(1e-3, 1e-4 * float(np.abs(expected).max()))
    asked = manifest.get("selftest", {}).get("tolerance")
    manifest["selftest"] = {"cases": [CASE], "tolerance": asked or {"max_abs": limit}}
    (out / CASE).parent.mkdir(parents=True, exist_ok=True)
    (out / manifest["model"]["file"]).write_bytes(content)
    np.savez_compressed(out / CASE, input=example, output=expected)
    text = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=100)
    (out / MANIFEST).write_text(text, encoding="utf-8")


__all__ = ["CASE", "EXAMPLE", "Imported", "import_model"]
