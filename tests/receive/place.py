"""A data directory with a keeper, for the tests of what is kept."""

from __future__ import annotations

from node.config.model import Receive, Storage
from node.receive.keep import Keeper
from node.store.database import database_url, open_database
from node.store.files import Files
from node.store.index import Index
from tests.builders.records import NOON

SMALL_JOURNAL = 4 << 20
ROOM = Storage(min_free_percent=0, min_free_inodes_percent=0)


class Place:
    """A data directory with a keeper, and what is in it."""

    def __init__(self, folder, storage=ROOM, slot=0, **receive):
        self.folder = folder
        self.engine = open_database(database_url("sqlite", folder))
        self.files = Files(folder)
        self.index = Index(self.engine)
        self.keeper = Keeper(
            self.files,
            self.index,
            clock=lambda: NOON,
            receive=Receive(**{"journal_bytes": SMALL_JOURNAL, **receive}),
            storage=storage,
            slot=slot,
        )

    def parts(self):
        """What is being written."""
        return sorted((self.folder / "parts").iterdir())

    def stored(self):
        """The files at their places."""
        return sorted((self.folder / "instances").glob("**/*.dcm"))

    def kept(self, ds):
        """The instances of a data set's study."""
        return self.index.study_instances(str(ds.StudyInstanceUID))

    def close(self):
        """End it properly."""
        self.keeper.close()
        self.engine.dispose()
