"""Downloads that break off, by the network or by a kill, go on where they were."""

import hashlib
import http.server

import numpy as np
import pytest

from bood_tasks.datasets.download import _has_md5, fetch_file
from tests.datasets.serving import serving

CONTENT = np.random.default_rng(0).bytes(300_000)
RIGHT = _has_md5(hashlib.md5(CONTENT).hexdigest())


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; `cuts` are the bytes after which connections end, one after the other."""

    cuts, asked, ranges, content = [], [], True, CONTENT

    def log_message(self, *_):
        pass

    def do_GET(self):
        start, given = 0, self.headers.get("Range")
        self.asked.append(given)
        if not self.path.endswith("some.tar"):
            return self.send_error(404)
        if given and self.ranges:
            start = int(given.removeprefix("bytes=").removesuffix("-"))
            if start >= len(self.content):
                return self.send_error(416)
        self.send_response(206 if given and self.ranges else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        cut = self.cuts.pop(0) if self.cuts else len(self.content)
        self.wfile.write(self.content[start : start + cut])


@pytest.fixture
def served(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Server.cuts, Server.asked, Server.ranges, Server.content = [], [], True, CONTENT
    with serving(Server) as address:
        yield f"{address}/some.tar"


def test_a_broken_connection_is_resumed_where_it_broke(served, tmp_path, capsys):
    Server.cuts = [100_000, 50_000]
    fetch_file(served, tmp_path / "d/some.tar", RIGHT)
    assert (tmp_path / "d/some.tar").read_bytes() == CONTENT
    assert Server.asked == [None, "bytes=100000-", "bytes=150000-"]
    assert "going on after 150,000 bytes" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["some.tar"]


@pytest.mark.parametrize("have", [0, 1, 123_456, len(CONTENT)])
def test_a_killed_download_goes_on(served, tmp_path, have):
    (tmp_path / ".some.tar.part").write_bytes(CONTENT[:have])
    fetch_file(served, tmp_path / "some.tar", RIGHT)
    assert (tmp_path / "some.tar").read_bytes() == CONTENT
    assert Server.asked == [f"bytes={have}-" if have else None]


def test_a_server_without_ranges_begins_anew(served, tmp_path):
    Server.ranges = False
    (tmp_path / ".some.tar.part").write_bytes(b"x" * 1000)
    fetch_file(served, tmp_path / "some.tar", RIGHT)
    assert (tmp_path / "some.tar").read_bytes() == CONTENT


def test_a_start_of_another_file_is_not_kept(served, tmp_path):
    (tmp_path / ".some.tar.part").write_bytes(bytes(1000))
    with pytest.raises(ValueError, match="must have the MD5"):
        fetch_file(served, tmp_path / "some.tar", RIGHT)
    assert list(tmp_path.iterdir()) == []
    fetch_file(served, tmp_path / "some.tar", RIGHT)


def test_a_network_that_brings_nothing_more_is_given_up_and_what_came_is_kept(served, tmp_path):
    Server.cuts = [1000] + [0] * 20
    with pytest.raises(OSError, match="1,000 bytes of it are kept"):
        fetch_file(served, tmp_path / "some.tar", RIGHT)
    assert (tmp_path / ".some.tar.part").read_bytes() == CONTENT[:1000]


def test_an_answer_that_is_an_error_is_not_asked_for_again(served, tmp_path):
    with pytest.raises(OSError, match="404"):
        fetch_file(f"{served}.gone", tmp_path / "some.tar", RIGHT)
    assert len(Server.asked) == 1
