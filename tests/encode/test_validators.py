"""Tools that others wrote read what we write, and object to nothing but what we explain."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from node.domain import ResultKind
from node.encode.base import encode
from tests.builders.tools import allowed_messages, assert_dcmqi_reads, objections, run_tool
from tests.encode.conftest import (
    OBLIQUE,
    SOURCES,
    lungs,
    make_context,
    make_source,
    view_of,
)

pytestmark = pytest.mark.pacs


def save(encoded, folder: Path):
    paths = {}
    for one in encoded:
        paths[one.kind] = folder / f"{one.kind.value}.dcm"
        one.dataset.save_as(paths[one.kind], enforce_file_format=True)
    return paths


RESULTS = {
    "both found": lambda source: lungs(source),
    "one missing": lambda source: lungs(source, left=False),
    "nothing found": lambda source: lungs(source, left=False, right=False),
    "class": lambda source: view_of("PA"),
    "abstained": lambda source: view_of(None),
}


@pytest.mark.parametrize("what", RESULTS)
@pytest.mark.parametrize("kind", SOURCES)
def test_no_validator_objects(kind, what, tmp_path):
    source = make_source(kind, tmp_path / "source")
    result = RESULTS[what](source)
    kinds = (ResultKind.SEG, ResultKind.SR, ResultKind.SC)
    wanted = kinds if hasattr(result, "labelmap") else kinds[1:]
    paths = save(encode(result, source, make_context(source, kinds=wanted)), tmp_path)

    for path in paths.values():
        assert objections(path) == set()
    assert run_tool("dsrdump", paths[ResultKind.SR]).returncode == 0
    metadata = tmp_path / "metadata.json"
    read = run_tool(
        "tid1500reader", "--inputDICOM", paths[ResultKind.SR], "--outputMetadata", metadata
    )
    assert read.returncode == 0, read.stderr
    if shutil.which("DicomSRValidator"):
        said = run_tool("DicomSRValidator", paths[ResultKind.SR])
        lines = (said.stdout + said.stderr).splitlines()
        assert {line for line in lines if line.startswith("Error")} <= allowed_messages()


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("ct", {}),
        ("ct", {"orientation": OBLIQUE}),
        ("ct", {"slices": 2}),
        ("enhanced", {}),
    ],
    ids=["axial", "oblique", "two slices", "multi-frame"],
)
def test_dcmqi_reads_back_every_voxel_at_its_place(kind, changes, tmp_path):
    source = make_source(kind, tmp_path / "source", **changes)
    result = lungs(source)
    context = make_context(source, kinds=(ResultKind.SEG,))
    (path,) = save(encode(result, source, context), tmp_path).values()

    out = tmp_path / "itk"
    out.mkdir()
    values = sorted(label.value for label in result.labels)
    masks = [result.labelmap == value for value in values]
    assert_dcmqi_reads(path, masks, source.volume.grid.affine, out)


def test_the_validator_does_object_to_a_broken_object(tmp_path):
    source = make_source("ct", tmp_path / "source")
    (encoded,) = encode(lungs(source), source, make_context(source, kinds=(ResultKind.SEG,)))
    del encoded.dataset.SegmentSequence[0].SegmentLabel
    (path,) = save([encoded], tmp_path).values()

    assert any("SegmentLabel" in line for line in objections(path))
