"""The composition root: which parts make a role.

    receive    StorageScp → Keeper → Files, Index
    hl7        MllpServer → MessageKeeper → Files, Reports
    work       Schedule → Flow (DBOS) → Steps → Pool, encoders, C-STORE
    web        status page over Index and Ledger

The roles are processes of their own (`node.cli.supervise`) and share nothing but the data
directory and the database. Each is a module of its own here, imported by the process that
needs it: a receiver without the models and their libraries is half the size and starts at once.
"""

from __future__ import annotations

from typing import Final

RECEIVE: Final = "receive"
WORK: Final = "work"
WEB: Final = "web"
HL7: Final = "hl7"
ROLES: Final = (RECEIVE, HL7, WORK, WEB)
