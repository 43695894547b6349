"""Mutual TLS: a peer with a certificate of the hospital's authority, and nobody else."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack, contextmanager

import pytest
import trustme
from pynetdicom import AE

from node.config.model import Peer, Tls
from node.errors import ConfigError
from node.receive.scp import StorageScp
from tests.builders import ct_series
from tests.builders.network import VERIFICATION, keep_answers, wait_until
from tests.receive.door import receive
from tests.receive.recording import Recording

pytestmark = pytest.mark.loopback


@pytest.fixture
def hospital():
    """The authority that signs all certificates of a hospital."""
    return trustme.CA()


def files_of(folder, authority):
    """A certificate of the node, signed by an authority, in three files."""
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return Tls(certificate=folder / "certificate.pem", key=folder / "key.pem", ca=folder / "ca.pem")


@contextmanager
def opened(folder, authority, **difference):
    """A node that speaks TLS only."""
    scp = StorageScp(receive(tls=files_of(folder, authority), **difference), Recording())
    scp.start()
    try:
        yield scp
    finally:
        scp.stop()


@pytest.fixture
def door(tmp_path, hospital):
    with opened(tmp_path, hospital) as scp:
        yield scp


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


def client(authority, signed_by=None, name="ct1.hospital"):
    """A peer's side of TLS that trusts an authority and may have a certificate."""
    context = ssl.create_default_context(cafile=None)
    authority.configure_trust(context)
    if signed_by is not None:
        signed_by.issue_cert(name).configure_cert(context)
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
        StorageScp(receive(tls=tls), Recording()).start()


def test_images_come_through_tls_as_they_were(tmp_path, hospital):
    (ds,) = ct_series(slices=1, rows=512, columns=512)
    with opened(tmp_path, hospital) as scp:
        ae = AE("CT1")
        ae.add_requested_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
        peer = ae.associate(
            "127.0.0.1",
            scp.port,
            ae_title="WETREAD",
            tls_args=(client(hospital, signed_by=hospital), "127.0.0.1"),
        )
        keep_answers(peer)
        assert peer.send_c_store(ds).Status == 0x0000
        peer.release()


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_caller_that_never_finishes_its_handshake_keeps_nobody_out(door, hospital, said):
    with ExitStack() as stack:
        for _ in range(20):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", door.port)))
            silent.sendall(said)
        assert echo_status(door.port, client(hospital, signed_by=hospital)) == 0x0000


def test_a_silent_caller_is_closed_after_the_acse_timeout(tmp_path, hospital):
    with (
        opened(tmp_path, hospital, acse_timeout_s=0.5) as scp,
        socket.create_connection(("127.0.0.1", scp.port), timeout=10) as silent,
    ):
        assert silent.recv(1) == b""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(door, hospital, version):
    context = client(hospital, signed_by=hospital)
    context.minimum_version = context.maximum_version = version

    assert echo_status(door.port, context) == 0x0000


def test_a_cipher_without_forward_secrecy_is_not_spoken(door, hospital):
    context = client(hospital, signed_by=hospital)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES256-GCM-SHA384:AES128-SHA")

    assert echo_status(door.port, context) is None


@pytest.mark.parametrize(
    ("name", "status"), [("ct1.hospital", 0x0000), ("CT1.Hospital", 0x0000), ("ct2.hospital", None)]
)
def test_an_ae_title_may_be_bound_to_a_certificate(tmp_path, hospital, name, status):
    bound = (Peer(ae_title="CT1", certificate_name="ct1.hospital"),)
    with opened(tmp_path, hospital, accept_from=bound) as scp:
        assert echo_status(scp.port, client(hospital, signed_by=hospital, name=name)) == status


def test_new_certificates_are_taken_up_without_a_restart(tmp_path, hospital):
    successor = trustme.CA()
    with opened(tmp_path, hospital) as scp:
        assert echo_status(scp.port, client(hospital, signed_by=hospital)) == 0x0000
        files_of(tmp_path, successor)
        wait_until(
            lambda: echo_status(scp.port, client(successor, signed_by=successor)) == 0x0000,
            within_s=20,
            what="the new certificate is shown, and its authority trusted",
        )
        assert echo_status(scp.port, client(hospital, signed_by=hospital)) is None


def test_a_bad_new_certificate_leaves_the_old_one_in_force(tmp_path, hospital, capsys):
    with opened(tmp_path, hospital) as scp:
        (tmp_path / "certificate.pem").write_text("not PEM")
        said = []

        def refused_the_new_one() -> bool:
            assert echo_status(scp.port, client(hospital, signed_by=hospital)) == 0x0000
            said.append(capsys.readouterr().out)
            return "tls.not_renewed" in "".join(said)

        wait_until(refused_the_new_one, within_s=20, what="the log says that it is bad")
        assert echo_status(scp.port, client(hospital, signed_by=hospital)) == 0x0000
