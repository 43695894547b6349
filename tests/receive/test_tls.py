"""Mutual TLS: a peer with a certificate of the hospital's authority, and nobody else."""

from __future__ import annotations

import ssl

import pytest
import trustme
from pynetdicom import AE

from node.config.model import Tls
from node.errors import ConfigError
from node.receive.scp import StorageScp
from tests.builders.network import VERIFICATION
from tests.receive.door import Door, receive

pytestmark = pytest.mark.loopback


@pytest.fixture
def hospital():
    """The authority that signs all certificates of a hospital."""
    return trustme.CA()


@pytest.fixture
def door(tmp_path, hospital):
    """A node that speaks TLS only."""
    certificate = hospital.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    hospital.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = Tls(
        certificate=tmp_path / "certificate.pem", key=tmp_path / "key.pem", ca=tmp_path / "ca.pem"
    )
    opened = Door(tmp_path, receive(tls=tls))
    yield opened
    opened.close()


def echo_status(port, context):
    """DIMSE status of a C-ECHO, or None if there is no association."""
    ae = AE("CT1")
    ae.add_requested_context(VERIFICATION)
    ae.acse_timeout = ae.network_timeout = ae.dimse_timeout = 5
    arguments = None if context is None else (context, "127.0.0.1")
    opened = ae.associate("127.0.0.1", port, ae_title="WETREAD", tls_args=arguments)
    if not opened.is_established:
        return None
    status = opened.send_c_echo().Status
    opened.release()
    return status


def client(authority, signed_by=None):
    """A peer's side of TLS that trusts an authority and may have a certificate."""
    context = ssl.create_default_context(cafile=None)
    authority.configure_trust(context)
    if signed_by is not None:
        signed_by.issue_cert("ct1.hospital").configure_cert(context)
    return context


def test_a_peer_with_a_certificate_of_the_authority_is_welcome(door, hospital):
    assert echo_status(door.port, client(hospital, signed_by=hospital)) == 0x0000


def test_a_peer_with_a_strangers_certificate_gets_no_association(door, hospital):
    assert echo_status(door.port, client(hospital, signed_by=trustme.CA())) is None


def test_a_peer_without_certificate_gets_no_association(door, hospital):
    assert echo_status(door.port, client(hospital)) is None


def test_a_peer_that_speaks_plainly_gets_no_association_and_stops_nobody(door, hospital):
    assert echo_status(door.port, None) is None
    assert echo_status(door.port, client(hospital, signed_by=hospital)) == 0x0000


def test_a_tls_file_that_cannot_be_used_is_a_configuration_error(tmp_path):
    for name in ("certificate.pem", "key.pem", "ca.pem"):
        (tmp_path / name).write_text("not PEM")
    tls = Tls(
        certificate=tmp_path / "certificate.pem", key=tmp_path / "key.pem", ca=tmp_path / "ca.pem"
    )

    with pytest.raises(ConfigError, match=r"receive\.tls"):
        StorageScp(receive(tls=tls), keeper=None).start()
