"""Writing Segmentations: ours against a plain call of highdicom, in one run.

A CT of 300 slices of 512 × 512 with 1, 10 and 50 segments (ellipsoids with ragged edges). Each
writer runs in a process of its own, warm: it has written a small object before. Build and save,
peak resident memory above that of the idle process, size of the file; then both files are read
by pydicom alone and compared voxel by voxel.

    PYTHONPATH=. python benchmarks/seg_writing.py [--segments 1 10 50] [--rounds 3]
        [--cases BINARY-explicit LABELMAP-RLE …]
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import highdicom as hd
import numpy as np
import psutil
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

from engines.types import Code, Grid, Label, Provenance, SegmentationResult, Volume
from node.domain import ObjectForm, Packing, ResultContext, Source
from node.encode.base import encode
from node.encode.warm import warm_up
from tests.builders.ct import ct_series

SLICES, SIZE = 300, 512
WRITERS = {
    "BINARY": (ObjectForm.SEG_BINARY, hd.seg.SegmentationTypeValues.BINARY),
    "LABELMAP": (ObjectForm.SEG_LABELMAP, hd.seg.SegmentationTypeValues.LABELMAP),
}
CASES = {
    "BINARY-explicit": ExplicitVRLittleEndian,
    "LABELMAP-explicit": ExplicitVRLittleEndian,
    "LABELMAP-RLE": RLELossless,
    "LABELMAP-deflate": DeflatedExplicitVRLittleEndian,
}


def phantom(segments: int) -> np.ndarray:
    """Ellipsoids on a grid through the volume, edges ragged: uint8, axes (k, j, i)."""
    random = np.random.default_rng(0)
    labelmap = np.zeros((SLICES, SIZE, SIZE), dtype=np.uint8)
    j, i = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    for n in range(segments):
        angle, reach = 2.4 * n, 200 * np.sqrt(n / max(segments, 2))
        centre = (150, 256 + reach * np.sin(angle), 256 + reach * np.cos(angle))
        radius = 60 if segments == 1 else 24
        plane = ((j - centre[1]) / radius) ** 2 + ((i - centre[2]) / radius) ** 2
        plane += random.uniform(0, 0.05, plane.shape).astype(np.float32)
        for k in range(30, 270) if segments == 1 else range(150 - 60, 150 + 60):
            span = 120 if segments == 1 else 60
            inside = plane + ((k - centre[0]) / span) ** 2 < 1
            labelmap[k][inside] = n + 1
    return labelmap


def source() -> Source:
    """Headers of the CT; its voxels are never looked at."""
    headers = ct_series(slices=SLICES, rows=2, columns=2, spacing_mm=(1.0, 0.7, 0.7))
    for ds in headers:
        del ds.PixelData
        ds.Rows = ds.Columns = SIZE
    first = np.array(headers[0].ImagePositionPatient, dtype=float)
    affine = np.eye(4)
    affine[:3, :3] = np.diag([0.7, 0.7, 1.0])[:, ::-1]
    affine[:3, 3] = first
    grid = Grid((SLICES, SIZE, SIZE), affine)
    voxels = np.broadcast_to(np.float32(0), grid.shape)
    return Source(Volume(voxels, grid, "CT"), tuple(headers))


def context(headers: Source) -> ResultContext:
    """Of a research package."""
    return ResultContext(
        study_instance_uid=str(headers.datasets[0].StudyInstanceUID),
        revision=1,
        run_key="",
        made_at=datetime(2026, 1, 1, tzinfo=UTC),
        provenance=Provenance("bench", "1", "0" * 64, "none", "cpu", 0.0),
        kinds=(),
        title="Benchmark",
        intended_use="None",
        content_qualification="RESEARCH",
        series_description="Benchmark",
        prefix="AI",
        series_number=1,
        node_version="0",
        config_digest="",
        institution_name=None,
        device_serial_number="0",
        device_uid="2.25.1",
    )


def labels(segments: int) -> tuple[Label, ...]:
    """One label per segment."""
    organ = Code("123037004", "SCT", "Anatomical Structure")
    return tuple(Label(n, f"Organ {n}", organ, organ, (200, n, 90)) for n in range(1, segments + 1))


def write_ours(labelmap: np.ndarray, what: str, syntax: str, path: Path) -> tuple[float, float]:
    """Encode and save as the node does; seconds of either."""
    form, _ = WRITERS[what]
    result = SegmentationResult(labelmap, labels(int(labelmap.max())), ())
    images = source()
    started = time.perf_counter()
    packing = Packing(transfer_syntax_uid=syntax)
    (encoded,) = encode(result, images, context(images), [form], packing=packing)
    built = time.perf_counter()
    with path.open("wb") as stream:
        stream.writelines(encoded.chunks())
    return built - started, time.perf_counter() - built


def write_highdicom(
    labelmap: np.ndarray, what: str, syntax: str, path: Path
) -> tuple[float, float]:
    """Call highdicom's constructor and pydicom's save_as; seconds of either."""
    _, kind = WRITERS[what]
    images: list[Dataset] = list(source().datasets)
    started = time.perf_counter()
    organ = hd.sr.CodedConcept("123037004", "SCT", "Anatomical Structure")
    dataset = hd.seg.Segmentation(
        source_images=images,
        pixel_array=labelmap,
        segmentation_type=kind,
        segment_descriptions=[
            hd.seg.SegmentDescription(
                segment_number=label.value,
                segment_label=label.name,
                segmented_property_category=organ,
                segmented_property_type=organ,
                algorithm_type="MANUAL",
            )
            for label in labels(int(labelmap.max()))
        ],
        series_instance_uid=hd.UID(),
        series_number=1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="Bench",
        manufacturer_model_name="Bench",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=syntax,
    )
    built = time.perf_counter()
    dataset.save_as(path)
    return built - started, time.perf_counter() - built


def measure(
    write: Callable[[np.ndarray, str, str, Path], tuple[float, float]],
    segments: int,
    what: str,
    syntax: str,
    path: Path,
    answers: multiprocessing.SimpleQueue,
) -> None:
    """Write once warm, in this process, watching its memory."""
    labelmap = phantom(segments)
    warm_up()
    small = np.zeros_like(labelmap)
    small[:2] = labelmap.max()
    write_highdicom(small, what, ExplicitVRLittleEndian, path)
    process = psutil.Process()
    idle, peak, done = process.memory_info().rss, [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds = write(labelmap, what, syntax, path)
    done.set()
    watcher.join()
    answers.put((*seconds, max(0, peak[0] - idle) / 1e6, path.stat().st_size / 1e6))


def decoded(path: Path, what: str) -> np.ndarray:
    """Read a file with pydicom: label map on the source's slices, axes (k, j, i)."""
    ds = dcmread(path)
    places = {str(image.SOPInstanceUID): k for k, image in enumerate(source().datasets)}
    labelmap = np.zeros((SLICES, SIZE, SIZE), dtype=np.uint8)
    frames = ds.pixel_array.reshape(-1, SIZE, SIZE)
    for frame, groups in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True):
        image = groups.DerivationImageSequence[0].SourceImageSequence[0]
        plane = labelmap[places[str(image.ReferencedSOPInstanceUID)]]
        if what == "BINARY":
            # highdicom says it once where there is one segment.
            shared = ds.SharedFunctionalGroupsSequence[0]
            owner = groups if "SegmentIdentificationSequence" in groups else shared
            segment = owner.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            plane[frame > 0] = segment
        else:
            plane[:] = frame
    return labelmap


def run(write: Callable[..., object], *arguments: object) -> tuple[float, float, float, float]:
    """Measure in a fresh process."""
    answers = multiprocessing.get_context("spawn").SimpleQueue()
    process = multiprocessing.get_context("spawn").Process(
        target=measure, args=(write, *arguments, answers)
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    return answers.get()


def main() -> None:
    """Print one row for each writer, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    arguments = parser.parse_args()
    print(f"{'segments':>8} {'type':<9} {'syntax':<9} {'writer':<9} "
          f"{'build s':>8} {'save s':>7} {'memory MB':>10} {'file MB':>8}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for segments in arguments.segments:
            for case in arguments.cases:
                compare(segments, case, Path(folder), arguments.rounds)


def compare(segments: int, case: str, folder: Path, rounds: int) -> None:
    """Alternate both writers and print their medians."""
    (what, name), syntax = case.split("-"), CASES[case]
    paths = {write_highdicom: folder / "highdicom.dcm", write_ours: folder / "ours.dcm"}
    peer = ExplicitVRLittleEndian if syntax == DeflatedExplicitVRLittleEndian else syntax
    rows: dict[Callable[..., object], list[tuple[float, ...]]] = {one: [] for one in paths}
    for _ in range(rounds):
        for write, path in paths.items():
            used = syntax if write is write_ours else peer
            rows[write].append(run(write, segments, what, used, path))
    medians = {}
    for write, found in rows.items():
        medians[write] = [statistics.median(column) for column in zip(*found, strict=True)]
        build, save, memory, size = medians[write]
        writer = "ours" if write is write_ours else "highdicom"
        print(f"{segments:>8} {what:<9} {name:<9} {writer:<9} "
              f"{build:>8.2f} {save:>7.2f} {memory:>10.0f} {size:>8.1f}")  # fmt: skip
    theirs, ours = medians[write_highdicom], medians[write_ours]
    same = np.array_equal(*(decoded(path, what) for path in paths.values()))
    print(f"{'':>8} {sum(theirs[:2]) / sum(ours[:2]):.1f} × as fast, "
          f"{ours[2] / max(theirs[2], 1e-9):.2f} of the memory, "
          f"voxels {'equal' if same else 'DIFFERENT'}")  # fmt: skip
    sys.stdout.flush()
    assert same


if __name__ == "__main__":
    main()
