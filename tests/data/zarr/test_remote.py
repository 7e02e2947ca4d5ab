"""Stores at addresses: a server on loopback that fails as servers do."""

import functools
import http.server
import threading
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from nowcast.config.command_line.arguments import one_archive
from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.archive.paths import archive_paths
from nowcast.data.zarr import store
from nowcast.data.zarr.opening import archive_at
from tests.data.archives import moving_rain
from tests.data.zarr.stores import KINDS, mirror

EVERYTHING = (slice(None), slice(None), slice(None))


class Server(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, with ranges, as object stores give them; `faults`: part of a path → a list of answers."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked[self.path] += 1
        self.server.signed |= "Authorization" in self.headers
        fault = next((queue for part, queue in self.server.faults.items() if part in self.path and queue), None)
        status = fault.pop(0) if fault else 200
        asked = urlsplit(self.path)
        path = self.server.folder / asked.path.lstrip("/")
        if "list-type=2" in asked.query:
            self.listed(path, parse_qs(asked.query).get("prefix", [""])[0])
            return
        if status == 200 and not path.is_file():
            status = self.server.absent
        body = path.read_bytes() if status in (200, "short") else b"no"
        size, first = len(body), 0
        if status == "short":
            body, status = body[: size // 2], 200
            size = len(body)
        if status == 200 and (asked := self.headers.get("Range")):
            low, high = asked.removeprefix("bytes=").split("-")
            first, last = (max(0, size - int(high)), size - 1) if not low else (int(low), int(high or size - 1))
            body, status = body[first : last + 1], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Wed, 01 May 2024 00:00:00 GMT")
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{size}")
        self.end_headers()
        self.wfile.write(body)

    def listed(self, bucket, prefix):
        """What lies in a folder, as S3 says it."""
        inside = sorted((bucket / prefix).iterdir()) if (bucket / prefix).is_dir() else []
        names = [(each.relative_to(bucket).as_posix(), each.is_dir()) for each in inside]
        folders = "".join(
            f"<CommonPrefixes><Prefix>{name}/</Prefix></CommonPrefixes>" for name, folder in names if folder
        )
        when = "<LastModified>2024-05-01T00:00:00Z</LastModified><ETag>1</ETag><Size>1</Size>"
        files = "".join(f"<Contents><Key>{name}</Key>{when}</Contents>" for name, folder in names if not folder)
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{folders}{files}</ListBucketResult>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *text):
        """Say nothing."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of the folder `served`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server))
    running.folder, running.faults, running.asked, running.absent = tmp_path / "served", {}, Counter(), 404
    running.signed = False
    address = f"http://127.0.0.1:{running.server_port}"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    quick = store.RETRIES["backoff"] | {"init_backoff": store.timedelta(milliseconds=1)}
    monkeypatch.setitem(store.RETRIES, "backoff", quick | {"max_backoff": store.timedelta(milliseconds=5)})
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    running.address = address
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="module")
def netcdf(tmp_path_factory):
    return Archive(moving_rain(tmp_path_factory.mktemp("netcdf") / "rain.nc", frames=40))


SCHEMES = ["http", "s3"]


def address(server, scheme):
    return "s3://bucket/rain.zarr" if scheme == "s3" else f"{server.address}/bucket/rain.zarr"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", ["v2", "v3", "v3, sharded"])
def test_a_store_at_an_address_is_that_in_a_folder(server, netcdf, scheme, kind):
    local = archive_at(mirror(netcdf, server.folder / "bucket" / "rain.zarr", **KINDS[kind]))
    archive = archive_at(address(server, scheme))
    assert (archive.name, archive.fingerprint) == (local.name, local.fingerprint)
    assert np.array_equal(archive.read(slice(3, 30, 2), slice(2, 9), slice(4, 40)),
                          netcdf.read(slice(3, 30, 2), slice(2, 9), slice(4, 40)))  # fmt: skip
    assert np.array_equal(archive.rain_fraction, netcdf.rain_fraction)
    assert str(archive.cache_folder).startswith(str(server.folder.parent / "caches"))
    assert not server.signed


@pytest.mark.parametrize("kind", ["v2, not consolidated", "v3, not consolidated"])
def test_a_store_of_s3_whose_metadata_are_not_consolidated_is_listed(server, netcdf, kind):
    mirror(netcdf, server.folder / "bucket" / "rain.zarr", **KINDS[kind])
    assert np.array_equal(archive_at("s3://bucket/rain.zarr").read(*EVERYTHING), netcdf.read(*EVERYTHING))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_busy_server_is_asked_again(server, netcdf, scheme):
    mirror(netcdf, server.folder / "bucket" / "rain.zarr")
    server.faults = {"rr/c/4/": [503, 503], "zarr.json": [503]}
    assert np.array_equal(archive_at(address(server, scheme)).read(*EVERYTHING), netcdf.read(*EVERYTHING))
    assert max(count for path, count in server.asked.items() if "rr/c/4/" in path) == 3


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([503] * 50, r"cannot read rr, frames 3 to 6: .*503.*; try again later, or take a copy"),
        (["short"] * 50, r"cannot read rr, frames 3 to 6: .*; try again later, or take a copy"),
        ([403] * 50, r"cannot read rr, frames 3 to 6: access is denied; "),
    ],
)
def test_a_chunk_that_cannot_be_had_is_one_line(server, netcdf, scheme, answers, problem):
    mirror(netcdf, server.folder / "bucket" / "rain.zarr")
    archive = archive_at(address(server, scheme))
    server.faults = {"rr/c/4/": answers}
    with pytest.raises(DataFormatError, match=problem) as error:
        archive.read(slice(3, 6), slice(None), slice(None))
    assert str(error.value).startswith(address(server, scheme))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_chunk_that_is_not_there_is_no_data(server, netcdf, scheme):
    mirror(netcdf, server.folder / "bucket" / "rain.zarr", fill=0.0, drop=(4,))
    rain = archive_at(address(server, scheme)).read(*EVERYTHING)
    assert np.isnan(rain).all(axis=(1, 2)).tolist() == [k == 4 for k in range(40)]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_address_where_nothing_is_and_one_without_access(server, netcdf, scheme):
    with pytest.raises(DataFormatError, match="is no Zarr store that can be opened"):
        archive_at(address(server, scheme))
    server.absent = 403
    names = "AWS_ACCESS_KEY_ID" if scheme == "s3" else "not public"
    with pytest.raises(DataFormatError, match=f"access is denied; .*{names}") as error:
        archive_at(address(server, scheme))
    assert "\n" not in str(error.value)


def test_keys_of_the_environment_sign_requests_and_are_in_nothing_that_is_kept(server, netcdf, monkeypatch, caplog):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAPUBLICNAME")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-very-secret-key")
    mirror(netcdf, server.folder / "bucket" / "rain.zarr")
    archive = archive_at("s3://bucket/rain.zarr")
    assert archive.read(*EVERYTHING).shape == (40, 32, 40)
    assert server.signed
    archive.close()  # which forgets what was read
    server.faults = {"rr/c/": [403] * 50}
    with pytest.raises(DataFormatError) as error:
        archive.read(*EVERYTHING)
    kept = repr(archive) + repr(archive.__getstate__()) + repr(archive.attributes) + str(error.value) + caplog.text
    assert "a-very-secret-key" not in kept
    assert "AKIAPUBLICNAME" not in kept


@pytest.mark.parametrize("text", ["https://me:s3cret@host/x.zarr", "s3://b/x.zarr?X-Amz-Signature=s3cret"])
def test_credentials_in_an_address_are_refused_and_not_shown(text):
    for asked in (archive_paths, lambda given: one_archive(given[0])):
        with pytest.raises(ValueError, match="holds a user or a query") as error:
            asked([text])
        assert "s3cret" not in str(error.value)


def test_a_store_at_https_without_consolidated_metadata_says_what_to_do(server, netcdf):
    mirror(netcdf, server.folder / "bucket" / "rain.zarr", consolidated=False)
    with pytest.raises(DataFormatError, match="consolidated"):
        archive_at(address(server, "http"))
