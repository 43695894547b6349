"""TLS to application entities, mutual, by the node's own associations and by pynetdicom's."""

from __future__ import annotations

import ssl

import pytest
import trustme

from node.deliver import kinds
from node.deliver.objects import read_file
from node.domain import DeliveryState
from node.errors import Away
from tests.builders import ct_series, write
from tests.builders.network import peer
from tests.deliver.peers import destination

pytestmark = pytest.mark.loopback


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def keys(tmp_path, authority):
    """The section `tls` of a destination."""
    own = authority.issue_cert("wetread.example")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "own.pem")
    return {
        "ca": tmp_path / "ca.pem",
        "certificate": tmp_path / "own.pem",
        "key": tmp_path / "key.pem",
    }


def server(authority, name="127.0.0.1", version=ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    authority.issue_cert(name).configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    return context


@pytest.fixture
def files(tmp_path):
    return [read_file(path) for path in write(ct_series(slices=3, rows=300, columns=300), tmp_path)]


def send(to, files):
    link = kinds.open_link(to, "WETREAD")
    try:
        return [link.store(file).state for file in files]
    finally:
        link.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_objects_arrive_over_one_association(authority, keys, files, version):
    with peer(tls=server(authority, version=version), find=True) as pacs:
        to = destination(pacs.port, tls=keys)

        assert send(to, files) == [DeliveryState.DELIVERED] * 3
        assert pacs.associations == 1
        assert [str(ds.SOPInstanceUID) for ds in pacs.stored] == [f.sop_instance_uid for f in files]
        series = {str(ds.SeriesInstanceUID) for ds in pacs.stored}
        assert len(kinds.held(to, "WETREAD", "1.2.3", series)) == 3
        kinds.verify(to, "WETREAD")


def test_the_name_in_the_certificate_is_that_of_the_host_or_the_one_configured(
    authority, keys, files
):
    with peer(tls=server(authority, "pacs.example")) as pacs:
        with pytest.raises(Away, match="its certificate is not trusted"):
            send(destination(pacs.port, tls=keys), files)
        named = destination(pacs.port, tls={**keys, "server_name": "pacs.example"})

        assert send(named, files[:1]) == [DeliveryState.DELIVERED]


def test_a_destination_whose_authority_is_not_known_gets_nothing(tmp_path, authority, keys, files):
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    with (
        peer(tls=server(authority)) as pacs,
        pytest.raises(Away, match="its certificate is not trusted"),
    ):
        send(destination(pacs.port, tls={**keys, "ca": tmp_path / "other.pem"}), files)
    assert pacs.stored == []


def test_a_node_that_shows_no_certificate_is_not_let_in(authority, keys, files):
    with peer(tls=server(authority)) as pacs, pytest.raises(Away, match="MAINPACS"):
        send(destination(pacs.port, tls={"ca": keys["ca"]}), files)


def test_a_destination_without_tls_is_away(keys, files):
    with peer() as pacs, pytest.raises(Away, match=r"no TLS connection|no answer in time"):
        send(destination(pacs.port, tls=keys, timeout_s=2), files)


def test_a_file_that_is_gone_is_away_and_no_object_is_blamed(authority, keys, files):
    keys["key"].unlink()
    with peer(tls=server(authority)) as pacs, pytest.raises(Away, match="cannot be used"):
        send(destination(pacs.port, tls=keys), files)
