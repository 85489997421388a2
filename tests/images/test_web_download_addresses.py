"""Which URLs may be fetched: every odd spelling of an inner address, and every trick with names, makes no connection at all."""

import datetime
import ipaddress
import socket
import ssl
import threading
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dashboard.core.errors import BadRequest, Error
from images.imports import addresses
from images.imports.fetch import Limits
from images.imports.web_download import Download
from images.uploads import staging
from tests.images.test_web_download import Notes
from tests.mirror import Mirror

QUICK = Limits(connect=2, headers=2, idle=2, total=20, tries=2, pause=0.02)


@pytest.fixture(autouse=True)
def _settings(settings, tmp_path):
    settings.STAGING = tmp_path / "staging"
    settings.IMPORT_ALLOWED_PORTS = []


def fetch(url: str) -> bytes:
    owner = uuid4()
    Download(url, owner, Notes(), QUICK).run()
    return staging.path(owner).read_bytes()


class Canary:
    """Listens on every address of this machine, IPv4 and IPv6, and counts who comes."""

    def __enter__(self) -> "Canary":
        self.came: list[object] = []
        self.socket = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self) -> None:
        while True:
            try:
                client, address = self.socket.accept()
            except OSError:
                return
            self.came.append(address)
            client.close()

    def __exit__(self, *exc: object) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(5)


@pytest.fixture
def canary():
    with Canary() as listening:
        yield listening


def test_the_canary_hears_who_comes(canary, settings):
    settings.IMPORT_ALLOWED_HOSTS = ["127.0.0.1"]
    with pytest.raises(Error):
        fetch(f"http://127.0.0.1:{canary.port}/")
    assert canary.came


INNER = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.000.000.001", "0x7f.0.0.1", "127.0.1", "0", "0.0.0.0",
    "00000000177.1",
    "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[fe80::1%25lo]",
    "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[2001:db8::1]", "[100::1]",
    "[ff02::1]",
    "[3fff::1]", "[5f00::1]", "[2606:4700::5efe:7f00:1]", "169.254.169.254", "100.64.0.1", "10.0.0.1", "10.255.255.255", "172.16.0.1",
    "172.31.255.255", "192.168.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "192.88.99.1", "localhost", "localhost.", "LOCALHOST", "LocalHost", "ⓛocalhost", "127。0。0。1", "１２７.0.0.1",
    "localhost..", ".localhost", "a@127.0.0.1", "127.0.0.1:80@127.0.0.1", "127.0.0.1\\@ok.example", "ok.example\\@127.0.0.1",
    "127.0.0.1\t", "127.0.0.1\r\nHost: x", "127.0.0.1 ", " 127.0.0.1", "local\thost", "127.0.0.1\x00", "127.0.0.1%00",
    "127.0.0.1%2eexample",
    "[127.0.0.1]", "[::1", "::1", "[::1]x", "[::ffff:127.0.0.1%25eth0]", "127.0.0.1\u2028", "%6c%6f%63%61%6c%68%6f%73%74", "-localhost-",
]  # fmt: skip


@pytest.mark.parametrize("host", INNER)
def test_no_spelling_of_an_inner_address_is_connected(host, canary):
    for url in (f"http://{host}:{canary.port}/", f"https://{host}:{canary.port}/x?y#z"):
        with pytest.raises(BadRequest):
            fetch(url)
    assert canary.came == []


FORMS = [
    "http://127.0.0.1:{port}#@ok.example", "http://127.0.0.1:{port}?@ok.example", "http:/\\127.0.0.1:{port}", "http:127.0.0.1:{port}",
    "http:/127.0.0.1:{port}", "http:///127.0.0.1:{port}/", "//127.0.0.1:{port}/", "127.0.0.1:{port}", "http://", "http://:{port}/", "",
    "http://ok.example:80@127.0.0.1:{port}", "http://127.0.0.1:{port}\\@ok.example", "\thttp://127.0.0.1:{port}", "http\t://127.0.0.1:{port}",
    "http://127.0.0.1:0/", "http://127.0.0.1:65536/", "http://127.0.0.1:-1/", "http://127.0.0.1:80 81/", "http://127.0.0.1:+80/",
    "http://127.0.0.1:８０/", "http://127.0.0.1:/", "file:///etc/passwd", "FILE:///etc/passwd", "filesystem:///etc", "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_x", "dict://127.0.0.1:{port}/", "ldap://127.0.0.1:{port}/", "jar:http://127.0.0.1:{port}!/", "data:,x",
    "swift+config://x/y/z", "url:http://127.0.0.1:{port}/", "http+unix://%2Ftmp%2Fx/", "javascript:1", "netdoc:///etc/passwd",
    "http://127.0.0.1:{port}/\r\nX: y", "hTTp://127.0.0.1:{port}/",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_no_odd_form_of_a_url_is_connected(form, canary):
    with pytest.raises(BadRequest):
        fetch(form.format(port=canary.port))
    assert canary.came == []


@pytest.mark.parametrize("thing", [None, 5, b"http://x/", ["http://x/"], {"a": 1}, "http://x/" + "a" * 5000])
def test_what_is_no_text_of_a_sensible_length_is_no_url(thing):
    with pytest.raises(BadRequest):
        addresses.parse(thing)


def answers(*texts: str):
    return [(socket.AF_INET6 if ":" in t else socket.AF_INET, socket.SOCK_STREAM, 6, "", (t, 80)) for t in texts]


@pytest.fixture
def names(monkeypatch):
    """A name server of ours: names to lists of answers, one list per question; it counts the questions."""
    real, asked = socket.getaddrinfo, []
    book: dict[str, list[list[str]]] = {}

    def look_up(host, *args, **kwargs):
        if host not in book:
            return real(host, *args, **kwargs)
        asked.append(host)
        return answers(*(book[host].pop(0) if len(book[host]) > 1 else book[host][0]))

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return book, asked


@pytest.mark.parametrize(
    "found",
    [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::1"], ["2606:4700::1111", "::1"], ["8.8.8.8", "::ffff:10.0.0.1"], ["169.254.169.254"], []],
)
def test_a_name_with_any_inner_address_is_refused(found, names, canary):
    names[0]["ok.example"] = [found]
    with pytest.raises(BadRequest):
        fetch(f"http://ok.example:{canary.port}/")
    assert canary.came == []


def test_a_name_that_changes_its_mind_is_asked_once_and_the_judged_address_is_connected(names, canary, monkeypatch):
    names[0]["flip.example"] = [["8.8.8.8"], ["127.0.0.1"]]
    tried = []

    def connect(address, **_):
        tried.append(address)
        raise OSError

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(BadRequest):
        fetch(f"http://flip.example:{canary.port}/")
    assert tried == [("8.8.8.8", canary.port)]
    assert names[1] == ["flip.example"]
    assert canary.came == []


def test_this_machine_is_not_reached_by_its_own_public_address(monkeypatch, names, canary):
    names[0]["vitrine.example"] = [["8.8.8.8"]]
    monkeypatch.setattr(addresses, "is_ours", lambda address: str(address) == "8.8.8.8")
    with pytest.raises(BadRequest):
        fetch(f"http://vitrine.example:{canary.port}/")


def test_an_address_of_this_machine_is_known_by_binding_it():
    assert addresses.is_ours(ipaddress.ip_address("127.0.0.1"))
    assert not addresses.is_ours(ipaddress.ip_address("8.8.8.8"))


def test_every_refusal_reads_the_same_whatever_listens_there(canary, settings):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = gone.getsockname()[1]
    texts = set()
    for host in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "localhost", "no-such-name.invalid"):
        for port in (canary.port, closed):
            with pytest.raises(BadRequest) as refusal:
                fetch(f"http://{host}:{port}/")
            texts.add(str(refusal.value))
    settings.IMPORT_ALLOWED_HOSTS = ["127.0.0.1"]
    with pytest.raises(BadRequest) as refusal:
        fetch(f"http://127.0.0.1:{closed}/")
    texts.add(str(refusal.value))
    assert len(texts) == 1


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "151.101.1.1", "2606:4700::1111", "2a00:1450:4001::1", "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1"],
)
def test_the_public_internet_is_public(address):
    assert addresses.is_public(ipaddress.ip_address(address))


# -- the administrator's lists ---------------------------------------------------------------------------------------
def verdict(url: str) -> bool:
    try:
        addresses.check(addresses.parse(url))
    except BadRequest:
        return False
    return True


def test_by_default_http_and_https_on_their_own_ports_pass(settings):
    settings.IMPORT_ALLOWED_PORTS = [80, 443]
    assert verdict("http://mirror.example/debian.qcow2")
    assert verdict("https://mirror.example:443/debian.qcow2")
    assert not verdict("http://mirror.example:8080/debian.qcow2")


def test_an_allowed_list_makes_the_other_one_silent_as_in_glance(settings):
    settings.IMPORT_ALLOWED_HOSTS, settings.IMPORT_DISALLOWED_HOSTS = ["a.example"], ["a.example"]
    assert verdict("http://A.example./x")
    assert not verdict("http://b.example/x")
    settings.IMPORT_ALLOWED_HOSTS = []
    assert not verdict("http://a.example/x")
    assert verdict("http://b.example/x")


def test_a_port_not_written_is_not_judged_as_in_glance(settings):
    settings.IMPORT_ALLOWED_PORTS = [8080]
    assert verdict("http://mirror.example/x")
    assert verdict("http://mirror.example:8080/x")
    assert not verdict("http://mirror.example:80/x")
    settings.IMPORT_ALLOWED_PORTS, settings.IMPORT_DISALLOWED_PORTS = [], [22]
    assert not verdict("http://mirror.example:22/x")
    assert verdict("http://mirror.example:80/x")


def test_schemes_can_be_taken_away_but_none_added_that_cannot_be_fetched(settings):
    settings.IMPORT_ALLOWED_SCHEMES = ["https", "file", "ftp"]
    assert verdict("https://mirror.example/x")
    assert not verdict("http://mirror.example/x")
    assert not verdict("ftp://mirror.example/x")
    settings.IMPORT_ALLOWED_SCHEMES, settings.IMPORT_DISALLOWED_SCHEMES = [], ["http"]
    assert not verdict("http://mirror.example/x")
    assert verdict("https://mirror.example/x")


def test_a_host_the_administrator_named_may_be_private(settings):
    settings.IMPORT_ALLOWED_HOSTS = ["127.0.0.1"]
    with Mirror() as mirror:
        assert fetch(mirror.serve("/image", b"bytes")) == b"bytes"
        with pytest.raises(BadRequest):
            fetch(mirror.url(host="127.0.0.2"))


def test_urls_are_read_as_they_will_be_asked_for():
    target = addresses.parse("HTTP://Mirror.Example.:8080/a b".replace(" ", "%20") + "/ü?q=ä#part")
    assert (target.scheme, target.host, target.port) == ("http", "mirror.example", 8080)
    assert target.path == "/a%20b/%C3%BC?q=%C3%A4"
    assert target.url == "http://mirror.example:8080/a%20b/%C3%BC?q=%C3%A4"
    assert addresses.parse("https://bücher.example/").host == "xn--bcher-kva.example"
    assert addresses.parse("http://[2606:4700:0::1111]:81/").netloc == "[2606:4700::1111]:81"


# -- https -----------------------------------------------------------------------------------------------------------
def certificate(folder, name: str):
    """A self-signed certificate for `name`; returns (certificate file, key file)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{name}.pem", folder / f"{name}.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    no_password = serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password))
    return files


@pytest.fixture
def secure(tmp_path, settings, monkeypatch):
    """A function that starts an https mirror with a certificate for `name`, trusted or not."""
    settings.IMPORT_ALLOWED_HOSTS = ["localhost"]
    running = []

    def start(name: str, *, trusted: bool) -> Mirror:
        cert, key = certificate(tmp_path, name)
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        server = Mirror()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        running.append(server.__enter__())
        return server

    yield start
    for server in running:
        server.__exit__()


def test_https_is_verified_for_the_name_though_the_socket_goes_to_an_address(secure):
    mirror = secure("localhost", trusted=True)
    data = bytes(range(256)) * 8192
    mirror.serve("/image", data)
    assert fetch(f"https://localhost:{mirror.port}/image") == data
    assert mirror.visits[0][1]["Host"] == f"localhost:{mirror.port}"


@pytest.mark.parametrize(("name", "trusted"), [("localhost", False), ("other.example", True)])
def test_a_certificate_nobody_vouches_for_or_of_another_name_is_refused(secure, name, trusted):
    mirror = secure(name, trusted=trusted)
    mirror.serve("/image", b"bytes")
    with pytest.raises(BadRequest):
        fetch(f"https://localhost:{mirror.port}/image")
    assert mirror.visits == []


def test_https_never_leads_back_to_http(secure):
    mirror = secure("localhost", trusted=True)
    with Mirror() as plain:
        plain.serve("/image", b"bytes")
        mirror.redirect("/image", plain.url(host="localhost"))
        with pytest.raises(BadRequest):
            fetch(f"https://localhost:{mirror.port}/image")
        assert plain.visits == []
