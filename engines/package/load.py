"""From a folder to a package: everything wrong is reported at once, with its line."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from engines.errors import PackageError
from engines.package.base import code
from engines.package.consistency import problems
from engines.package.manifest import Manifest
from engines.package.source import Source
from engines.types import LATERALITIES, Label

MANIFEST = "manifest.yaml"
LARGEST_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True)
class Package:
    """A model package whose manifest is valid and whose model file is the one it names.

    Parameters
    ----------
    root
        The package folder, absolute.
    manifest
        The validated manifest.
    digest
        Hex SHA-256 over the model's hash and the manifest's bytes: what the package is.
    """

    root: Path
    manifest: Manifest = field(repr=False)
    digest: str

    @property
    def name(self) -> str:
        """Name by which rules run the model."""
        return self.manifest.metadata.name

    @property
    def version(self) -> str:
        """Semantic version."""
        return self.manifest.metadata.version

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.root / self.manifest.model.file

    @cached_property
    def labels(self) -> tuple[Label, ...]:
        """Every label a segmentation can give, by value."""
        entries = sorted(self.manifest.postprocess.labels.items())
        return tuple(
            Label(
                value,
                entry.name,
                code(entry.category),
                code(entry.type),
                entry.color,
                site=code(entry.site) if entry.site else None,
                laterality=LATERALITIES[entry.laterality] if entry.laterality else None,
            )
            for value, entry in entries
        )

    def where(self, *loc: str | int) -> str:
        """Say where a key of the manifest is: ``manifest.yaml:LINE: key.path``."""
        line, path = Source(_read_manifest(self.root).decode()).locate(loc)
        return f"{MANIFEST}:{line}: {path}"

    def batched(self, batch: int) -> Package:
        """Give the same package with another number of windows or slices per call."""
        infer = self.manifest.infer.model_copy(update={"batch": batch})
        return replace(self, manifest=self.manifest.model_copy(update={"infer": infer}))

    def at_spacing(self, spacing_mm: tuple[float, float, float]) -> Package:
        """Give the same network as a package of its own at another voxel spacing (k, j, i), mm.

        Its labels are neither cleaned nor measured.
        """
        manifest = self.manifest
        preprocess = manifest.preprocess.model_copy(update={"spacing_mm": spacing_mm})
        bare = {"steps": (), "measurements": ()}
        update = {
            "preprocess": preprocess,
            "infer": manifest.infer.model_copy(update={"coarse": None}),
            "postprocess": manifest.postprocess.model_copy(update=bare),
        }
        return replace(self, manifest=manifest.model_copy(update=update))

    def read_model(self) -> bytes:
        """Read the model file and check that it is the one the manifest names.

        Run what this returns, not the path: the file may change after the check.

        Raises
        ------
        PackageError
            If the file cannot be read or has another hash.
        """
        file, expected = self.manifest.model.file, self.manifest.model.sha256
        try:
            content = self.model_path.read_bytes()
        except OSError as error:
            raise PackageError(f"{self.name}: {file}: {error.strerror}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != expected:
            raise PackageError(
                f"{self.name}: {file}: sha256 is {found}, the manifest says {expected}"
            )
        return content


def load_package(root: Path) -> Package:
    """Load a package folder and check it completely, but for running the graph.

    Parameters
    ----------
    root
        Folder with a ``manifest.yaml``.

    Returns
    -------
    Package
        Frozen; nothing of it is read again but the model file and self-test cases.

    Raises
    ------
    PackageError
        One line ``manifest.yaml:LINE: key.path: problem`` for everything that is wrong.
    """
    root = root.resolve()
    content = _read_manifest(root)
    try:
        source = Source(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise PackageError(f"{MANIFEST}:1: document: is not UTF-8") from error
    if source.problems:
        raise PackageError(
            "\n".join(f"{MANIFEST}:{line}: {problem}" for line, problem in source.problems)
        )
    try:
        manifest = Manifest.model_validate(source.value)
    except ValidationError as error:
        found = [(item["loc"], item["msg"]) for item in error.errors()]
        raise PackageError(_report(source, found)) from error
    if found := [*problems(manifest), *_file_problems(root, manifest)]:
        raise PackageError(_report(source, found))
    digest = hashlib.sha256(manifest.model.sha256.encode() + content).hexdigest()
    return Package(root, manifest, digest)


def _read_manifest(root: Path) -> bytes:
    path = root / MANIFEST
    if not path.is_file():
        raise PackageError(f"{MANIFEST}: is missing in {root}")
    if not path.resolve().is_relative_to(root):
        raise PackageError(f"{MANIFEST}: lies outside the package folder")
    if path.stat().st_size > LARGEST_MANIFEST_BYTES:
        raise PackageError(f"{MANIFEST}: is larger than {LARGEST_MANIFEST_BYTES} bytes")
    return path.read_bytes()


def _report(source: Source, found: list[tuple[tuple[str | int, ...], str]]) -> str:
    placed = sorted((*source.locate(loc), problem) for loc, problem in found)
    return "\n".join(f"{MANIFEST}:{line}: {path}: {problem}" for line, path, problem in placed)


def _file_problems(root: Path, manifest: Manifest) -> list[tuple[tuple[str | int, ...], str]]:
    model = manifest.model
    found: list[tuple[tuple[str | int, ...], str]] = []
    for number, case in enumerate(manifest.selftest.cases):
        if problem := _path_problem(root, case):
            found.append((("selftest", "cases", number), problem))
    if problem := _path_problem(root, model.file):
        found.append((("model", "file"), problem))
    elif (actual := _sha256(root / model.file)) != model.sha256:
        problem = f"{model.file} has sha256 {actual}, the manifest says {model.sha256}"
        found.append((("model", "sha256"), problem))
    return found


def _path_problem(root: Path, name: str) -> str | None:
    """Say why a file named in the manifest cannot be used, or None."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.search(r"[\\:\0]", name):
        return f"{name!r} is not a plain path inside the package folder"
    target = (root / path).resolve()
    if not target.is_relative_to(root):
        return f"{name!r} leads outside the package folder"
    return None if target.is_file() else f"{name!r} is missing"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


__all__ = ["MANIFEST", "Package", "load_package"]
