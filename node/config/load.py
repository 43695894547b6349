"""YAML file → `Config`, or every mistake in it at once with its line."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema

from node.config.checks import cross_check, resolved
from node.config.messages import problems_of
from node.config.model import Config
from node.config.problem import Problem, Severity, key_path
from node.config.section import Section
from node.config.tree import Tree, read_tree
from node.errors import ConfigError

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):[^/\s]*@")


def load_config(path: Path | str) -> Config:
    """Read a configuration file that is about to be used.

    Relative paths in the file start at the file's folder; in the result they are absolute.

    Raises
    ------
    ConfigError
        If anything is wrong; one line for each mistake, ``file:line: key: message``.
    """
    config, problems = check_file(path)
    if config is None:
        errors = [p.render(path) for p in problems if p.severity is Severity.ERROR]
        raise ConfigError("\n".join(errors))
    return config


def check_file(path: Path | str) -> tuple[Config | None, list[Problem]]:
    """Read a configuration file and say everything there is to say about it.

    Returns
    -------
    config
        None if there is an error among the problems.
    problems
        Errors and notes in the order of their lines.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        return None, [Problem(None, "", f"cannot be read: {error.strerror}")]
    tree = read_tree(raw)
    config, problems = _validate(tree, path.absolute().parent)
    problems = sorted(set(problems), key=lambda p: (p.line or 0, p.key, p.message))
    if any(p.severity is Severity.ERROR for p in problems):
        return None, problems
    return config, problems


def _validate(tree: Tree, folder: Path) -> tuple[Config | None, list[Problem]]:
    if not isinstance(tree.data, dict):
        expected = "expected keys with values at the top of the file, such as 'rules:'"
        return None, tree.problems or [Problem(1, "", expected)]
    problems = list(tree.problems)
    config = None
    try:
        config = _with_whole_paths(Config.model_validate(tree.data), folder)
    except ValidationError as error:
        problems += problems_of(error, tree)
    for finding in cross_check(tree.data, folder):
        place = finding.location
        problem = Problem(tree.line(place), key_path(place), finding.message, finding.severity)
        problems.append(problem)
    return config, problems


def _with_whole_paths(config: Config, folder: Path) -> Config:
    """Make the paths of a configuration absolute, so that the working directory is no matter."""
    whole: Config = _whole(config, folder)
    return whole


def _whole(value: Any, folder: Path) -> Any:
    if isinstance(value, Path):
        return resolved(folder, value)
    if isinstance(value, dict):
        return {key: _whole(each, folder) for key, each in value.items()}
    if isinstance(value, Section):
        parts = {name: getattr(value, name) for name in type(value).model_fields}
        changed = {name: _whole(part, folder) for name, part in parts.items()}
        return value.model_copy(update={n: v for n, v in changed.items() if v is not parts[n]})
    return value


def config_digest(config: Config) -> str:
    """SHA-256 of the configuration, hex; comments, order and layout of the file do not count.

    The database's password does not count either: the digest is written into every result.
    """
    values = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    values["database"] = _PASSWORD.sub(r"\1@", values["database"])
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class _Schema(GenerateJsonSchema):
    """Leaves out the titles pydantic makes up from names: ``Ae Title`` says nothing."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Say no for every field."""
        return False


def json_schema() -> dict[str, Any]:
    """Describe the configuration file as JSON Schema (draft 2020-12), for editors."""
    schema = Config.model_json_schema(by_alias=True, schema_generator=_Schema)
    return {"$schema": _DIALECT, **schema, "title": "Wetread configuration"}
