"""What another side may pour out: it is given up, or passes through, and never fills the memory."""

import gzip
import itertools
import tracemalloc
import zlib
from contextlib import contextmanager, suppress

import pytest

from airflow_dbt_cloud.errors import DbtCloudAnswerTooLong, DbtCloudUnreachable
from airflow_dbt_cloud.transport import MAX_JSON_BYTES, Transport

PATH = "/api/v2/accounts/7/runs/1/"
MIB = 2**20
LENGTH = 96 * MIB


PACKERS = {"gzip": gzip.compress, "deflate": zlib.compress}


def bomb(encodings):
    """Return a body that unpacks to 96 MiB of blanks, in as many steps as there are encodings."""
    content = b" " * LENGTH
    for encoding in encodings:
        content = PACKERS[encoding](content)
    return content


@contextmanager
def memory_below(most):
    """Make sure that no more memory is taken in between."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most


@pytest.fixture
def pour(serve, make_credentials):
    """Start a server that pours out pieces, and return a transport to it."""

    def start(head, pieces, **options):
        def answer(_request, connection):
            with suppress(OSError):
                connection.sendall(head)
                for piece in pieces:
                    connection.sendall(piece)

        return Transport(make_credentials(serve(answer).url, timeout_seconds=5), **options)

    return start


BOMBS = [("gzip",), ("deflate",), ("gzip", "gzip"), ("gzip", "deflate", "gzip")]


@pytest.mark.parametrize("encodings", BOMBS)
def test_bombs_in_answers(pour, answer, encodings):
    """An answer that unpacks to more than is read is given up; nothing of it is unpacked beyond."""
    body = bomb(encodings)
    head = answer(content_length=str(len(body)), content_encoding=", ".join(encodings))
    transport = pour(head, [body], clock=lambda: 0.0)
    with memory_below(2 * MAX_JSON_BYTES), pytest.raises(DbtCloudAnswerTooLong):
        transport.request("GET", PATH)


@pytest.mark.parametrize("encodings", BOMBS)
def test_bombs_in_artifacts(pour, answer, encodings):
    """An artifact passes through memory in pieces, however it is packed."""
    body = bomb(encodings)
    head = answer(content_length=str(len(body)), content_encoding=", ".join(encodings))
    transport = pour(head, [body])
    with memory_below(8 * MIB), transport.stream(PATH) as pieces:
        assert sum(map(len, pieces)) == LENGTH


def test_packed_too_often(pour, answer):
    """What is packed a hundred times is not unpacked at all."""
    transport = pour(answer(body=b"x", content_encoding=", ".join(["gzip"] * 100)), [])
    with pytest.raises(DbtCloudUnreachable):
        transport.request("GET", PATH)


def endless(piece):
    """Yield a piece again and again."""
    return itertools.repeat(piece)


@pytest.mark.parametrize("piece", [b"1\r\n \r\n", b"10000\r\n" + b" " * 2**16 + b"\r\n"])
def test_endless_chunks(pour, answer, piece):
    """A body in chunks that does not end is given up when its time is over, or for its length."""
    head = answer(content_length=None, transfer_encoding="chunked")
    transport = pour(head, endless(piece * 100), clock=itertools.count().__next__)
    with memory_below(2 * MAX_JSON_BYTES), pytest.raises(DbtCloudUnreachable):
        transport.request("GET", PATH)


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Odd: 1\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Odd: ", b"x" * 1000),
        (b"", b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1" * 1000),
    ],
)
def test_endless_heads(pour, head, piece):
    """A status, a header or the length of a chunk that does not end is given up."""
    transport = pour(head, endless(piece), clock=itertools.count().__next__)
    with memory_below(8 * MIB), pytest.raises(DbtCloudUnreachable):
        transport.request("GET", PATH)
