"""Tests of the node, the engines and the language part; shared builders in `tests.builders`."""
