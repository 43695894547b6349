"""What no single key can tell: names that point nowhere, loops, files that are not there.

All checks read the plain values of the file and shrug at wrong types, so that they also
report what they find while other mistakes are still in the file.
"""

from __future__ import annotations

import ipaddress
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from node.config.destination import DIMSE, DimseDestination, kind_of
from node.config.model import Config, Receive, Web
from node.config.problem import Location, Severity, suggestion
from node.config.profile import BUILT_IN

SECRET_FILES: Final = ("password_file", "bearer_file", "headers_file")
"""Keys of a destination that name a file which must be there."""
ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - names it, does not bind it


@dataclass(frozen=True)
class Finding:
    """A problem before its line is known."""

    location: Location
    message: str
    severity: Severity = Severity.ERROR


def cross_check(data: dict[str, Any], folder: Path) -> Iterator[Finding]:
    """Check what several keys, or a key and the disk, say together.

    Parameters
    ----------
    data
        The file's content, valid or not.
    folder
        Folder of the file; relative paths start there.
    """
    yield from _rules(data)
    yield from _peers(data)
    yield from _destinations(data)
    yield from _profiles(data)
    yield from _paths(data, folder)
    yield from _models(data, folder)
    yield from _web(data)
    yield from _reports(data, folder)


def resolved(folder: Path, path: str | Path) -> Path:
    """Make a path of the file absolute: a relative one starts at the file's folder."""
    return (folder / path).absolute()


def _rules(data: dict[str, Any]) -> Iterator[Finding]:
    destinations = _mapping(data.get("destinations"))
    first: dict[str, int] = {}
    for index, rule in enumerate(_list(data.get("rules"))):
        rule = _mapping(rule)
        name = rule.get("name")
        if isinstance(name, str) and name in first:
            message = f"two rules have the name {name!r} (rules[{first[name]}] is the other)"
            yield Finding(("rules", index, "name"), message)
        elif isinstance(name, str):
            first[name] = index
        for place, target in enumerate(_list(rule.get("send_to"))):
            if isinstance(target, str) and target not in destinations:
                message = f"no destination {target!r}{suggestion(target, destinations)}"
                yield Finding(("rules", index, "send_to", place), message)


def _peers(data: dict[str, Any]) -> Iterator[Finding]:
    receive = _mapping(data.get("receive"))
    peers = receive.get("accept_from")
    if not peers and isinstance(peers, list | None):
        message = "no peer is listed: the node accepts studies from nobody"
        yield Finding(("receive", "accept_from"), message, Severity.NOTE)
    first: dict[tuple[Any, Any], int] = {}
    for index, peer in enumerate(_list(peers)):
        peer = _mapping(peer)
        who = (peer.get("ae_title"), peer.get("host"))
        if not all(isinstance(part, str | None) for part in who) or who[0] is None:
            continue
        if who in first:
            message = f"{who[0]!r} from {who[1] or 'any host'} is listed twice"
            yield Finding(("receive", "accept_from", index), message)
        first[who] = index
    yield from _associations(receive)
    yield from _certificates(receive)


def _associations(receive: dict[str, Any]) -> Iterator[Finding]:
    """Check the limits of associations against each other."""
    total = receive.get("max_associations", _default(Receive, "max_associations"))
    if not _is_number(total):
        return
    for index, peer in enumerate(_list(receive.get("accept_from"))):
        own = _mapping(peer).get("max_associations")
        if _is_number(own) and own > total:
            message = f"{own} is more than receive.max_associations ({total}), which holds for all"
            here = ("receive", "accept_from", index, "max_associations")
            yield Finding(here, message, Severity.NOTE)
    processes = receive.get("processes", _default(Receive, "processes"))
    if _is_number(processes) and processes > total:
        message = f"{processes} processes for {total} associations: some will never have one"
        yield Finding(("receive", "processes"), message, Severity.NOTE)


def _certificates(receive: dict[str, Any]) -> Iterator[Finding]:
    """Without TLS a peer shows no certificate, so a name for it would promise too much."""
    if receive.get("tls") is not None:
        return
    for index, peer in enumerate(_list(receive.get("accept_from"))):
        if _mapping(peer).get("certificate_name") is not None:
            message = "peers show certificates only with receive.tls, which is left out"
            yield Finding(("receive", "accept_from", index, "certificate_name"), message)


def _destinations(data: dict[str, Any]) -> Iterator[Finding]:
    receive = _mapping(data.get("receive"))
    own_title = receive.get("ae_title", _default(Receive, "ae_title"))
    for name, destination in _mapping(data.get("destinations")).items():
        destination = _mapping(destination)
        here: Location = ("destinations", name)
        if kind_of(destination) != DIMSE:
            yield from _in_the_clear(destination, here)
            continue
        yield from _commitment(destination, here, receive)
        if _is_this_node(destination, receive):
            message = "this is the node itself: its results would come back as new studies"
            yield Finding(here, message)
        elif destination.get("ae_title") == own_title:
            message = f"has the node's own AE title {own_title!r}; every AE title should be unique"
            yield Finding((*here, "ae_title"), message, Severity.NOTE)


def _in_the_clear(destination: dict[str, Any], here: Location) -> Iterator[Finding]:
    """Say that credentials are sent to an origin server without encryption."""
    url = destination.get("url")
    if isinstance(url, str) and url.startswith("http://"):
        for key in SECRET_FILES:
            if destination.get(key) is not None:
                message = "is sent in the clear: the url is http, not https"
                yield Finding((*here, key), message, Severity.NOTE)


def _profiles(data: dict[str, Any]) -> Iterator[Finding]:
    own = _mapping(data.get("profiles"))
    for name in own:
        if name in BUILT_IN:
            yield Finding(("profiles", name), "is the name of a built-in profile; choose another")
    known = {*BUILT_IN, *(name for name in own if isinstance(name, str))}
    for name, destination in _mapping(data.get("destinations")).items():
        profile = _mapping(destination).get("profile")
        if isinstance(profile, str) and profile not in known:
            message = f"no profile {profile!r}{suggestion(profile, known)}"
            yield Finding(("destinations", name, "profile"), message)


def _commitment(
    destination: dict[str, Any], here: Location, receive: dict[str, Any]
) -> Iterator[Finding]:
    """Say why the report of a storage commitment might not get in."""
    if destination.get("proof") != "storage_commitment":
        return
    own_title = receive.get("ae_title", _default(Receive, "ae_title"))
    peers = [_mapping(peer).get("ae_title") for peer in _list(receive.get("accept_from"))]
    message = ""
    if destination.get("ae_title") not in peers:
        message = (
            "most archives report storage commitment on an association of their own, and "
            "receive.accept_from does not let this one in"
        )
    elif destination.get("calling_ae_title", own_title) != own_title:
        message = (
            "the archive will report to the calling AE title used here, and receive.ae_title "
            "is another one"
        )
    if message:
        yield Finding((*here, "proof"), message, Severity.NOTE)


def _is_this_node(destination: dict[str, Any], receive: dict[str, Any]) -> bool:
    """Whether results sent there arrive at the node's own storage SCP."""
    port = destination.get("port", _default(DimseDestination, "port"))
    if port != receive.get("port", _default(Receive, "port")):
        return False
    host = destination.get("host")
    listens_on = receive.get("host", _default(Receive, "host"))
    if not isinstance(host, str) or not isinstance(listens_on, str):
        return False
    if host == listens_on or host in ANY_ADDRESS:
        return True
    everywhere = listens_on in ANY_ADDRESS
    if is_loopback(host):
        return everywhere or is_loopback(listens_on)
    return everywhere and host.lower() == platform.node().lower()


def _paths(data: dict[str, Any], folder: Path) -> Iterator[Finding]:
    places: list[tuple[Location, Any]] = [
        (("data_dir",), data.get("data_dir")),
        (("models_dir",), data.get("models_dir")),
    ]
    sections: list[tuple[Location, Any]] = [(("receive",), data.get("receive"))]
    for name, destination in _mapping(data.get("destinations")).items():
        sections.append((("destinations", name), destination))
    for place, section in sections:
        tls = _mapping(_mapping(section).get("tls"))
        places += [((*place, "tls", key), tls.get(key)) for key in ("certificate", "key", "ca")]
        places += [((*place, key), _mapping(section).get(key)) for key in SECRET_FILES]
    for location, path in places:
        if not isinstance(path, str):
            continue
        if not path:
            yield Finding(location, "empty; expected a path")
        elif path.startswith("~"):
            yield Finding(location, "'~' is not filled in; write the whole path")
        elif len(location) > 1 and (trouble := _unreadable_file(resolved(folder, path))):
            yield Finding(location, trouble)


def _package_name(folder: Path) -> str:
    """Name a package by its manifest; by its folder where that cannot be read.

    What else is wrong with a manifest is for ``wetread models verify`` to say.
    """
    try:
        manifest = yaml.safe_load((folder / "manifest.yaml").read_bytes())
        return str(manifest["metadata"]["name"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return folder.name


def _models(data: dict[str, Any], folder: Path) -> Iterator[Finding]:
    written = data.get("models_dir", str(_default(Config, "models_dir")))
    if not isinstance(written, str):
        return
    models_dir = resolved(folder, written)
    try:
        known = {_package_name(entry) for entry in models_dir.iterdir() if entry.is_dir()}
    except FileNotFoundError:
        message = f"{models_dir} does not exist: no model can run"
        yield Finding(("models_dir",), message, Severity.NOTE)
        return
    except OSError as error:
        yield Finding(("models_dir",), f"{models_dir} cannot be read: {error.strerror}")
        return
    for index, rule in enumerate(_list(data.get("rules"))):
        for place, model in enumerate(_list(_mapping(rule).get("run"))):
            if isinstance(model, str) and model not in known:
                message = f"no model package {model!r} in {models_dir}{suggestion(model, known)}"
                yield Finding(("rules", index, "run", place), message)


def _web(data: dict[str, Any]) -> Iterator[Finding]:
    host = _mapping(data.get("web")).get("host", _default(Web, "host"))
    if isinstance(host, str) and not is_loopback(host):
        message = f"{host} can be reached from other machines, and the page has no login"
        yield Finding(("web", "host"), message, Severity.NOTE)


def _reports(data: dict[str, Any], folder: Path) -> Iterator[Finding]:
    """Destinations of reports, who may send them, and the files of TLS."""
    reports = _mapping(data.get("reports"))
    destinations = _mapping(data.get("destinations"))
    for key in ("send_findings_to", "send_discordances_to"):
        for place, target in enumerate(_list(reports.get(key))):
            if isinstance(target, str) and target not in destinations:
                message = f"no destination {target!r}{suggestion(target, destinations)}"
                yield Finding(("reports", key, place), message)
    hl7 = reports.get("hl7")
    if not isinstance(hl7, dict):
        return
    if not hl7.get("accept_from"):
        message = "no system is listed: the node accepts reports from nobody"
        yield Finding(("reports", "hl7", "accept_from"), message, Severity.NOTE)
    if hl7.get("tls") is None and not is_loopback(str(hl7.get("host", ANY_ADDRESS))):
        message = "without tls, reports with names cross the network in the clear"
        yield Finding(("reports", "hl7"), message, Severity.NOTE)
    for key, path in _mapping(hl7.get("tls")).items():
        if isinstance(path, str) and (trouble := _unreadable_file(resolved(folder, path))):
            yield Finding(("reports", "hl7", "tls", key), trouble)


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in ("localhost", "localhost.localdomain", "ip6-localhost")


def _unreadable_file(path: Path) -> str | None:
    try:
        return None if path.is_file() else f"no such file: {path}"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"


def _default(section: type[Any], name: str) -> Any:
    return section.model_fields[name].default


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
