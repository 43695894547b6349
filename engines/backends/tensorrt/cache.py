"""Plans on disk: found by what they were made of, checked before they are believed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from engines.backends.tensorrt.builder import BuildOptions
from engines.backends.tensorrt.driver import Gpu
from engines.backends.tensorrt.profiles import Profile
from engines.errors import BackendUnavailable

FORM = 1
"""Goes up when plans made by an older version of this package must not be used."""

SET_ASIDE = ".set-aside"
"""Ending of a plan that did not load or was not what its sidecar says."""

_FOLDER_VARIABLE = "WETREAD_TENSORRT_CACHE"


@dataclass(frozen=True)
class Recipe:
    """Everything a plan depends on; a plan of another recipe is another plan.

    Parameters
    ----------
    onnx_sha256
        Hex digest of the package's model file.
    flavour, version
        The TensorRT; see `engines.backends.tensorrt.flavour.Flavour`.
    gpu
        Name, compute capability, driver and memory of the GPU.
    precision
        ``"fp32"``, ``"fp16"`` or ``"int8"``.
    keep
        Operators that stay in float32.
    profiles
        Shapes wanted, tried in turn.
    options
        Of the build.
    calibration
        Hex digest of the inputs int8 was calibrated with, empty for the self-test's.
    """

    onnx_sha256: str
    flavour: str
    version: str
    gpu: Gpu
    precision: str
    keep: tuple[str, ...]
    profiles: tuple[Profile, ...]
    options: BuildOptions
    calibration: str = ""

    @property
    def key(self) -> str:
        """Hex SHA-256 over all of it."""
        return hashlib.sha256(json.dumps(self.facts(), sort_keys=True).encode()).hexdigest()

    def facts(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        facts: dict[str, Any] = json.loads(json.dumps({"form": FORM, **asdict(self)}))
        return facts


class PlanCache:
    """A folder of plans.

    A plan is code that the GPU runs: the folder belongs to the node's user alone.

    Parameters
    ----------
    folder
        Made, readable by its owner only, when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, recipe: Recipe) -> bytes | None:
        """Give the plan of a recipe if there is a good one.

        A plan that does not have the hash its sidecar says, or another recipe, or no sidecar,
        is set aside.

        Raises
        ------
        BackendUnavailable
            If others than its owner may write to the folder, or the plan cannot be read.
        """
        path = self._path(recipe)
        self._check_folder()
        try:
            plan = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BackendUnavailable(f"{path} cannot be read: {error.strerror}") from error
        problem = _problem(recipe, plan, path.with_suffix(".json"))
        if problem is None:
            return plan
        self.set_aside(recipe, problem)
        return None

    def alike(self, recipe: Recipe) -> list[Recipe]:
        """Find the recipes of kept plans that differ in options and calibration at most.

        Newest first; `read` says which of them are good.
        """
        free = {"options": None, "calibration": None}
        asked, found = {**recipe.facts(), **free}, []
        for sidecar in self.folder.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                said = json.loads(sidecar.read_bytes())["recipe"]
                options, calibration = BuildOptions(**said["options"]), said["calibration"]
                if {**said, **free} == asked:
                    like = replace(recipe, options=options, calibration=calibration)
                    found.append((sidecar.stat().st_mtime_ns, like))
        return [each for _, each in sorted(found, key=lambda pair: pair[0], reverse=True)]

    def write(self, recipe: Recipe, plan: bytes, notes: Mapping[str, Any]) -> Path:
        """Keep a plan; a reader sees the old one or the new one, never a part.

        Parameters
        ----------
        notes
            What an administrator may want to know, as JSON can hold it; not part of the key.

        Raises
        ------
        OSError
            If the folder cannot be written.
        """
        path = self._path(recipe)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        digest = hashlib.sha256(plan).hexdigest()
        sidecar = {"recipe": recipe.facts(), "sha256": digest, "notes": dict(notes)}
        # The plan first: a sidecar without its plan would vouch for the one before.
        _replace(path, plan)
        _replace(path.with_suffix(".json"), json.dumps(sidecar, indent=2).encode())
        _sync(self.folder)
        return path

    def set_aside(self, recipe: Recipe, reason: str) -> None:
        """Put a plan where it is not found again, with the reason in its sidecar's place.

        In a folder that cannot be written it stays, and is refused again next time.
        """
        path = self._path(recipe)
        sidecar = path.with_suffix(".json")
        said = json.dumps({"recipe": recipe.facts(), "reason": reason}, indent=2)
        with contextlib.suppress(OSError):
            path.replace(path.with_name(path.name + SET_ASIDE))
            sidecar.unlink(missing_ok=True)
            _replace(sidecar.with_name(sidecar.name + SET_ASIDE), said.encode())

    @contextlib.contextmanager
    def lock(self, recipe: Recipe) -> Iterator[None]:
        """Keep other processes from building the same plan; the lock ends with the process."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_folder()
        with self._path(recipe).with_suffix(".lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _path(self, recipe: Recipe) -> Path:
        return self.folder / f"{recipe.key}.plan"

    def _check_folder(self) -> None:
        try:
            mode = self.folder.stat().st_mode
        except FileNotFoundError:
            return
        if mode & 0o022:
            raise BackendUnavailable(
                f"the plans in {self.folder} are code, and others may write there "
                f"(mode {mode & 0o777:o}); chmod 700 it"
            )


def default_folder() -> Path:
    """Name the folder of plans: ``$WETREAD_TENSORRT_CACHE``, else in the user's cache folder."""
    if named := os.environ.get(_FOLDER_VARIABLE):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "wetread" / "tensorrt"


def _problem(recipe: Recipe, plan: bytes, sidecar: Path) -> str | None:
    """Say why a plan is not the one its sidecar describes, or None."""
    try:
        said = json.loads(sidecar.read_bytes())
        digest, facts = said["sha256"], said["recipe"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"its sidecar cannot be read ({error})"
    if facts != recipe.facts():
        return "its sidecar describes another plan"
    found = hashlib.sha256(plan).hexdigest()
    return None if found == digest else f"its sha256 is {found}, its sidecar says {digest}"


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole, or not at all, whenever the power goes."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


__all__ = ["FORM", "SET_ASIDE", "PlanCache", "Recipe", "default_folder"]
