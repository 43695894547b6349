"""STOW-RS and QIDO-RS: what is particular to HTTP."""

from __future__ import annotations

import ssl
import tracemalloc
from base64 import b64encode

import pytest
import trustme
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.deliver import dicomweb
from node.deliver.objects import read_file
from node.domain import DeliveryState
from node.errors import Away, PermanentError, TransientError
from tests.builders import ct_series, write
from tests.builders.network import free_port
from tests.builders.tools import need
from tests.deliver.origin import origin, web_destination
from tests.pacs.orthanc import Orthanc

pytestmark = pytest.mark.loopback


@pytest.fixture
def file(tmp_path):
    (path,) = write(ct_series(slices=1), tmp_path)
    return read_file(path)


def store(server_port, file, **difference):
    link = dicomweb.Link(web_destination(server_port, **difference))
    try:
        return link.store(file)
    finally:
        link.close()


def test_the_bytes_of_the_file_arrive(file):
    with origin() as server:
        store(server.port, file)

        assert server.content == [file.path.read_bytes()]


def test_a_large_object_is_sent_in_bounded_memory(tmp_path):
    (path,) = write(ct_series(slices=1, rows=4096, columns=2048), tmp_path)
    file = read_file(path)
    with origin() as server:
        server.http = 200
        link = dicomweb.Link(web_destination(server.port))
        link.store(file)  # what is imported and opened once
        blocks = dicomweb._blocks(file, b"", b"")
        tracemalloc.start()
        size = sum(len(block) for block in blocks)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        link.close()

    assert size == path.stat().st_size > 16_000_000
    assert peak < 2_000_000


@pytest.mark.parametrize("status", [401, 403, 404, 405, 301, 501])
def test_a_server_that_does_not_let_the_node_in_or_has_no_stow_is_away(file, status):
    with origin() as server:
        server.http = status
        with pytest.raises(Away, match=f"HTTP {status}"):
            store(server.port, file)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_server_that_fails_may_take_it_later(file, status):
    with origin() as server:
        server.http = status
        with pytest.raises(TransientError, match=f"HTTP {status}") as raised:
            store(server.port, file)
        assert not isinstance(raised.value, Away)


@pytest.mark.parametrize("status", [400, 409, 413, 415, 202])
@pytest.mark.parametrize("body", [None, b"{", b"[1]", b'{"00081198": 3}', b'"text"'])
def test_an_answer_that_says_nothing_of_the_object_is_no_success(file, status, body):
    with origin() as server:
        server.http, server.body = status, body
        outcome = store(server.port, file)

    assert outcome.state is DeliveryState.FAILED
    assert f"HTTP {status}" in outcome.reason
    assert outcome.not_taken is (status == 415)


def test_a_failure_of_another_object_is_not_that_of_this_one(file):
    other = b'{"00081198": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]}}'
    with origin() as server:
        server.http, server.body = 200, other

        assert store(server.port, file).state is DeliveryState.DELIVERED


def test_a_failure_without_a_reason_may_pass(file):
    said = (
        b'{"00081198": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["'
        + file.sop_instance_uid.encode()
        + b'"]}}]}}'
    )
    with origin() as server:
        server.http, server.body = 409, said

        assert store(server.port, file).state is DeliveryState.WAITING


def test_credentials_are_read_at_each_request(file, tmp_path):
    token, headers = tmp_path / "token", tmp_path / "headers"
    token.write_text("first\n")
    headers.write_text("X-Api-Key: one\nX-Site: two: three\n\n")
    with origin() as server:
        link = dicomweb.Link(web_destination(server.port, bearer_file=token, headers_file=headers))
        link.store(file)
        token.write_text("second")
        link.store(file)
        link.close()

        assert [h["Authorization"] for h in server.headers] == ["Bearer first", "Bearer second"]
        assert server.headers[0]["X-Api-Key"] == "one"
        assert server.headers[0]["X-Site"] == "two: three"


def test_basic_authentication_has_user_and_password(file, tmp_path):
    password = tmp_path / "password"
    password.write_text("pässword\n", encoding="utf-8")
    with origin() as server:
        store(server.port, file, user="me", password_file=password)

        expected = b64encode("me:pässword".encode()).decode()
        assert server.headers[0]["Authorization"] == f"Basic {expected}"


def test_a_file_with_credentials_that_is_gone_is_away_and_no_object_is_blamed(file, tmp_path):
    with origin() as server, pytest.raises(Away, match="absent cannot be read"):
        store(server.port, file, bearer_file=tmp_path / "absent")


@pytest.fixture
def authority():
    return trustme.CA()


def server_context(authority, *, mutual=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    return context


def test_https_with_certificates_of_both_sides(file, tmp_path, authority):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = authority.issue_cert("wetread.example")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "own.pem")
    tls = {
        name: tmp_path / f"{file}.pem"
        for name, file in [("ca", "ca"), ("certificate", "own"), ("key", "key")]
    }
    with origin(tls=server_context(authority, mutual=True)) as server:
        url = f"https://127.0.0.1:{server.port}/dicom-web"

        outcome = store(server.port, file, url=url, tls=tls)

    assert outcome.state is DeliveryState.DELIVERED


def test_a_certificate_of_somebody_else_is_not_trusted(file, tmp_path, authority):
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    with origin(tls=server_context(authority)) as server:
        url = f"https://127.0.0.1:{server.port}/dicom-web"
        with pytest.raises(Away, match="cannot be reached"):
            store(server.port, file, url=url, tls={"ca": tmp_path / "ca.pem"})


@pytest.mark.parametrize("pages", [True, False], ids=["pages", "whole list every time"])
def test_a_long_list_is_read_to_its_end_and_no_further(file, pages):
    with origin() as server:
        server.pages = pages
        ds = dcmread(file.path)
        for number in range(dicomweb.PAGE + 1):
            server.stored.append(Dataset())
            server.stored[-1].SOPInstanceUID = f"2.25.{number}"
            server.stored[-1].SeriesInstanceUID = ds.SeriesInstanceUID

        found = dicomweb.held(web_destination(server.port), "1.2.3", [ds.SeriesInstanceUID])

    assert len(found) == dicomweb.PAGE + 1
    assert len(server.headers) == 2


def test_a_query_without_a_service_says_so():
    with origin() as server:
        server.http = 400
        with pytest.raises(PermanentError, match="HTTP 400"):
            dicomweb.held(web_destination(server.port), "1.2.3", {"1.2.3.1"})


@pytest.mark.pacs
def test_orthanc_stores_by_stow_and_lists_by_qido(tmp_path):
    need(Orthanc.missing(dicomweb=True))
    orthanc = Orthanc(tmp_path / "orthanc", free_port(), dicomweb=True)
    images = ct_series(slices=3)
    paths = write(images, tmp_path / "ct")
    try:
        orthanc.start()
        to = web_destination(orthanc.http_port)
        dicomweb.verify(to)
        link = dicomweb.Link(to)
        outcomes = [link.store(read_file(path)) for path in [*paths, paths[0]]]
        link.close()
        study, series = str(images[0].StudyInstanceUID), {str(images[0].SeriesInstanceUID)}

        assert {o.state for o in outcomes} == {DeliveryState.DELIVERED}
        assert set(orthanc.instances(study)) == {str(ds.SOPInstanceUID) for ds in images}
        assert dicomweb.held(to, study, series) == {str(ds.SOPInstanceUID) for ds in images}
        assert dicomweb.held(to, study, {"1.2.3.4"}) == set()
    finally:
        orthanc.stop()
