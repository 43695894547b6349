"""Bringing models that others trained: an offline tool, never part of a running node.

A source is read as data (JSON, YAML, weights) and mapped to a manifest by pure functions;
what they cannot map is refused by name. Only then is the network built and exported.
"""

from engines.importing.source import Imported, import_model

__all__ = ["Imported", "import_model"]
