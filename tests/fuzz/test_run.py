"""The fuzzer runs here, and finds what is wrong."""

from __future__ import annotations

import pytest

from tests.builders.tools import need
from tests.fuzz import planted
from tests.fuzz.run import Outcome, fuzz, missing
from tests.fuzz.targets import TARGETS, Target


@pytest.fixture(autouse=True)
def atheris():
    need(missing())


def run(check, tmp_path, inputs) -> Outcome:
    name = f"{check.__module__}:{check.__name__}"
    return fuzz(name, Target(check, lambda: [b"abc"], 1.0), inputs, tmp_path)


def test_a_sound_target_takes_all_the_inputs(tmp_path):
    outcome = fuzz("response", TARGETS["response"], 2000, tmp_path)

    assert outcome.inputs >= 2000
    assert not outcome.crashes
    assert not outcome.hangs


def test_a_planted_fault_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.fuzz.run.MAX_FINDINGS", 1)

    outcome = run(planted.fails_on_two_bytes, tmp_path, 200_000)

    assert outcome.crashes
    assert outcome.crashes[0].read_bytes().startswith(b"DI")
    assert "a fault that was planted" in outcome.last_words


def test_an_input_that_never_ends_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.fuzz.run.SECONDS", 1)
    monkeypatch.setattr("tests.fuzz.run.MAX_FINDINGS", 1)

    outcome = run(planted.hangs_on_zero, tmp_path, 20_000)

    assert len(outcome.hangs) == 1


def test_memory_that_grows_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.fuzz.run.MAX_FINDINGS", 1)

    outcome = run(planted.swallows_memory, tmp_path, 500_000)

    assert len(outcome.crashes) == 1
