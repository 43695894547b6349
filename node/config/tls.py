"""TLS for those who call the node."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from node.config.section import Section


class Tls(Section):
    """Mutual TLS: peers must show a certificate signed by `ca`."""

    certificate: Path = Field(description="PEM file with the node's certificate chain.")
    key: Path = Field(description="PEM file with the private key, readable by the node only.")
    ca: Path = Field(description="PEM file with the authorities that sign the peers' certificates.")
