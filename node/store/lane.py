"""Where the work process runs its models: written by it, shown by the status page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from node.store.files import Files

LANE = "lane.json"


@dataclass(frozen=True)
class LaneInfo:
    """What runs the models.

    Parameters
    ----------
    backend
        Such as ``"onnx on cpu"``.
    notes
        Why preferred backends do not, one each.
    building
        How far the plans are that are built before the first study; None: nothing is built.
    """

    backend: str
    notes: tuple[str, ...]
    building: str | None = None


_FORM = TypeAdapter(LaneInfo)


def write_lane(files: Files, lane: LaneInfo) -> None:
    """Keep it in the data directory, in place of what an earlier process has written."""
    files.write(LANE, [_FORM.dump_json(lane)])


def read_lane(data_dir: Path) -> LaneInfo | None:
    """Read what the work process has written last; None before the first one."""
    try:
        return _FORM.validate_json((data_dir / LANE).read_bytes())
    except (OSError, ValidationError):
        return None
