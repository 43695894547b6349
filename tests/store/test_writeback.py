"""What the disk begins with early is the same file in the end."""

from __future__ import annotations

import os

import pytest

from node.store.files import Files
from node.store.part import WRITTEN_EARLY, Part
from node.store.writeback import begin_writeback


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_written_early_and_in_pieces_is_whole(tmp_path, durable):
    sent = os.urandom(3 * WRITTEN_EARLY + 5)
    part = Part.new(Files(tmp_path), 0, durable=durable)
    for start in range(0, len(sent), 100_003):
        part.append([sent[start : start + 100_003]])
    part.complete()

    assert part.path.read_bytes() == sent


def test_beginning_early_with_what_is_no_file_does_no_harm(tmp_path):
    reader, writer = os.pipe()
    try:
        begin_writeback(writer, 0)
        os.write(writer, b"x")
        assert os.read(reader, 1) == b"x"
    finally:
        os.close(reader)
        os.close(writer)
