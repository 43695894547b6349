"""Which forms of a result a destination gets: its profile, what is possible, what it refuses.

Pure functions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from node.config.profile import Profile
from node.domain import ObjectForm, ResultKind


@dataclass(frozen=True)
class Choice:
    """One form that a destination gets.

    Parameters
    ----------
    instead_of
        The form that was wanted; the same where it is that one.
    reason
        Why it is not; empty where it is.
    """

    form: ObjectForm
    instead_of: ObjectForm
    reason: str = ""

    @property
    def remark(self) -> str:
        """What the ledger says of it; empty where nothing was replaced."""
        return f"instead of {self.instead_of.value}: {self.reason}" if self.reason else ""


def choose(
    profile: Profile,
    kinds: Sequence[ResultKind],
    possible: Collection[ObjectForm],
    refused: Mapping[str, str],
) -> list[Choice]:
    """Choose the forms of a result, each once, in the order of the package's kinds.

    Parameters
    ----------
    kinds
        That the package wants written.
    possible
        Forms that the result can be written in.
    refused
        SOP Class UID → why, of what the destination is known not to take.
    """
    chosen: dict[ObjectForm, Choice] = {}
    for kind in kinds:
        chain = [form for form in profile.chain(kind) if form in possible]
        taken = [form for form in chain if form.sop_class_uid not in refused]
        if not chain:
            continue
        # What is refused in every form is sent all the same: the ledger then says so.
        form = taken[0] if taken else chain[0]
        reason = "" if form is chain[0] else refused[chain[0].sop_class_uid or ""]
        chosen.setdefault(form, Choice(form, chain[0], reason))
    wanted = [one for one in chosen.values() if not one.reason]
    # Replaced by what the destination gets anyway: nothing to add.
    return wanted + [one for one in chosen.values() if one.reason]


def following(
    profile: Profile,
    form: ObjectForm,
    kinds: Sequence[ResultKind],
    possible: Collection[ObjectForm],
) -> list[ObjectForm]:
    """The forms that may replace one that a destination did not take, the next one first.

    Parameters
    ----------
    kinds
        That the package wants written: the form may stand in the chain of another kind.
    """
    for kind in (form.kind, *kinds):
        chain = profile.chain(kind)
        if form in chain:
            return [each for each in chain[chain.index(form) + 1 :] if each in possible]
    return []
