"""The journal: one preallocated file of a receiver process that data sets are written to first.

To make a new file durable costs a commit of the file system's own journal and a sync of the
folder. Here nothing but bytes changes: one write makes a data set durable, and the file is made
when the door is quiet. After a crash the next start makes the files that are missing.
"""

from node.store.journal.journal import Entry, Journal, open_journal
from node.store.journal.restore import restore

__all__ = ["Entry", "Journal", "open_journal", "restore"]
