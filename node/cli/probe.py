"""``wetread probe``: what a destination takes, and so what its viewers will show."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from node.app.stores import utc_now
from node.cli.options import config_option, find_destination, read_config, read_stores
from node.config.destination import Destination
from node.config.profile import Profile
from node.deliver import kinds
from node.domain import ResultKind
from node.errors import TransientError
from node.store.acceptance import Acceptance


@dataclass(frozen=True)
class Expected:
    """What becomes of one kind of object at a destination.

    Parameters
    ----------
    wanted, sent
        Forms; None: nothing of this kind.
    why
        Why another form is sent than is wanted, or that nothing is taken.
    """

    kind: str
    wanted: str | None
    sent: str | None
    why: str


@click.command()
@click.argument("destination")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def probe(destination: str, config_file: Path, as_json: bool) -> None:
    """Ask DESTINATION which objects it takes, and show what its profile makes of that.

    An association is negotiated, and nothing is sent. What it does not take is remembered for
    a day, as if it had been refused. Of a destination of kind dicomweb only that is known.
    """
    config = read_config(config_file)
    peer = find_destination(config, destination)
    profile = config.profile(peer.profile)
    acceptance = read_stores(config_file).acceptance
    try:
        _learn(destination, peer, config.receive.ae_title, profile, acceptance)
    except TransientError as error:
        raise click.ClickException(str(error)) from error
    rows = expectations(profile, acceptance.refused(destination, utc_now()))
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    table = Table("kind", "wanted", "sent", "why", title=f"{destination}: profile {peer.profile}")
    for row in rows:
        table.add_row(row.kind, row.wanted or "–", row.sent or "–", row.why)
    Console().print(table, crop=False)


def expectations(profile: Profile, refused: dict[str, str]) -> list[Expected]:
    """Say for each kind what is wanted and what will be sent.

    Parameters
    ----------
    refused
        SOP Class UID → why.
    """
    rows = []
    for kind in ResultKind:
        chain = profile.chain(kind)
        taken = [form for form in chain if form.sop_class_uid not in refused]
        wanted = chain[0].value if chain else None
        if not chain:
            why = "not in the profile"
        elif not taken:
            why = refused[chain[0].sop_class_uid or ""]
        else:
            why = "" if taken[0] is chain[0] else refused[chain[0].sop_class_uid or ""]
        rows.append(Expected(kind.value, wanted, taken[0].value if taken else None, why))
    return rows


def _learn(
    name: str, peer: Destination, calling: str, profile: Profile, acceptance: Acceptance
) -> None:
    forms = [form for kind in ResultKind for form in profile.chain(kind)]
    classes = {form.sop_class_uid for form in forms if form.sop_class_uid is not None}
    accepted = kinds.accepted(peer, calling, classes)
    if accepted is None:
        kinds.verify(peer, calling)
        return
    for sop_class_uid in sorted(classes):
        if sop_class_uid in accepted:
            acceptance.note_accepted(name, sop_class_uid)
        else:
            names = {form.value for form in forms if form.sop_class_uid == sop_class_uid}
            words = ", ".join(sorted(names))
            reason = f"the destination does not accept {words} ({sop_class_uid})"
            acceptance.note_refused(name, sop_class_uid, reason, utc_now())
