"""Tests of the engines: packages, geometry, sweeping, tasks, backends, pool."""
