"""Tools that others wrote read what we write, and object to nothing but what we explain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import RLELossless

from engines.types import ImageResult
from node.domain import ObjectForm, Packing, ResultKind
from node.encode.base import encode, possible_forms
from tests.builders.tools import (
    JAVA_WITHOUT_XPATH_LIMITS,
    allowed_messages,
    assert_dcmqi_reads,
    objections,
    run_tool,
)
from tests.encode.conftest import (
    OBLIQUE,
    SOURCES,
    lungs,
    make_context,
    make_source,
    view_of,
    with_probabilities,
)
from tests.encode.nrrd import read_nrrd

pytestmark = pytest.mark.pacs


def save(encoded, folder: Path):
    paths = {}
    for one in encoded:
        paths[one.kind] = folder / f"{one.kind.value}.dcm"
        paths[one.kind].write_bytes(b"".join(one.chunks()))
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


@pytest.mark.parametrize("kind", ["ct", "enhanced", "CR"])
def test_no_validator_objects_to_any_form(kind, tmp_path):
    source = make_source(kind, tmp_path / "source")
    result = with_probabilities(lungs(source))
    image = ImageResult(source.volume.voxels, "Denoised")
    made = encode(result, source, make_context(source), possible_forms(result, source))
    made += encode(image, source, make_context(source), possible_forms(image, source))[:1]

    paths = []
    for number, one in enumerate(made):
        paths.append(tmp_path / f"{number}-{one.form.value}.dcm")
        paths[-1].write_bytes(b"".join(one.chunks()))
    for path in paths:
        assert objections(path) == set(), path.name
        read = run_tool("dcm2json", path, tmp_path / "out.json")
        # DCMTK of Debian 12 does not know Label Map Segmentation, but reads every element.
        assert read.returncode == 0, (path.name, read.stderr)
    originals = sorted((tmp_path / "source").iterdir())
    together = run_tool("dcentvfy", *originals, *paths)
    study = str(source.datasets[0].StudyInstanceUID)
    said = {
        line.partition(" for file")[0].replace(study, "{StudyInstanceUID}")
        for line in (together.stdout + together.stderr).splitlines()
        if line.startswith("Error") and not any(str(each) in line for each in originals)
    }
    assert said - allowed_messages() == set()


def test_dcmqi_reads_a_label_map_in_runs(tmp_path):
    source = make_source("ct", tmp_path / "source")
    result = lungs(source)
    (one,) = encode(
        result,
        source,
        make_context(source),
        [ObjectForm.SEG_LABELMAP],
        packing=Packing(transfer_syntax_uid=RLELossless),
    )
    path = tmp_path / "labelmap.dcm"
    path.write_bytes(b"".join(one.chunks()))
    out = tmp_path / "itk"
    out.mkdir()
    read = run_tool(
        "segimage2itkimage", "--inputDICOM", path, "--outputDirectory", out, "-t", "nrrd"
    )
    assert read.returncode == 0, read.stderr
    voxels = [read_nrrd(each).voxels for each in sorted(out.glob("*.nrrd"))]
    assert sum(np.count_nonzero(each) for each in voxels) == np.count_nonzero(result.labelmap)


@pytest.mark.parametrize("form", [ObjectForm.SR_3D, ObjectForm.SR_2D])
def test_pixelmeds_validator_does_not_object_to_reports(form, tmp_path):
    source = make_source("ct", tmp_path / "source")
    beside = [ObjectForm.SEG_BINARY]
    (one,) = encode(lungs(source), source, make_context(source), [form], beside=beside)
    path = tmp_path / "report.dcm"
    path.write_bytes(b"".join(one.chunks()))

    said = run_tool("DicomSRValidator", path, environment=JAVA_WITHOUT_XPATH_LIMITS)
    lines = (said.stdout + said.stderr).splitlines()
    assert any(line.startswith("Found") for line in lines), lines[-3:]
    assert {line for line in lines if line.startswith("Error")} <= allowed_messages()
