"""The model packages in a folder: found by name and version, and what each asks of others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engines import registry
from engines.errors import PackageError
from engines.package import MANIFEST, Package, load_package


@dataclass(frozen=True)
class Catalogue:
    """What a folder of model packages holds.

    Parameters
    ----------
    packages
        Every good package, by name, oldest version first.
    errors
        Folder name → what is wrong with the package in it.
    """

    packages: tuple[Package, ...]
    errors: dict[str, PackageError]

    def get(self, name: str, version: str | None = None) -> Package:
        """Return one package; without a version, the newest.

        A pre-release is only newest where there is nothing else.

        Raises
        ------
        PackageError
            If there is none; the message lists what there is.
        """
        named = [package for package in self.packages if package.name == name]
        fitting = [package for package in named if version in (None, package.version)]
        if not fitting:
            known = ", ".join(f"{each.name}@{each.version}" for each in named or self.packages)
            wanted = name if version is None else f"{name}@{version}"
            raise PackageError(f"no model package {wanted}; installed: {known or 'none'}")
        released = [package for package in fitting if "-" not in package.version.split("+")[0]]
        return (released or fitting)[-1]

    def with_others(self, names: Iterable[str]) -> list[str]:
        """Give names of packages, and of the gates and coarse passes that they ask, sorted."""
        found = set(names)
        for name in tuple(found):
            found |= set(asked_by(self.get(name)).values())
        known = {package.name for package in self.packages}
        return sorted(found & known)


def asked_by(package: Package) -> dict[tuple[str, ...], str]:
    """Name the other packages that a package's runs need, each under the manifest's key."""
    manifest = package.manifest
    found: dict[tuple[str, ...], str] = {}
    if manifest.gate is not None:
        found["gate", "package"] = manifest.gate.package
    if manifest.infer.coarse is not None and manifest.infer.coarse.package is not None:
        found["infer", "coarse", "package"] = manifest.infer.coarse.package
    return found


def packages(models_dir: Path) -> Catalogue:
    """Load every package folder in a folder; a bad one does not stop the others.

    A folder counts as a package if it has a manifest or an ONNX file.

    Raises
    ------
    PackageError
        If `models_dir` is not a folder.
    """
    if not models_dir.is_dir():
        raise PackageError(f"{models_dir} is not a folder")
    good: dict[tuple[str, str], Package] = {}
    errors: dict[str, PackageError] = {}
    for folder in sorted(models_dir.iterdir()):
        if folder.name.startswith(".") or not _is_package(folder):
            continue
        try:
            package = load_package(folder)
            registry.task(package.manifest.model.task)
        except PackageError as error:
            errors[folder.name] = error
            continue
        first = good.setdefault((package.name, package.version), package)
        if first is not package:
            identity = f"{package.name}@{package.version}"
            errors[folder.name] = PackageError(f"{identity} is already in {first.root.name}")
    ordered = sorted(good.values(), key=lambda package: (package.name, _order(package.version)))
    return Catalogue(tuple(ordered), errors)


def _is_package(folder: Path) -> bool:
    return folder.is_dir() and ((folder / MANIFEST).exists() or any(folder.glob("*.onnx")))


def _order(version: str) -> tuple[object, ...]:
    """Sort key of a semantic version (semver.org, item 11)."""
    core, _, pre = version.split("+")[0].partition("-")
    return (*(int(part) for part in core.split(".")), pre == "", tuple(_identifiers(pre)))


def _identifiers(pre: str) -> Iterator[tuple[bool, int, str]]:
    for part in pre.split("."):
        yield (False, int(part), "") if part.isdigit() else (True, 0, part)


__all__ = ["Catalogue", "asked_by", "packages"]
