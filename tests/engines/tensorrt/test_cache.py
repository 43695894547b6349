"""Plans on disk: found by what made them, believed only when they are what their sidecar says."""

from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import replace

import numpy as np
import pytest

from engines.backends.tensorrt.builder import BuildOptions
from engines.backends.tensorrt.cache import PlanCache, Recipe, default_folder
from engines.backends.tensorrt.driver import Gpu
from engines.backends.tensorrt.plans import Order
from engines.backends.tensorrt.profiles import Profile
from engines.errors import BackendUnavailable, PackageError
from tests.engines import builders
from tests.engines.tensorrt.fake import GPU, Fake
from tests.engines.tensorrt.networks import convolutions

RECIPE = Recipe(
    onnx_sha256="ab" * 32,
    flavour="tensorrt",
    version="11.4.0",
    gpu=GPU,
    precision="fp16",
    keep=("Softmax",),
    profiles=(Profile((1, 1, 8, 8, 8), (2, 1, 8, 8, 8), (2, 1, 8, 8, 8)),),
    options=BuildOptions(),
)


@pytest.fixture
def cache(tmp_path):
    return PlanCache(tmp_path / "plans")


def set_aside(cache: PlanCache) -> list[str]:
    return sorted(path.suffixes[0] for path in cache.folder.glob("*.set-aside"))


@pytest.mark.parametrize(
    "change",
    [
        {"onnx_sha256": "cd" * 32},
        {"flavour": "tensorrt_rtx"},
        {"version": "11.4.1"},
        {"gpu": Gpu("Other GPU", "9.0", "13.0", 1 << 34)},
        {"gpu": replace(GPU, capability="8.9")},
        {"gpu": replace(GPU, driver="12.9")},
        {"precision": "fp32"},
        {"keep": ()},
        {"profiles": (Profile((1, 1, 9, 8, 8), (2, 1, 9, 8, 8), (2, 1, 9, 8, 8)),)},
        {"options": BuildOptions(workspace_mb=1)},
        {"options": BuildOptions(tf32=True)},
        {"calibration": "ef" * 32},
    ],
)
def test_whatever_a_plan_depends_on_makes_another_plan(cache, change):
    cache.write(RECIPE, b"plan", {})
    assert cache.read(replace(RECIPE, **change)) is None
    assert cache.read(replace(RECIPE)) == b"plan"


def test_a_plan_is_kept_with_its_recipe_and_notes(cache):
    path = cache.write(RECIPE, b"plan", {"package": "tiny@1.0.0"})
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert sidecar["notes"] == {"package": "tiny@1.0.0"}
    assert sidecar["recipe"]["gpu"]["name"] == "Paper GPU"
    assert {each.suffix for each in cache.folder.iterdir()} == {".plan", ".json"}


@pytest.mark.parametrize("damage", ["changed", "cut", "no sidecar", "no json", "other recipe"])
def test_a_plan_that_is_not_what_its_sidecar_says_is_set_aside(cache, damage):
    path = cache.write(RECIPE, b"plan", {})
    sidecar = path.with_suffix(".json")
    if damage == "changed":
        path.write_bytes(b"malp")
    elif damage == "cut":
        path.write_bytes(b"pla")
    elif damage == "no sidecar":
        sidecar.unlink()
    elif damage == "no json":
        sidecar.write_text("{")
    else:
        other = json.loads(sidecar.read_text())
        other["recipe"]["version"] = "9"
        sidecar.write_text(json.dumps(other))
    assert cache.read(RECIPE) is None
    assert set_aside(cache) == [".json", ".plan"]
    assert not path.exists()


def test_a_set_aside_plan_leaves_its_reason(cache):
    path = cache.write(RECIPE, b"plan", {})
    cache.set_aside(RECIPE, "it does not load: wrong GPU")
    said = json.loads(path.with_name(path.stem + ".json.set-aside").read_text())
    assert said["reason"] == "it does not load: wrong GPU"


def test_a_later_plan_replaces_the_earlier_and_its_sidecar(cache):
    cache.write(RECIPE, b"first", {})
    cache.write(RECIPE, b"second", {})
    assert cache.read(RECIPE) == b"second"


def test_the_folder_is_its_owners_alone(cache):
    cache.write(RECIPE, b"plan", {})
    assert cache.folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_where_others_may_write_is_not_read(cache):
    cache.write(RECIPE, b"plan", {})
    cache.folder.chmod(0o777)
    with pytest.raises(BackendUnavailable, match="chmod 700"):
        cache.read(RECIPE)


def test_the_folder_can_be_named_in_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("WETREAD_TENSORRT_CACHE", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("WETREAD_TENSORRT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "wetread" / "tensorrt"


def _hold(folder, ready, release):
    with PlanCache(folder).lock(RECIPE):
        ready.set()
        release.wait()
        PlanCache(folder).write(RECIPE, b"theirs", {})


def test_two_processes_do_not_build_one_plan_twice(cache):
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(cache.folder, ready, release))
    other.start()
    try:
        assert ready.wait(60)
        release.set()
        with cache.lock(RECIPE):
            assert cache.read(RECIPE) == b"theirs"
    finally:
        release.set()
        other.join()


def test_a_good_plan_is_not_built_again(tmp_path):
    fake = Fake()
    package = builders.package(tmp_path / "tiny")
    backend = fake.backend(tmp_path / "plans")
    assert backend.build(package, Order("fp32"), device="cuda") is not None
    assert backend.build(package, Order("fp32"), device="cuda") is None
    assert fake.counted()["build_serialized_network"] == 1


def test_a_plan_that_does_not_load_is_set_aside_and_built_again(tmp_path):
    fake = Fake()
    package = builders.package(tmp_path / "tiny")
    backend = fake.backend(tmp_path / "plans")
    backend.build(package, Order("fp32"), device="cuda")
    fake.answers["deserialize_cuda_engine"] = None
    fake.says = "built for another GPU"
    with pytest.raises(BackendUnavailable, match="models build tiny"):
        backend.load(package, device="cuda")
    (reason,) = (tmp_path / "plans").glob("*.json.set-aside")
    assert "built for another GPU" in reason.read_text()
    fake.answers.clear()
    backend.build(package, Order("fp32"), device="cuda")
    backend.load(package, device="cuda").close()
    assert fake.counted()["build_serialized_network"] == 2


def test_a_fresh_plan_that_does_not_load_is_not_kept(tmp_path):
    fake = Fake({"deserialize_cuda_engine": None}, says="no kernel for this GPU")
    package = builders.package(tmp_path / "tiny")
    with pytest.raises(PackageError, match="no kernel for this GPU"):
        fake.backend(tmp_path / "plans").build(package, Order("fp32"), device="cuda")
    assert not list((tmp_path / "plans").glob("*.plan"))


def test_another_version_of_tensorrt_does_not_find_the_plan(tmp_path):
    fake = Fake()
    package = builders.package(tmp_path / "tiny")
    fake.backend(tmp_path / "plans").build(package, Order("fp32"), device="cuda")
    fake.version = "11.5.0"
    with pytest.raises(BackendUnavailable, match=r"no TensorRT plan for Paper GPU.*11\.5\.0"):
        fake.backend(tmp_path / "plans").load(package, device="cuda")


def two_precisions(fake, tmp_path):
    """Load nothing yet: a package that prefers fp16, and a backend with plans of it."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    np.savez(folder / "case.npz", input=builders.noise(1, 1, 8, 8, 8))
    package = builders.package(
        folder,
        model=convolutions(),
        selftest__cases=["case.npz"],
        model__precision={"allowed": ["fp32", "fp16"], "default": "fp16"},
    )
    return package, fake.backend(tmp_path / "plans")


def test_the_manifests_precision_is_loaded_unless_another_is_asked_for(tmp_path):
    package, backend = two_precisions(Fake(), tmp_path)
    batch = {"image": builders.noise(1, 1, 4, 4, 4)}
    outputs = {}
    for precision in ("fp32", "fp16"):
        backend.build(package, Order(precision), device="cuda")
        session = backend.load(package, device="cuda", precision=precision)
        outputs[precision] = session.run(batch)["logits"]
    preferred = backend.load(package, device="cuda").run(batch)["logits"]
    assert np.array_equal(preferred, outputs["fp16"])
    assert not np.array_equal(preferred, outputs["fp32"])
    assert np.allclose(preferred, outputs["fp32"], atol=0.1)


def test_fp32_stands_in_where_the_preferred_plan_was_not_built(tmp_path):
    package, backend = two_precisions(Fake(), tmp_path)
    backend.build(package, Order("fp32"), device="cuda")
    backend.load(package, device="cuda").close()
    with pytest.raises(BackendUnavailable, match="has no fp16 plan"):
        backend.load(package, device="cuda", precision="fp16")


def test_a_precision_the_manifest_does_not_allow_is_refused(tmp_path):
    package, backend = two_precisions(Fake(), tmp_path)
    with pytest.raises(PackageError, match="int8 is refused: the manifest allows fp32, fp16"):
        backend.build(package, Order("int8"), device="cuda")


def test_the_manifests_limits_are_those_of_the_gate(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    np.savez(folder / "case.npz", input=builders.noise(1, 1, 8, 8, 8))
    package = builders.package(
        folder,
        model=convolutions(),
        selftest__cases=["case.npz"],
        model__precision={"allowed": ["fp16"], "default": "fp16", "parity": {"largest": 1e-6}},
    )
    with pytest.raises(PackageError, match=r"a probability differs by .*; 1e-06 is allowed"):
        Fake().backend(tmp_path / "plans").build(package, Order("fp16"), device="cuda")


def test_a_plan_built_with_other_options_is_found_and_the_newest_wins(cache):
    tuned = replace(RECIPE, options=BuildOptions(level=5))
    first = cache.write(RECIPE, b"plain", {})
    second = cache.write(tuned, b"tuned", {})
    os.utime(first.with_suffix(".json"), ns=(1, 1))
    os.utime(second.with_suffix(".json"), ns=(2, 2))
    assert cache.alike(RECIPE) == [tuned, RECIPE]
    assert cache.alike(replace(RECIPE, precision="int8")) == []


def test_what_is_no_sidecar_is_passed_over(cache):
    cache.write(RECIPE, b"plan", {})
    (cache.folder / "notes.json").write_text('{"recipe": {"options": {"speed": 9}}}')
    (cache.folder / "empty.json").write_text("")
    assert cache.alike(RECIPE) == [RECIPE]


def test_another_calibration_makes_another_plan_and_is_found(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    case = builders.noise(1, 1, 8, 8, 8)
    np.savez(folder / "case.npz", input=case)
    package = builders.package(
        folder,
        model=convolutions(),
        selftest__cases=["case.npz"],
        model__precision={"allowed": ["int8"], "default": "int8", "parity": {"dice": 0.5}},
    )
    fake = Fake()
    backend = fake.backend(tmp_path / "plans")
    for inputs in ((), (case,), (case,), (case * 0.9,)):
        backend.build(package, Order("int8", calibration=inputs), device="cuda")
    assert fake.counted()["build_serialized_network"] == 3
    backend.load(package, device="cuda").close()


def test_a_plan_that_cannot_be_read_makes_the_backend_unavailable(cache):
    path = cache.write(RECIPE, b"plan", {})
    path.unlink()
    path.mkdir()
    with pytest.raises(BackendUnavailable, match="cannot be read: Is a directory"):
        cache.read(RECIPE)
