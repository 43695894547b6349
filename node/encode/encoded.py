"""One object that the encoders have made, as the bytes of its file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from pydicom.dataset import Dataset

from node.domain import ObjectForm, ResultKind


@dataclass(frozen=True)
class Encoded:
    """One object, ready to be written as a file.

    Parameters
    ----------
    dataset
        Has file meta information.
    """

    form: ObjectForm
    dataset: Dataset

    @property
    def kind(self) -> ResultKind:
        """What the object is."""
        return self.form.kind

    def chunks(self) -> Iterator[bytes]:
        """Give the file (PS3.10) piece by piece; each call gives the same bytes."""
        stream = BytesIO()
        self.dataset.save_as(stream, enforce_file_format=True)
        yield stream.getvalue()
