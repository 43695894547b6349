"""What a package's model is called on a server."""

from __future__ import annotations

from engines.package import Package

DIGEST = "wetread_sha256"
"""Parameter of a model's configuration: hex SHA-256 of the ONNX file it was made from."""

VERSION = "1"
"""Version asked for: each version of a package is a model of its own on the server."""


def served_name(package: Package) -> str:
    """Name of a package's model on a server, such as ``ct-lungs-1.0.0``.

    Plans keep the version they were made with, so two versions of a package must be
    served side by side, and a server's versions share one configuration.
    """
    return f"{package.name}-{package.version}".replace("+", "_")


__all__ = ["DIGEST", "VERSION", "served_name"]
