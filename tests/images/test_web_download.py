"""Fetching a file from a URL: what arrives whole, what is resumed, and what is refused or given up."""

import hashlib
import random
import socket
import threading
import time
from uuid import uuid4

import pytest

from dashboard.core.errors import BadRequest, Error, Unavailable
from images.imports import web_download
from images.imports.fetch import Limits
from images.imports.web_download import Download
from images.uploads import staging
from tests.mirror import Mirror

MIB = 2**20
QUICK = Limits(connect=2, headers=1, idle=1, slow=0.5, min_rate=10_000, total=20, tries=3, pause=0.02)


@pytest.fixture(autouse=True)
def _settings(settings, tmp_path):
    settings.STAGING = tmp_path / "staging"
    settings.IMPORT_ALLOWED_HOSTS = ["127.0.0.1"]
    settings.IMPORT_ALLOWED_PORTS = []


class Notes:
    """A listener that remembers, and raises what it is told to."""

    def __init__(self) -> None:
        self.totals: list[int | None] = []
        self.heads: list[tuple[bytes, int | None]] = []
        self.arrivals: list[int] = []
        self.stop: Exception | None = None

    def check(self) -> None:
        if self.stop:
            raise self.stop

    def announced(self, total):
        self.totals.append(total)

    def arrived(self, done):
        self.arrivals.append(done)

    def first(self, head, total):
        self.heads.append((head, total))


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def fetch(url: str, notes: Notes | None = None, limits: Limits = QUICK) -> bytes:
    owner = uuid4()
    size = Download(url, owner, notes or Notes(), limits).run()
    data = staging.path(owner).read_bytes()
    assert len(data) == size
    return data


@pytest.mark.parametrize("size", [0, 1, 65536, MIB, 5 * MIB + 17])
def test_a_file_arrives_whole_with_its_size_known_beforehand_and_its_beginning_judged_once(mirror, size):
    notes, data = Notes(), content(size)
    assert fetch(mirror.serve("/image", data), notes) == data
    assert notes.totals == [size]
    assert notes.heads == [(data[:MIB], size)]
    assert notes.arrivals == sorted(notes.arrivals)


def test_a_chunked_answer_without_a_length_arrives_too(mirror):
    data = content(300_000)

    def page(visit):
        visit.begin(Transfer_Encoding="chunked")
        for start in range(0, len(data), 7777):
            piece = data[start : start + 7777]
            visit.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        visit.wfile.write(b"0\r\n\r\n")

    mirror.pages["/image"] = page
    notes = Notes()
    assert fetch(mirror.url(), notes) == data
    assert notes.totals == [None]


def test_a_broken_connection_is_taken_up_where_it_broke(mirror):
    data = content(3 * MIB)

    def page(visit):
        start = visit.part(data, ETag='"v1"')
        visit.wfile.write(data[start : start + MIB + 4096])
        if start + MIB + 4096 < len(data):
            visit.cut()

    mirror.pages["/image"] = page
    notes = Notes()
    assert hashlib.sha256(fetch(mirror.url(), notes)).digest() == hashlib.sha256(data).digest()
    ranges = [headers.get("Range") for _path, headers in mirror.visits]
    assert ranges[0] is None
    assert len(ranges) >= 3
    assert all(text and int(text[6:-1]) > 0 for text in ranges[1:])
    assert notes.totals == [len(data)]
    assert len(notes.heads) == 1


def test_another_file_under_the_same_url_is_fetched_from_the_start_not_mixed(mirror):
    old, new = content(2 * MIB), content(2 * MIB + 1)

    def page(visit):
        if len(mirror.visits) == 1:
            visit.part(old, ETag='"old"')
            visit.wfile.write(old[:MIB])
            visit.cut()
        else:
            start = visit.part(new, ETag='"new"')
            visit.wfile.write(new[start:])

    mirror.pages["/image"] = page
    assert fetch(mirror.url()) == new


def test_a_server_that_resumes_at_the_wrong_place_is_not_believed(mirror):
    data = content(2 * MIB)

    def page(visit):
        if visit.headers.get("Range"):
            visit.begin(206, Content_Length=10, Content_Range=f"bytes 5-14/{len(data)}", ETag='"v1"')
            visit.wfile.write(data[5:15])
        else:
            visit.begin(Content_Length=len(data), ETag='"v1"')
            visit.wfile.write(data if len(mirror.visits) > 2 else data[:MIB])
            visit.cut()

    mirror.pages["/image"] = page
    assert fetch(mirror.url()) == data


def test_a_server_that_promises_more_than_it_sends_is_given_up_after_some_tries(mirror):
    def page(visit):
        visit.begin(Content_Length=1000)
        visit.wfile.write(b"x" * 10)

    mirror.pages["/image"] = page
    with pytest.raises(Unavailable, match="again and again"):
        fetch(mirror.url())
    assert len(mirror.visits) == QUICK.tries


def test_what_comes_beyond_the_promised_length_is_never_read(mirror):
    def page(visit):
        visit.begin(Content_Length=10)
        visit.wfile.write(b"x" * 1000)

    mirror.pages["/image"] = page
    assert fetch(mirror.url()) == b"x" * 10


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_an_answer_that_is_no_file_is_told_by_its_number_and_its_text_is_not_kept(mirror, status):
    mirror.pages["/image"] = lambda visit: visit.send_error(status, "secret words")
    with pytest.raises(BadRequest) as refusal:
        fetch(mirror.url())
    assert str(status) in str(refusal.value)
    assert "secret" not in str(refusal.value)
    assert len(mirror.visits) == 1


def test_a_busy_server_is_asked_again(mirror):
    data = content(1000)

    def page(visit):
        if len(mirror.visits) == 1:
            visit.begin(503, Content_Length=0)
        else:
            visit.begin(Content_Length=len(data))
            visit.wfile.write(data)

    mirror.pages["/image"] = page
    assert fetch(mirror.url()) == data


def test_nothing_encoded_is_taken_and_nothing_encoded_is_asked_for(mirror):
    url = mirror.serve("/image", b"\x1f\x8b" * 100, Content_Encoding="gzip")
    with pytest.raises(BadRequest, match="encoding"):
        fetch(url)
    assert mirror.visits[0][1]["Accept-Encoding"] == "identity"


def test_a_server_that_says_nothing_is_left_in_bounded_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(Error):
            fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/image")
        assert time.monotonic() - began < 8


def test_headers_that_dribble_are_cut_off():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            for _try in range(QUICK.tries):
                client, _address = listener.accept()
                threading.Thread(target=letters, args=(client,), daemon=True).start()

        def letters(client: socket.socket) -> None:
            try:
                client.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                while True:
                    client.sendall(b"x")
                    time.sleep(0.05)
            except OSError:
                client.close()

        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(Error):
            fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/image")
        assert time.monotonic() - began < 8


def test_a_body_that_dribbles_is_cut_off(mirror):
    def page(visit):
        visit.begin(Content_Length=10**9)
        while True:
            visit.wfile.write(b"x" * 10)
            time.sleep(0.05)

    mirror.pages["/image"] = page
    began = time.monotonic()
    with pytest.raises(Unavailable):
        fetch(mirror.url())
    assert time.monotonic() - began < 10


def test_the_whole_download_has_an_end(mirror):
    def page(visit):
        visit.begin(Content_Length=10**12)
        while True:
            visit.wfile.write(b"x" * 65536)
            time.sleep(0.01)

    mirror.pages["/image"] = page
    with pytest.raises(Unavailable, match="longer than is allowed"):
        fetch(mirror.url(), limits=Limits(**{**{f: getattr(QUICK, f) for f in QUICK.__slots__}, "total": 0.5}))


def test_whoever_listens_can_stop_it_while_nothing_arrives(mirror):
    class Enough(Exception):
        pass

    notes, asked = Notes(), threading.Event()

    def page(visit):
        visit.begin(Content_Length=10)
        visit.wfile.flush()
        asked.set()
        time.sleep(5)

    mirror.pages["/image"] = page

    def stop() -> None:
        asked.wait(5)
        notes.stop = Enough()

    threading.Thread(target=stop).start()
    began = time.monotonic()
    with pytest.raises(Enough):
        fetch(mirror.url(), notes, Limits())
    assert time.monotonic() - began < 3


# -- redirects -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_what_is_allowed_is_followed(mirror, status):
    mirror.serve("/real", b"bytes")
    assert fetch(mirror.redirect("/image", "/real", status)) == b"bytes"
    assert fetch(mirror.redirect("/image", mirror.url("/real"), status)) == b"bytes"


def test_three_redirects_are_enough(mirror):
    mirror.serve("/0", b"bytes")
    for n in range(1, 7):
        mirror.redirect(f"/{n}", f"/{n - 1}")
    assert fetch(mirror.url("/3")) == b"bytes"
    with pytest.raises(BadRequest, match="too often"):
        fetch(mirror.url("/4"))
    with pytest.raises(BadRequest, match="too often"):
        fetch(mirror.redirect("/loop", "/loop"))


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/", "//localhost:{port}/canary", "//127.0.0.2:{port}/canary",
        "http://localhost:{port}/canary", "http://127.1:{port}/canary", "http://2130706433:{port}/canary", "http://0x7f000001:{port}/canary",
        "http://0177.0.0.1:{port}/canary", "http://[::1]:{port}/canary", "http://[::ffff:127.0.0.1]:{port}/canary", "http://0:{port}/canary",
        "http://127.0.0.1@127.0.0.2:{port}/canary", "http://127.0.0.1:{port}\\@127.0.0.2/canary", "http:/\\127.0.0.2:{port}/canary", "",
        "http://169.254.169.254/latest/meta-data/", "http://127.0.0.2:{port}/canary\r\nX: y",
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_where_one_may_not_go_ends_there(mirror, location, status):
    with Mirror("0.0.0.0") as canary:
        canary.serve("/canary", b"inside")
        url = mirror.redirect("/image", location.replace("{port}", str(canary.port)).replace("\r\n", "%0d%0a"), status)
        with pytest.raises((BadRequest, Unavailable)):
            fetch(url)
        assert canary.visits == []


def test_a_refresh_header_is_no_redirect(mirror):
    with Mirror() as canary:
        assert fetch(mirror.serve("/image", b"bytes", Refresh=f"0; url={canary.url()}")) == b"bytes"
        assert canary.visits == []


def test_nothing_of_ours_travels_along(mirror):
    fetch(mirror.serve("/image", b"bytes"))
    assert set(mirror.visits[0][1]) == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}


def test_the_size_of_the_head_can_be_chosen(mirror):
    notes, data = Notes(), content(3 * MIB)
    Download(mirror.serve("/image", data), uuid4(), notes, QUICK, head=2 * MIB).run()
    assert [len(head) for head, _total in notes.heads] == [2 * MIB]


def test_gaps_of_zeros_take_no_space(mirror):
    owner = uuid4()
    Download(mirror.serve("/image", bytes(64 * MIB)), owner, Notes(), QUICK).run()
    found = staging.path(owner).stat()
    assert found.st_size == 64 * MIB
    assert found.st_blocks * 512 < MIB


def test_content_range_is_read_strictly():
    assert web_download._content_range("bytes 5-9/10") == (5, 10)
    for text in ("", "bytes */10", "bytes 5-9/*", "items 5-9/10", "bytes -5-9/10"):
        assert web_download._content_range(text) == (None, None)
