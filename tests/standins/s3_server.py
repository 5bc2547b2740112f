"""S3 on loopback: moto's server behind a door that checks what moto does not: signatures and how long they hold.

Behind the same door moto keeps the secret and the log groups that task definitions name.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, quote

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

ACCESS_KEY, SECRET_KEY, REGION = "AKIASTANDINACCESSKEY", "standin-s3cr3t-c4n4ry", "eu-central-1"
BUCKET = "soulcaster-jobs"


@dataclass
class S3:
    """The running server, and what it was asked for: (method, path, status)."""

    url: str = ""
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    later: timedelta = timedelta(0)
    """The clock of the door runs ahead by so much: addresses that hold for less have expired."""

    @cached_property
    def client(self) -> Any:
        """A client with the right credentials."""
        return self.open("s3")

    def open(self, service: str) -> Any:
        """A client of another service behind the door."""
        return boto3.client(
            service, region_name=REGION, endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
        )  # fmt: skip

    def list_keys(self) -> list[str]:
        """All there is in the bucket."""
        return [row["Key"] for row in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def clear(self) -> None:
        """Empty the bucket."""
        if keys := self.list_keys():
            self.client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys]})


@contextmanager
def running_s3() -> Iterator[S3]:
    """The started server with an empty bucket; stopped at the end of the block."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    s3 = S3()
    server = make_server("127.0.0.1", 0, _door(DomainDispatcherApplication(create_backend_app), s3), threaded=True,
                         request_handler=_Quiet)  # fmt: skip
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    s3.url = f"http://127.0.0.1:{server.server_port}"
    client = s3.client
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    try:
        yield s3
    finally:
        s3.clear()
        client.delete_bucket(Bucket=BUCKET)
        server.shutdown()
        thread.join()


class _Quiet(WSGIRequestHandler):
    def log(self, *_args: object, **_more: object) -> None:
        pass


def _door(inside: Callable[..., Any], s3: S3) -> Callable[..., Any]:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if not _is_allowed(environ, datetime.now(UTC) + s3.later):
            s3.asked.append((method, path, 403))
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>AccessDenied</Code><Message>refused at the door</Message></Error>"]

        def note(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            s3.asked.append((method, path, int(status.split(maxsplit=1)[0])))
            return start_response(status, headers, *more)

        return inside(environ, note)

    return application


def _is_allowed(environ: dict[str, Any], now: datetime) -> bool:
    """Whether the request is signed with our key: by header (taken as it is), or by an address that still holds."""
    header = environ.get("HTTP_AUTHORIZATION", "")
    if header:
        return header.startswith(f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/")
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    given = query.pop("X-Amz-Signature", "")
    if not given:
        return False
    signed_at = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    is_valid_yet = now < signed_at + timedelta(seconds=int(query["X-Amz-Expires"]))
    return is_valid_yet and hmac.compare_digest(given, _signature(environ, query))


def _signature(environ: dict[str, Any], query: dict[str, str]) -> str:
    """Source: the signing process of AWS Signature Version 4, query form."""
    names = query["X-Amz-SignedHeaders"].split(";")
    headers = "".join(f"{name}:{environ.get('HTTP_' + name.upper().replace('-', '_'), '').strip()}\n" for name in names)
    words = "&".join(f"{quote(key, safe='~')}={quote(value, safe='~')}" for key, value in sorted(query.items()))
    canonical = "\n".join([
        environ["REQUEST_METHOD"], quote(environ["PATH_INFO"], safe="/~"), words, headers, ";".join(names),
        "UNSIGNED-PAYLOAD",
    ])  # fmt: skip
    scope = query["X-Amz-Credential"].split("/", 1)[1]
    to_sign = "\n".join([
        "AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, hashlib.sha256(canonical.encode()).hexdigest(),
    ])  # fmt: skip
    key = f"AWS4{SECRET_KEY}".encode()
    for part in [*scope.split("/"), to_sign]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()
