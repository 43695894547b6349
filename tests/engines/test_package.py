"""Loading model packages: what an administrator is told."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml

from engines.checks import checks, verify
from engines.errors import PackageError
from engines.package import load_package, manifest_json_schema
from engines.types import Code
from tests.engines import builders


def refused(folder: Path) -> list[str]:
    with pytest.raises(PackageError) as caught:
        load_package(folder)
    return str(caught.value).splitlines()


def line_of(folder: Path, text: str) -> int:
    lines = (folder / "manifest.yaml").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


@pytest.fixture
def folder(tmp_path):
    return builders.write_package(
        tmp_path / "tiny", builders.manifest(), builders.network(kind="threshold")
    )


def rewrite(folder: Path, old: str, new: str) -> None:
    path = folder / "manifest.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_package_knows_its_name_version_model_and_labels(folder):
    package = load_package(folder)

    assert (package.name, package.version) == ("tiny", "1.0.0")
    assert package.model_path == folder / "model.onnx"
    (label,) = package.labels
    assert (label.value, label.name, label.color) == (1, "lung", (120, 180, 240))
    assert (label.type.scheme, label.type.value, label.type.meaning) == ("SCT", "39607008", "Lung")


def test_a_label_knows_its_site_and_side(tmp_path):
    lung = {**builders.LUNG, "site": ["SCT", "45653009", "Upper lobe of lung"]}
    content = builders.manifest(postprocess__labels={1: {**lung, "laterality": "left"}})
    folder = builders.write_package(tmp_path / "t", content, builders.network())
    (label,) = load_package(folder).labels

    assert label.site == Code("45653009", "SCT", "Upper lobe of lung")
    assert label.laterality == Code("7771000", "SCT", "Left")


def test_a_side_without_a_site_is_refused(tmp_path):
    content = builders.manifest(postprocess__labels={1: {**builders.LUNG, "laterality": "left"}})
    folder = builders.write_package(tmp_path / "t", content, builders.network())
    (line,) = refused(folder)
    assert "postprocess.labels.1.laterality" in line


def test_the_digest_changes_with_the_manifest_and_not_with_the_place(folder, tmp_path):
    first = load_package(folder).digest
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    assert load_package(elsewhere).digest == first

    rewrite(elsewhere, "title: Tiny", "title: Tiny but new")
    assert load_package(elsewhere).digest != first


def test_every_mistake_is_reported_at_once_with_its_line_and_path(folder):
    rewrite(folder, "version: 1.0.0", "version: one")
    rewrite(folder, "ndim: 3", "ndim: 4")
    rewrite(folder, "mode: whole", "mood: whole")

    lines = refused(folder)

    assert len(lines) == 4
    assert lines[0].startswith(
        f"manifest.yaml:{line_of(folder, 'version: one')}: metadata.version: "
    )
    assert lines[1].startswith(f"manifest.yaml:{line_of(folder, 'ndim: 4')}: model.ndim: ")
    assert f"manifest.yaml:{line_of(folder, 'infer:')}: infer.mode: Field required" in lines
    mood = line_of(folder, "mood:")
    assert f"manifest.yaml:{mood}: infer.mood: Extra inputs are not permitted" in lines


@pytest.mark.parametrize(
    ("changes", "path", "says"),
    [
        ({"postprocess__labels": {}}, "postprocess.labels", "task segment needs labels"),
        ({"infer__mode": "sliding_window"}, "infer.patch", "sliding_window needs patch"),
        ({"infer__mode": "slice"}, "infer.mode", "slice needs a graph of ndim 2"),
        ({"infer__overlap": 0.5}, "infer.overlap", "only mode sliding_window has overlap"),
        ({"model__ndim": 2}, "model.inputs.0.layout", "layout NCHW, not NCDHW"),
        ({"preprocess__resize": {"size": [8, 8]}}, "preprocess.resize", "takes spacing_mm"),
        ({"postprocess__activation": "none"}, "postprocess.activation", "needs softmax or sigmoid"),
        (
            {"postprocess__labels": {2: builders.LUNG}},
            "postprocess.labels.2",
            "gives labels 1 … 1, not 2",
        ),
        (
            {"postprocess__steps": [{"fill_holes": {"labels": [7]}}]},
            "postprocess.steps.0.fill_holes",
            "label 7 is not among",
        ),
        (
            {"postprocess__steps": [{"fill_holes": {"labels": [1]}, "min_volume_ml": {1: 2}}]},
            "postprocess.steps.0",
            "exactly one key",
        ),
        (
            {"preprocess__normalize": [{"kind": "window", "a_min": 1, "a_max": 1}]},
            "preprocess.normalize.0.a_max",
            "greater than a_min",
        ),
        (
            {"preprocess__normalize": [{"kind": "minmax", "b_min": 1, "b_max": 0}]},
            "preprocess.normalize.0.b_max",
            "greater than b_min",
        ),
        (
            {"model__precision": {"allowed": ["fp32", "int8"], "default": "fp16"}},
            "model.precision.default",
            "fp16 is not among allowed: fp32, int8",
        ),
        (
            {"preprocess__normalize": [{"kind": "percentile", "lower": 99, "upper": 1}]},
            "preprocess.normalize.0.upper",
            "greater than lower",
        ),
        ({"output__dicom": ["SR", "DERIVED"]}, "output.dicom.1", "labels are no image"),
        ({"output__dicom": ["PM"]}, "output.dicom.0", "set probabilities: true"),
        ({"output__dicom": ["SR", "SR"]}, "output.dicom", "SR is named twice"),
        ({"postprocess__concept": ["A", "B", "C"]}, "postprocess.concept", "has no concept"),
        ({"model__file": "../model.onnx"}, "model.file", "not a plain path inside"),
        ({"model__file": "/etc/passwd"}, "model.file", "not a plain path inside"),
        ({"selftest__cases": ["selftest/none.npz"]}, "selftest.cases.0", "is missing"),
    ],
)
def test_a_contradiction_names_its_key(tmp_path, changes, path, says):
    folder = builders.write_package(
        tmp_path / "tiny", builders.manifest(**changes), builders.network(kind="threshold")
    )
    assert any(f": {path}: " in line and says in line for line in refused(folder))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"postprocess__classes": []}, "0 classes for an output of 2 channels"),
        ({"postprocess__concept": None}, "needs concept"),
        ({"infer__mode": "slice"}, "runs in mode whole"),
        ({"output__dicom": ["SEG"]}, "a class cannot be written as SEG"),
        ({"output__probabilities": True}, "only task segment keeps probabilities"),
        ({"postprocess__labels": {1: builders.LUNG}}, "task classify has no labels"),
        ({"postprocess__abstain": [0.6, 0.4]}, "the band is [lowest, highest]"),
    ],
)
def test_a_classifiers_contradiction_is_found(tmp_path, changes, says):
    content = builders.manifest(task="classify", ndim=2, **changes)
    folder = builders.write_package(tmp_path / "t", content, builders.network(ndim=2, kind="mean"))
    assert any(says in line for line in refused(folder))


def test_names_of_labels_are_unique(tmp_path):
    labels = {1: builders.LUNG, 2: builders.LUNG}
    content = builders.manifest(postprocess__labels=labels)
    content["model"]["outputs"][0]["channels"] = 3
    folder = builders.write_package(tmp_path / "t", content, builders.network())
    assert any("label name 'lung' is used twice" in line for line in refused(folder))


@pytest.mark.parametrize("value", [".nan", ".inf", "yes", "'1'"])
def test_a_number_is_a_finite_number(folder, value):
    rewrite(folder, "series_description: tiny", "series_description: tiny\nruntime: {timeout_s: 1}")
    rewrite(folder, "timeout_s: 1", f"timeout_s: {value}")
    (line,) = refused(folder)
    assert ": runtime.timeout_s: " in line


def test_a_key_given_twice_is_an_error_with_both_lines(folder):
    rewrite(folder, "  title: Tiny", "  title: Tiny\n  title: Other")
    (line,) = refused(folder)
    first = line_of(folder, "title: Tiny")
    assert line == f"manifest.yaml:{first + 1}: title: is already in line {first}"


def test_aliases_are_refused_before_they_unfold(folder):
    rewrite(folder, "title: Tiny", "title: &a Tiny")
    rewrite(folder, "license: Apache-2.0", "license: *a")
    (line,) = refused(folder)
    assert (
        line
        == f"manifest.yaml:{line_of(folder, '*a')}: aliases are not allowed; write the value out"
    )


@pytest.mark.parametrize("text", ["a: [", "a: !!python/object:os.system {}", "a: ?!", "\t"])
def test_yaml_that_is_none_is_an_error_with_a_line(folder, text):
    (folder / "manifest.yaml").write_text(text)
    assert all(line.startswith("manifest.yaml:1: ") for line in refused(folder))


@pytest.mark.parametrize("text", ["", "[]", "just text", "3"])
def test_a_manifest_that_is_no_mapping_is_refused(folder, text):
    (folder / "manifest.yaml").write_text(text)
    (line,) = refused(folder)
    assert line.startswith("manifest.yaml:1: document: ")


def test_another_model_file_is_refused_with_both_hashes(folder):
    expected = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "model.onnx").write_bytes(b"other")
    (line,) = refused(folder)
    assert ": model.sha256: " in line
    assert hashlib.sha256(b"other").hexdigest() in line
    assert expected in line


def test_a_link_out_of_the_package_is_refused(folder, tmp_path):
    outside = tmp_path / "outside.onnx"
    (folder / "model.onnx").rename(outside)
    (folder / "model.onnx").symlink_to(outside)
    (line,) = refused(folder)
    assert "leads outside the package folder" in line


def test_a_model_changed_after_loading_is_not_run(folder):
    package = load_package(folder)
    (folder / "model.onnx").write_bytes(builders.network())
    with pytest.raises(PackageError, match="the manifest says"):
        package.read_model()


def test_the_schema_describes_every_field():
    schema = manifest_json_schema()
    sections = [each for each in [schema, *schema["$defs"].values()] if "properties" in each]
    fields = [field for section in sections for field in section["properties"].items()]
    assert len(fields) > 60
    assert [name for name, field in fields if "description" not in field] == []
    assert all(section.get("additionalProperties") is False for section in sections)


def with_case(folder: Path, given, expected) -> None:
    np.savez(folder / "case.npz", input=given, output=expected)
    content = yaml.safe_load((folder / "manifest.yaml").read_text())
    content["selftest"] = {"cases": ["case.npz"], "tolerance": {"max_abs": 1e-3}}
    (folder / "manifest.yaml").write_text(yaml.safe_dump(content))


def test_a_package_that_gives_its_known_answers_verifies(folder):
    image = builders.noise(1, 1, 3, 4, 5)
    with_case(folder, image, np.concatenate([image * 0, 20 * image - 10], axis=1))
    assert verify(load_package(folder)) == []


def test_a_package_that_gives_other_answers_says_by_how_much(folder):
    image = np.ones((1, 1, 3, 4, 5), np.float32)
    with_case(folder, image, np.concatenate([image * 0, image * 10.5], axis=1))
    (finding,) = verify(load_package(folder))
    line = line_of(folder, "- case.npz")
    assert finding == (
        f"manifest.yaml:{line}: selftest.cases.0: case.npz: the output is off by 0.5; "
        "0.001 is allowed"
    )


def test_a_pickle_in_a_self_test_is_a_finding_and_not_run(folder):
    with_case(folder, np.array([{"code": "any"}], dtype=object), np.zeros(1))
    (finding,) = verify(load_package(folder))
    assert "selftest.cases.0: case.npz: is not an npz with numeric arrays" in finding


def test_a_package_without_cases_says_so(folder):
    (finding,) = verify(load_package(folder))
    assert "has no cases" in finding


def test_a_graph_that_differs_from_the_manifest_is_a_finding_per_difference(tmp_path):
    model = builders.network(ndim=2, channels=2, classes=2, name_out="other")
    package = builders.package(tmp_path / "t", model=model)
    where = f"manifest.yaml:{line_of(package.root, 'file: model.onnx')}: model.file"
    assert verify(package) == [
        f"{where}: input 'image' has 4 axes, not 5",
        f"{where}: has outputs 'other'; the manifest names 'logits'",
    ]


def test_operators_outside_the_standard_are_refused(tmp_path):
    package = builders.package(tmp_path / "t", model=builders.network(domain="com.example"))
    (finding,) = verify(package)
    line = line_of(package.root, "file: model.onnx")
    assert finding == (
        f"manifest.yaml:{line}: model.file: uses operators outside the ONNX standard: com.example"
    )


def test_weights_in_other_files_are_refused(tmp_path):
    model = onnx.load_from_string(builders.network(kind="threshold"))
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "/etc/passwd")
    package = builders.package(tmp_path / "t", model=model.SerializeToString())
    (finding,) = verify(package)
    assert "keeps weights in other files" in finding


@pytest.mark.parametrize("content", [b"no model", b"", b"\xff" * 40, b"\x3a\x7f"])
def test_a_file_that_is_no_graph_is_refused(tmp_path, content):
    package = builders.package(tmp_path / "t", model=content or b" ")
    assert verify(package)


def test_a_model_file_changed_after_loading_is_a_finding_at_its_hash(folder):
    package = load_package(folder)
    (folder / "model.onnx").write_bytes(builders.network())

    (check,) = checks(package)

    assert check.name == "hash"
    (finding,) = check.findings
    line = line_of(folder, "sha256:")
    assert finding.startswith(f"manifest.yaml:{line}: model.sha256: sha256 is ")


def test_every_check_of_a_good_package_is_named(folder):
    image = builders.noise(1, 1, 3, 4, 5)
    with_case(folder, image, np.concatenate([image * 0, 20 * image - 10], axis=1))

    done = list(checks(load_package(folder)))

    assert [check.name for check in done] == ["hash", "graph", "load", "self-test"]
    assert not any(check.findings for check in done)
