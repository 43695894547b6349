"""Two passes: a coarse one that finds where to look, and a fine one that looks there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from engines.api import Box
from engines.catalogue import Catalogue
from engines.errors import PackageError
from engines.package import Package
from engines.package.manifest import Coarse
from engines.tasks.region import found
from engines.types import Provenance, Result, SegmentationResult, Volume

Run = Callable[[Package, Box | None], tuple[Result, Provenance]]
"""Runs a package over the images in hand, or over a region of them."""


@dataclass(frozen=True)
class CoarsePass:
    """What a package asks for before it is run.

    Parameters
    ----------
    package
        Finds the region.
    coarse
        The manifest's ``infer.coarse``.
    """

    package: Package
    coarse: Coarse

    def then(self, fine: Package, first: Volume, run: Run) -> tuple[Result, Provenance]:
        """Run both passes.

        Parameters
        ----------
        fine
            The package that asks for it.
        first
            The image whose grid the result has.
        run
            Runs a package.

        Raises
        ------
        PackageError
            If the first pass gives no labels.
        """
        said, by = run(self.package, None)
        if not isinstance(said, SegmentationResult):
            raise PackageError(f"coarse package {by.model} of {fine.name} gives no labels")
        grid = first.grid
        region = found(said.labelmap, grid, self.coarse.labels, self.coarse.margin_mm)
        before = [f"coarse pass: {note}" for note in by.notes]
        name = f"coarse pass by {by.model} {by.version}"
        if region is None:
            nothing = SegmentationResult(np.zeros(grid.shape, np.uint8), fine.labels, ())
            note = f"{name} found nothing: no fine pass"
            sha256 = fine.manifest.model.sha256
            made = replace(by, model=fine.name, version=fine.version, weights_sha256=sha256)
            return nothing, replace(made, notes=(*before, note))
        result, provenance = run(fine, region)
        sizes = [part.stop - part.start for part in region]
        share = np.prod(sizes) / np.prod(grid.shape)
        note = (
            f"{name}: fine pass on {' × '.join(map(str, sizes))} voxels, {share:.0%} of the image"
        )
        notes = (*before, note, *provenance.notes)
        return result, replace(provenance, seconds=by.seconds + provenance.seconds, notes=notes)


def coarse_pass(package: Package, catalogue: Catalogue) -> CoarsePass | None:
    """Say which pass comes first; None where there is one only.

    Raises
    ------
    PackageError
        If the package that finds the region is not there.
    """
    coarse = package.manifest.infer.coarse
    if coarse is None:
        return None
    if coarse.spacing_mm is not None:
        return CoarsePass(package.at_spacing(coarse.spacing_mm), coarse)
    # Without a coarse pass of its own: two packages cannot wait for each other.
    return CoarsePass(catalogue.get(str(coarse.package)), coarse)


__all__ = ["CoarsePass", "coarse_pass"]
