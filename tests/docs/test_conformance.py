"""The conformance statement says what the code does, and all of it."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from itertools import product
from types import ModuleType
from typing import Any

import pytest

from node.deliver.answer import judge
from node.dimse import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.dimse.commitment import FailureReason
from node.domain import DeliveryState, ObjectForm
from node.encode.forms import DERIVED_CLASSES
from node.receive import admission
from node.receive.status import Status
from tests.docs.pages import DOCS, ROOT, sections

STATEMENT = DOCS / "reference" / "dimse.md"
PROVIDER = 2
"""Source of an A-ABORT by the service provider, as every `ProtocolError` ends."""


@pytest.fixture(scope="module")
def statement():
    return sections(STATEMENT)


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows of a text, headings and rules included."""
    lines = (line for line in text.splitlines() if line.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def numbers(text: str) -> list[str]:
    """DIMSE statuses in a text, ``x`` for any digit."""
    return re.findall(r"0x([0-9A-Fx]{4})\b", text)


def door_calls(name: str) -> Iterator[tuple[ModuleType, list[ast.expr]]]:
    """Arguments of every call of a function at the door, with the module of the call."""
    for file in sorted((ROOT / "node" / "receive").glob("*.py")):
        module = importlib.import_module(f"node.receive.{file.stem}")
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == name:
                yield module, call.args


def value(module: ModuleType, argument: ast.expr) -> set[Any]:
    """What an argument stands for: constants of its module, in all branches."""
    if isinstance(argument, ast.IfExp):
        return value(module, argument.body) | value(module, argument.orelse)
    return {getattr(module, argument.id)} if isinstance(argument, ast.Name) else set()


def test_every_status_of_the_door_has_its_cause_and_no_other_has(statement):
    documented = {
        int(found[1], 16): cells[1]
        for cells in rows(statement["As a storage SCP"])
        if (found := re.match(r"0x([0-9A-F]{4}) ", cells[0]))
    }

    assert documented.keys() == set(Status)
    assert all(documented.values())


def test_every_refusal_of_an_instance_is_by_a_status_of_the_statement():
    for module, arguments in door_calls("RejectedInstance"):
        assert ast.unparse(arguments[0]).startswith("Status."), module.__name__


def test_every_rejection_of_an_association_has_its_cause_and_no_other_has(statement):
    sent = {
        each
        for each in vars(admission).values()
        if isinstance(each, tuple) and len(each) == 3 and all(isinstance(n, int) for n in each)
    }
    causes = rows(statement["Association acceptance"])
    documented = {
        tuple(map(int, found.groups()))
        for cells in causes
        if (found := re.search(r"\((\d), (\d), (\d)\)", cells[-1]))
    }

    assert documented == sent


def test_every_abort_has_its_cause_and_no_other_has(statement):
    broken = {
        reason
        for module, arguments in door_calls("ProtocolError")
        for reason in value(module, arguments[0])
    }
    sent = {(PROVIDER, reason) for reason in broken} | {
        pair
        for module, (source, reason) in door_calls("abort")
        for pair in product(value(module, source), value(module, reason))
    }
    documented = {
        tuple(map(int, found.groups()))
        for cells in rows(statement["A-ABORT"])
        if (found := re.fullmatch(r"(\d), (\d)", cells[-1]))
    }

    assert documented == sent


def test_every_answer_of_a_destination_leads_to_what_the_statement_says(statement):
    said: dict[str, str] = {}
    for answer, becomes, _ in (c for c in rows(statement["As a storage SCU"]) if len(c) == 3):
        if answer.startswith("any other status"):
            said["xxxx"] = becomes
        else:
            said |= dict.fromkeys(numbers(answer), becomes)
    outcomes = {
        "delivered": (DeliveryState.DELIVERED, False),
        "waits": (DeliveryState.WAITING, False),
        "failed": (DeliveryState.FAILED, False),
        "replaced": (DeliveryState.FAILED, True),
    }
    # The most particular pattern counts.
    patterns = sorted(said, key=lambda pattern: pattern.count("x"))
    assert patterns[-1] == "xxxx"

    for status in range(0x10000):
        pattern = next(p for p in patterns if re.fullmatch(p.replace("x", "."), f"{status:04X}"))
        outcome = judge(status)
        found = outcome.state, outcome.not_taken
        assert found == outcomes[said[pattern]], f"0x{status:04X}"


def test_every_sop_class_that_the_node_writes_is_proposed_and_no_other(statement):
    written = {form.sop_class_uid for form in ObjectForm} - {None}

    documented = {
        cells[1] for cells in rows(statement["As a storage SCU"]) if cells[1].startswith("1.2.840.")
    }

    assert documented == written | {str(uid) for uid in DERIVED_CLASSES}


def test_the_failure_reasons_of_the_node_are_in_the_statement(statement):
    text = (ROOT / "node" / "store" / "commitment.py").read_text(encoding="utf-8")
    used = {FailureReason[name] for name in re.findall(r"FailureReason\.([A-Z_]+)", text)}
    line = re.search(r"^Failure reasons: .*$", statement["Storage commitment"], re.MULTILINE)
    assert line is not None

    assert {int(number, 16) for number in numbers(line[0])} == used


def test_the_node_names_itself_as_the_statement_says(statement):
    text = statement["Implementation identification"]

    assert f"`{IMPLEMENTATION_CLASS_UID}`" in text
    assert f"`{IMPLEMENTATION_VERSION_NAME}`" in text
