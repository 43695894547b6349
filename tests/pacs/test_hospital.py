"""The main job against a real PACS, both ways, with the shipped models on real images.

The PACS routes every study to the node as soon as it is stable, and again each time
something is added to it: the node's own results included.
"""

from __future__ import annotations

from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread

from node.config.destination import DimseDestination
from node.deliver import scu
from node.dicom.image import read_image
from node.dicom.volume import read_series
from node.domain import ObjectForm, ResultKind, StudyState, derived_uid
from node.store.files import result_folder
from node.work.product import load_product
from tests.builders.images import real_studies
from tests.builders.network import wait_until
from tests.builders.tools import assert_dcmqi_reads, objections, run_tool

pytestmark = [pytest.mark.pacs, pytest.mark.data]

EXPECTED = {
    "chest CT": {ResultKind.SEG: 1, ResultKind.SR: 1, ResultKind.SC: 1, ResultKind.STATUS: 1},
    "chest radiograph": {
        ResultKind.SEG: 1,
        ResultKind.SR: 2,
        ResultKind.SC: 1,
        ResultKind.STATUS: 1,
    },
}
KIND_OF = {"SEG": ResultKind.SEG, "SR": ResultKind.SR, "OT": ResultKind.SC}


def kind_of(ds):
    """Which kind an object of the node is; a study's status is the one Enhanced SR."""
    if ds.SOPClassUID == ObjectForm.STATUS.sop_class_uid:
        return ResultKind.STATUS
    return KIND_OF[ds.Modality]


class Routed:
    """A real study that was stored in the PACS and has come back from the node."""

    def __init__(self, hospital, name, *, copy_to=None, wait=True):
        self.hospital = hospital
        self.files = real_studies()[name].files
        if copy_to is not None:
            self.files = with_new_uids(self.files, copy_to)
        self.uid = str(dcmread(self.files[0], stop_before_pixels=True).StudyInstanceUID)
        self.send()
        if wait:
            self.state = hospital.node.settled(self.uid)
            self.results = self.read_results()

    def send(self):
        """C-STORE the images to the PACS, as a modality does."""
        orthanc = DimseDestination(
            ae_title="ORTHANC", host="127.0.0.1", port=self.hospital.orthanc.port
        )
        refused = []
        scu.send(
            list(self.files),
            orthanc,
            "MODALITY",
            lambda _path, outcome: refused.append(outcome) if outcome.reason else None,
        )
        assert refused == []

    def read_results(self):
        """What the PACS lists under the study besides the images, as it gives it back."""
        sent = {str(dcmread(f, stop_before_pixels=True).SOPInstanceUID) for f in self.files}
        listed = self.hospital.orthanc.instances(self.uid)
        return [
            dcmread(BytesIO(self.hospital.orthanc.download(f"/instances/{identifier}/file")))
            for sop_instance_uid, identifier in listed.items()
            if sop_instance_uid not in sent
        ]

    def source(self):
        """The images as the node reads them."""
        return read_series(self.files) if len(self.files) > 1 else read_image(self.files[0])

    def one(self, modality):
        (found,) = [ds for ds in self.results if ds.Modality == modality]
        return found


@pytest.fixture(scope="module", params=["chest CT", "chest radiograph"])
def routed(request, hospital):
    """Each real study in turn."""
    return request.param, Routed(hospital, request.param)


def with_new_uids(files, folder):
    """The same images as another study, named after the folder."""
    copies = []
    for number, file in enumerate(files):
        ds = dcmread(file)
        ds.StudyInstanceUID = derived_uid(folder.name)
        ds.SeriesInstanceUID = derived_uid(folder.name, "series")
        ds.SOPInstanceUID = derived_uid(folder.name, str(number))
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        copies.append(folder / f"{number}.dcm")
        ds.save_as(copies[-1])
    return copies


def test_the_pacs_lists_every_result_under_the_right_study(routed):
    name, study = routed

    assert study.state is StudyState.DONE
    found = {}
    for ds in study.results:
        found[kind_of(ds)] = found.get(kind_of(ds), 0) + 1
    assert found == EXPECTED[name]


def test_nothing_is_processed_twice_when_the_pacs_routes_the_results_back(routed):
    _, study = routed
    node, orthanc = study.hospital.node, study.hospital.orthanc

    wait_until(
        lambda: node.stores.index.returned_count(study.uid) == len(study.results),
        within_s=60,
        what="every result was routed back to the node",
    )
    wait_until(
        lambda: not orthanc.jobs("Pending", "Running"), within_s=60, what="the router is idle"
    )

    assert node.stores.index.study(study.uid).state is StudyState.DONE
    assert [r.revision for r in node.stores.index.revisions(study.uid)] == [1]
    assert len(study.read_results()) == len(study.results)


def test_validators_accept_what_the_pacs_gives_back(routed, tmp_path):
    _, study = routed
    for number, ds in enumerate(study.results):
        path = tmp_path / f"{number}.dcm"
        ds.save_as(path, enforce_file_format=True)

        assert objections(path) == set()
        assert run_tool("dcmdump", path).returncode == 0
        if ds.Modality == "SR":
            assert run_tool("dsrdump", path).returncode == 0


def test_the_segmentation_is_the_engines_mask_to_the_voxel(routed, tmp_path):
    name, study = routed
    runs = study.hospital.node.stores.index.revision(study.uid, 1).plan.runs
    (number,) = [n for n, run in enumerate(runs) if run.model.endswith("-lungs")]
    product = study.hospital.node.stores.files.path(
        f"{result_folder(study.uid, 1, number)}/result.npz"
    )
    result, _ = load_product(product)
    masks = [result.labelmap == label.value for label in result.labels]
    masks = [mask for mask in masks if mask.any()]
    path = tmp_path / "seg.dcm"
    study.one("SEG").save_as(path, enforce_file_format=True)

    assert masks, "the model found lungs"
    assert_highdicom_reads(path, masks, study.source())
    if name == "chest CT":
        out = tmp_path / "itk"
        out.mkdir()
        assert_dcmqi_reads(path, masks, study.source().volume.grid.affine, out)


def assert_highdicom_reads(path, masks, source):
    """Every frame of every source image, in the order of the k axis."""
    seg = hd.seg.segread(path)
    uids = [str(ds.SOPInstanceUID) for ds in source.datasets]
    for number, mask in enumerate(masks, 1):
        pixels = seg.get_pixels_by_source_instance(
            uids,
            segment_numbers=[number],
            ignore_spatial_locations=True,
            assert_missing_frames_are_empty=True,
        )
        assert np.array_equal(pixels[..., 0] > 0, mask)


def test_a_work_process_killed_inside_the_model_delivers_once(hospital, tmp_path):
    study = Routed(hospital, "chest CT", copy_to=tmp_path, wait=False)
    ledger = hospital.node.stores.ledger
    wait_until(
        lambda: any(step.step == "plan" for step in ledger.steps(study.uid, 1)),
        within_s=60,
        what="the plan, so that the model runs now",
    )

    hospital.node.process("work").kill()

    assert hospital.node.settled(study.uid) is StudyState.DONE
    assert sorted(ds.Modality for ds in study.read_results()) == ["OT", "SEG", "SR", "SR"]
    assert [r.revision for r in hospital.node.stores.index.revisions(study.uid)] == [1]


def test_a_receiver_killed_while_the_pacs_sends_loses_nothing(hospital, tmp_path):
    index, orthanc = hospital.node.stores.index, hospital.orthanc
    study = Routed(hospital, "chest CT", copy_to=tmp_path, wait=False)
    wait_until(lambda: index.study(study.uid), within_s=60, what="the first slice")

    receiver = hospital.node.process("receive")
    receiver.kill()
    receiver.wait(10)
    wait_until(hospital.node.answers, within_s=60, what="the receiver again")
    wait_until(lambda: not orthanc.jobs("Pending", "Running"), within_s=60, what="idle router")
    for job in orthanc.jobs("Failure"):
        orthanc.resubmit(job)

    wait_until(
        lambda: len(index.study_instances(study.uid)) == len(study.files),
        within_s=60,
        what="every slice",
    )
    wait_until(lambda: index.study(study.uid).state is StudyState.DONE, within_s=120, what="done")
    last = index.study(study.uid).revision
    assert hospital.node.settled(study.uid, revision=last) is StudyState.DONE
    # The last slices may come between the end of a revision and its plan: it reads them all then,
    # and the next revision repeats nothing.
    (whole,) = [
        row.revision
        for row in index.revisions(study.uid)
        if any(len(run.sop_instance_uids) == len(study.files) for run in row.plan.runs)
    ]
    assert whole in (last - 1, last)
    made = hospital.node.stores.ledger.deliveries(study.uid, whole)
    listed = [str(ds.SOPInstanceUID) for ds in study.read_results()]
    assert len(made) == 4
    assert {row.sop_instance_uid for row in made} <= set(listed)
    assert len(listed) == len(set(listed))
