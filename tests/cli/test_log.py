"""What reaches the log, and what never does."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from node.log import configure_logging

NAME = "Doe^Jane"


@pytest.fixture
def logged():
    """Log lines as JSON, written to a stream of the test's own."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_logging("info", "json", role="test")
    stream = io.StringIO()
    root.handlers[0].setStream(stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def read_name(value):
    """Fail as a parser does."""
    raise ValueError(f"invalid value {value!r} for PN")


def test_a_traceback_says_where_and_what_but_quotes_nothing(logged):
    try:
        read_name(NAME)
    except ValueError:
        structlog.get_logger().exception("step.broke")

    (line,) = logged()
    assert "Doe" not in json.dumps(line)
    assert "read_name" in line["exception"]
    assert line["exception"].endswith("ValueError")


def test_a_library_that_logs_an_exception_quotes_nothing_either(logged):
    try:
        read_name(NAME)
    except ValueError:
        logging.getLogger("some.library").exception("cannot go on")

    (line,) = logged()
    assert "Doe" not in json.dumps(line)
    assert "ValueError" in line["exception"]


def test_keys_that_name_patient_data_are_dropped(logged):
    structlog.get_logger().info("instance.kept", PatientName="Doe^Jane", sop_instance_uid="1.2")

    (line,) = logged()
    assert "PatientName" not in line
    assert line["sop_instance_uid"] == "1.2"
    assert line["role"] == "test"


def test_pydicom_which_quotes_what_it_complains_about_is_silent(logged):
    logging.getLogger("pydicom").warning("Invalid value for VR PN: 'Doe^Jane'")

    assert logged() == []
