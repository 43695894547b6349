"""Plans are built at the start of the work process: once, in sight, and never for a study."""

from __future__ import annotations

from itertools import count
from threading import Event

import pytest
from structlog.testing import capture_logs

from engines.pool import Pool
from node.app.ready import Progress, make_ready
from tests.engines import builders
from tests.engines.tensorrt.fake import Fake

HALF = {"allowed": ["fp32", "fp16"], "default": "fp16"}
IMAGE = builders.volume(builders.noise(2, 3, 4))


@pytest.fixture
def models(tmp_path):
    builders.package(tmp_path / "models" / "one", metadata__name="one")
    builders.package(tmp_path / "models" / "two", metadata__name="two", infer__batch=2)
    return tmp_path / "models"


class Page:
    """What the status page shows, one after the other."""

    def __init__(self, stop=None):
        self.shown = []
        # Each look at the clock is a minute after the last.
        self.progress = Progress(self.shown.append, stop or Event(), count(0, 60).__next__)


def start(models, backend, page=None):
    """Start as the work process does; the pool, and what was logged."""
    pool = Pool(models, backend)
    with capture_logs() as logged:
        make_ready(pool, ["one", "two"], (page or Page()).progress)
    return pool, logged


def builds(fake):
    return fake.counted()["build_serialized_network"]


def test_missing_plans_are_built_before_the_first_study_and_studies_build_none(models, tmp_path):
    fake = Fake()
    pool, logged = start(models, fake.backend(tmp_path / "plans"))
    assert builds(fake) == 2
    with pool:
        pool.run("one", None, [IMAGE])
        pool.run("two", None, [IMAGE])
    assert builds(fake) == 2
    assert not [event for event in logged if event["log_level"] == "error"]


def test_plans_that_are_there_are_not_built_again(models, tmp_path):
    start(models, Fake().backend(tmp_path / "plans"))[0].close()
    fake, page = Fake(), Page()
    pool, _ = start(models, fake.backend(tmp_path / "plans"), page)
    pool.close()
    assert builds(fake) == 0
    assert page.shown == []


def test_a_plan_that_does_not_load_is_set_aside_and_built_again(models, tmp_path):
    folder = tmp_path / "plans"
    start(models, Fake().backend(folder))[0].close()
    damaged = min(folder.glob("*.plan"))
    damaged.write_bytes(b"something else")
    fake = Fake()
    pool, _ = start(models, fake.backend(folder))
    with pool:
        pool.run("one", None, [IMAGE])
        pool.run("two", None, [IMAGE])
    assert builds(fake) == 1
    assert len(list(folder.glob("*.plan.set-aside"))) == 1


def test_the_page_and_the_log_say_what_is_built_and_then_that_it_is_done(models, tmp_path):
    page = Page()
    pool, logged = start(models, Fake().backend(tmp_path / "plans"), page)
    pool.close()
    assert page.shown[0] == "one fp32: begins, step 0 of 1"
    assert "one fp32: Building engine, step 1 of 1" in page.shown
    assert page.shown[-1] is None
    phases = [event["phase"] for event in logged if event["event"] == "plan.building"]
    assert "two fp32: Building engine" in phases


def test_a_plan_that_cannot_be_built_is_logged_and_the_package_runs_elsewhere(models, tmp_path):
    fake = Fake({"build_serialized_network": None}, says="no kernel for this layer")
    pool, logged = start(models, [fake.backend(tmp_path / "plans"), "onnx"])
    with pool:
        _, provenance = pool.run("one", None, [IMAGE])
    assert provenance.backend == "onnx"
    reasons = [event["reason"] for event in logged if event["event"] == "plan.not_built"]
    assert len(reasons) == 2
    assert "no kernel for this layer" in reasons[0]


def test_a_precision_that_is_refused_leaves_the_full_one(models, tmp_path):
    builders.package(models / "one", metadata__name="one", model__precision=HALF)
    fake = Fake()
    pool, logged = start(models, fake.backend(tmp_path / "plans"))
    with pool:
        _, provenance = pool.run("one", None, [IMAGE])
    assert provenance.backend == "tensorrt"
    (event,) = [event for event in logged if event["event"] == "plan.not_built"]
    assert event["reason"].startswith("fp16: one: model.onnx: fp16 is refused: the package has no")


def test_an_order_to_stop_ends_the_building(models, tmp_path):
    stop, fake = Event(), Fake()
    stop.set()
    pool, logged = start(models, fake.backend(tmp_path / "plans"), Page(stop))
    pool.close()
    assert builds(fake) == 0
    assert [event["event"] for event in logged] == ["plan.stopped"]


def test_a_backend_without_plans_has_nothing_to_build(models):
    page = Page()
    pool, _ = start(models, "onnx", page)
    with pool:
        pool.run("one", None, [IMAGE])
    assert page.shown == []
