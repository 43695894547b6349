"""One object that the encoders have made, as the bytes of its file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset

from node.domain import ObjectForm, ResultKind
from node.encode.stream import file_chunks


def _nothing() -> Iterable[bytes]:
    return ()


@dataclass(frozen=True)
class Encoded:
    """One object, ready to be written as a file.

    Parameters
    ----------
    dataset
        Has file meta information, and every element except those of the tail.
    tail
        Gives the encoded elements that come after the data set's: the functional groups and
        the pixels of many frames, which are never in memory together. Callable more than once.
    """

    form: ObjectForm
    dataset: Dataset
    tail: Callable[[], Iterable[bytes]] = _nothing

    @property
    def kind(self) -> ResultKind:
        """What the object is."""
        return self.form.kind

    def chunks(self) -> Iterator[bytes]:
        """Give the file (PS3.10) piece by piece; each call gives the same bytes."""
        return file_chunks(self.dataset, self.tail())

    def read(self) -> Dataset:
        """Read the object as a receiver does, all of it in memory."""
        return dcmread(BytesIO(b"".join(self.chunks())))
