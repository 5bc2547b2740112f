"""Polling by a mapping, over real HTTP: pages, cursors, logins, and addresses it must not follow."""

from __future__ import annotations

import base64
import itertools
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from standins.wire_server import Answer, Request, Wire, failure, running

from soulcaster.configured import Cursor
from soulcaster.errors import PermanentError, TransientError
from soulcaster.sources.addresses import is_public, pin
from soulcaster.sources.generic_api import fetch_records, make_client
from soulcaster.sources.mapping import parse_mapping
from soulcaster.sources.wire import Page

SECRETS = {"DESK_TOKEN": "t0ken", "DESK_LOGIN": "ann:word"}
PAGED = "title: Desk\nrecords: rows\nfields: {{id: id, title: t}}\npoll:\n  url: v1/rows\n  paging: {paging}\n{more}"


def fetch(
    url: str, paging: str, cursor: Cursor | None = None, *, more: str = "", allow_private: bool = True
) -> Iterator[Page]:
    """Pages of a service at `url`, read with this paging."""
    mapping = parse_mapping(PAGED.format(paging=paging, more=more), "desk")
    with make_client(2.0) as client:
        yield from fetch_records(
            client, mapping, url, cursor or {}, read_secret=SECRETS.__getitem__, allow_private=allow_private
        )


def ids(pages: list[Page]) -> list[int]:
    """Ids of all records, in order."""
    return [row["id"] for page in pages for row in page.payload["rows"]]  # type: ignore[index]


def rows(*numbers: int, **more: Any) -> Answer:
    """A page with these ids."""
    return Answer(payload={"rows": [{"id": n, "t": f"text {n}"} for n in numbers], **more})


@pytest.fixture
def wire() -> Wire:
    """A stand-in not started yet."""
    return Wire()


def by_cursor(request: Request) -> Answer:
    """Three pages by cursor."""
    return {"": rows(1, 2, next="b"), "b": rows(3, next="c"), "c": rows(4, next="")}[request.first("page")]


def by_number(request: Request) -> Answer:
    """Two pages by number, then none."""
    return {"": rows(1, 2), "2": rows(3)}.get(request.first("p"), rows())


def by_link(request: Request) -> Answer:
    """Two pages, the link in the body; the last page names one too, and says that it is the last."""
    return (
        rows(1, next="/v1/rows?at=2", end=False) if not request.first("at") else rows(2, next="/v1/rows?at=3", end=True)
    )


def by_header(request: Request) -> Answer:
    """Two pages, the link in the header."""
    page = rows(1) if not request.first("at") else rows(2)
    if not request.first("at"):
        page.headers["Link"] = '</v1/rows?at=2>; rel="next"'
    return page


@pytest.mark.parametrize(
    ("answer", "paging", "expected"),
    [
        (by_cursor, "{kind: cursor, path: next, parameter: page}", [1, 2, 3, 4]),
        (by_number, "{kind: page, parameter: p}", [1, 2, 3]),
        (by_link, "{kind: next-link, path: next, until: end}", [1, 2]),
        (by_header, "{kind: link-header}", [1, 2]),
        (lambda _request: rows(5), "null", [5]),
    ],
)
def test_every_kind_of_paging_reads_each_record_once(
    wire: Wire, answer: Callable[[Request], Answer], paging: str, expected: list[int]
):
    """All pages to the last, and a cursor that only then forgets the way."""
    with running(answer, wire):
        pages = list(fetch(wire.url, paging))
    assert ids(pages) == expected
    assert "since" in pages[-1].cursor
    assert all("next" in page.cursor for page in pages[:-1])


@pytest.mark.parametrize("n_read", [1, 2])
def test_interrupted_poll_goes_on_behind_the_last_committed_page(wire: Wire, n_read: int):
    """The next poll asks for the page after; a page that is gone means from the beginning."""
    with running(by_cursor, wire):
        read = list(itertools.islice(fetch(wire.url, "{kind: cursor, path: next, parameter: page}"), n_read))
        rest = list(fetch(wire.url, "{kind: cursor, path: next, parameter: page}", read[-1].cursor))
        assert ids(read + rest) == [1, 2, 3, 4]
        wire.failures = [failure("410")]
        again = list(fetch(wire.url, "{kind: cursor, path: next, parameter: page}", read[-1].cursor))
    assert ids(again) == [1, 2, 3, 4]


def test_since_begins_a_while_back_and_then_where_the_last_poll_began(wire: Wire):
    """The overlap is subtracted; the format is the service's."""
    more = "  since: {parameter: after, format: epoch, overlap_seconds: 60, first_days: 2}"
    before = datetime.now(UTC)
    with running(lambda _request: rows(1), wire):
        [first] = fetch(wire.url, "null", more=more)
        list(fetch(wire.url, "null", first.cursor, more=more))
    asked = [datetime.fromtimestamp(int(request.first("after")), UTC) for request in wire.requests]
    assert abs(asked[0] - (before - timedelta(days=2))) < timedelta(minutes=2)
    assert abs(asked[1] - (before - timedelta(seconds=60))) < timedelta(minutes=2)


def test_unchanged_service_is_asked_with_its_etag_and_yields_nothing(wire: Wire):
    """304 is no page."""

    def answer(request: Request) -> Answer:
        known = request.headers.get("if-none-match") == '"v1"'
        return Answer(304) if known else Answer(payload={"rows": [{"id": 1}]}, headers={"ETag": '"v1"'})

    with running(answer, wire):
        [page] = fetch(wire.url, "null")
        assert list(fetch(wire.url, "null", page.cursor)) == []


def test_secrets_go_into_the_headers_they_are_declared_for(wire: Wire):
    """Plain with a prefix, and as Basic; fixed headers and parameters go along."""
    more = (
        "  parameters: {state: open}\n  headers:\n    X-Key: {variable: DESK_TOKEN, prefix: 'Token '}\n"
        "    Authorization: {variable: DESK_LOGIN, prefix: 'Basic ', encoding: base64}\n    X-Fixed: yes it is"
    )
    with running(lambda _request: rows(1), wire):
        list(fetch(wire.url, "null", more=more))
    [request] = wire.requests
    assert request.headers["x-key"] == "Token t0ken"
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"ann:word").decode()
    assert (request.headers["x-fixed"], request.first("state")) == ("yes it is", "open")
    assert request.path == "/v1/rows"


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("401", PermanentError, "check DESK_TOKEN"),
        ("403", PermanentError, "check DESK_TOKEN"),
        ("404", PermanentError, "check base_url"),
        ("429", TransientError, "429"),
        ("500", TransientError, "500"),
        ("cut", TransientError, "tried again"),
        ("slow", TransientError, "tried again"),
        ("drip", TransientError, "within 2 s"),
        ("drip-head", TransientError, "within 2 s"),
        ("broken", TransientError, "expected JSON"),
        ("html", TransientError, "text/html"),
    ],
)
def test_failures_are_sorted_into_again_and_tell_a_person(wire: Wire, kind: str, error: type[Exception], words: str):
    """What may pass by itself is transient; the sentence never holds the secret."""
    wire.failures = [failure(kind)]
    more = "  headers: {X-Key: {variable: DESK_TOKEN}}"
    with running(lambda _request: rows(1), wire), pytest.raises(error) as caught:
        list(fetch(wire.url, "null", more=more))
    assert words in str(caught.value)
    assert "t0ken" not in str(caught.value)


def test_used_up_rate_limit_stops_before_the_next_page(wire: Wire):
    """What the service announced is obeyed; what was read counts."""
    page = rows(1, next="b")
    page.headers.update({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "120"})
    with running(lambda _request: page, wire):
        pages = fetch(wire.url, "{kind: cursor, path: next, parameter: page}")
        assert ids([next(pages)]) == [1]
        with pytest.raises(TransientError, match="rate limit is used up") as caught:
            next(pages)
    assert caught.value.retry_at is not None


def test_redirects_are_followed_without_secrets_elsewhere_and_bounded(wire: Wire):
    """The other host gets no token; a loop ends; an address that is none is refused."""
    other = Wire()
    with running(lambda _request: rows(7), other), running(lambda _request: Answer(302), wire):
        more = "  headers: {X-Key: {variable: DESK_TOKEN}}"
        wire.failures = [Answer(302, headers={"Location": f"{other.url}/moved"})]
        assert ids(list(fetch(wire.url, "null", more=more))) == [7]
        assert "x-key" not in other.requests[0].headers
        wire.failures = [Answer(302, headers={"Location": "/v1/rows"}) for _ in range(10)]
        with pytest.raises(PermanentError, match="more than 3 redirects"):
            list(fetch(wire.url, "null"))
        wire.failures = [Answer(302, headers={"Location": "file:///etc/passwd"})]
        with pytest.raises(PermanentError, match="expected http"):
            list(fetch(wire.url, "null"))


def test_next_link_to_another_host_is_refused(wire: Wire):
    """A body cannot lead our token elsewhere."""
    with running(lambda _request: rows(1, next="http://127.0.0.1:9/rows"), wire):
        pages = fetch(wire.url, "{kind: next-link, path: next}")
        next(pages)
        with pytest.raises(PermanentError, match="Following the pages of 'desk' was refused"):
            next(pages)


def test_page_that_names_itself_ends_the_poll(wire: Wire):
    """No endless loop on a service that repeats its cursor."""
    with running(lambda _request: rows(1, next="b"), wire):
        assert ids(list(fetch(wire.url, "{kind: cursor, path: next, parameter: page}"))) == [1, 1]


def test_private_address_is_refused_unless_switched_on(wire: Wire):
    """By default nothing of this machine or its network is asked, by name neither."""
    with running(lambda _request: rows(1), wire):
        for url in (wire.url, wire.url.replace("127.0.0.1", "localhost"), "http://[::1]:1", "http://169.254.169.254"):
            with pytest.raises(PermanentError, match="SOULCASTER_POLL_PRIVATE_ADDRESSES"):
                list(fetch(url, "null", allow_private=False))
    assert wire.requests == []


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("127.0.0.1", False), ("10.1.2.3", False),
        ("172.16.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False),
        (".".join("0000"), False), ("224.0.0.1", False), ("::1", False), ("fe80::1%eth0", False), ("fd00::1", False),
        ("::ffff:127.0.0.1", False), ("64:ff9b::7f00:1", False), ("2002:7f00:1::", False), ("::", False),
    ],
)  # fmt: skip
def test_public_addresses_are_told_from_all_others(address: str, expected: bool):
    """Loopback, private, link-local, shared, mapped and embedded ones are not of the public internet."""
    assert is_public(address) is expected


@pytest.mark.parametrize(
    "url", ["ftp://example.org/x", "http://user:word@127.0.0.1/", "file:///etc/passwd", "http:///x"]
)
def test_only_http_without_a_login_in_the_address(url: str):
    """Other schemes and addresses with a login are refused, and the login is not repeated."""
    with pytest.raises(PermanentError) as caught:
        pin(httpx.URL(url), allow_private=True)
    assert "word" not in str(caught.value)


def test_pinned_address_keeps_host_port_and_ipv6_brackets():
    """The request goes to the address, and still says for whom."""
    pinned = pin(httpx.URL("https://[::1]:8443/a?b=c"), allow_private=True)
    assert str(pinned.url) == "https://[::1]:8443/a?b=c"
    named = pin(httpx.URL("https://localhost:8443/a"), allow_private=True)
    assert named.url.host in {"127.0.0.1", "::1"}
    assert named.headers == {"Host": "localhost:8443"}
    assert named.extensions == {"sni_hostname": "localhost"}


def test_certificate_is_checked_for_the_name_though_the_request_goes_to_its_address(tmp_path: Path):
    """TLS to the pinned address holds for the name asked for, and for no other."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.headers["Host"].encode())

        def log_message(self, *_args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    trusted = ssl.create_default_context(cafile=str(certificate))
    try:
        with httpx.Client(verify=trusted, trust_env=False) as client:
            pinned = pin(httpx.URL(f"https://localhost:{server.server_port}/"), allow_private=True)
            address = pinned.url.copy_with(host="127.0.0.1")
            answer = client.get(address, headers=pinned.headers, extensions=pinned.extensions)
            assert answer.text == f"localhost:{server.server_port}"
            with pytest.raises(httpx.ConnectError):
                client.get(address, extensions={"sni_hostname": "example.org"})
    finally:
        server.shutdown()
        server.server_close()
