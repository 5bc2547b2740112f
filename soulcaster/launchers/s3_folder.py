"""The job folder of one launch as objects in a bucket: `in/` is given, `out/` comes back, `ticket.json` names both.

What runs gets one presigned address a file, for exactly these keys and a time; it needs no credentials of its own.
What comes back is a claim: fixed names alone, within bounds, and where it is sealed, with the hashes of the seal.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from soulcaster.fix_models import LaunchMode, LaunchRequest
from soulcaster.launchers.aws import call

INPUTS: dict[LaunchMode, tuple[str, ...]] = {
    "edit": ("job.json", "source.tar.gz", "start.patch"),
    "verify": ("job.json", "source.tar.gz", "change.patch", "tests.patch", "source.patch"),
}
MOST_BYTES = {
    "report.json": 10_000_000,
    "change.patch": 6_000_000,
    "events.jsonl": 6_000_000,
    "log.txt": 6_000_000,
    "ended.json": 100_000,
}
_USAGE, _EXCHANGES = "usage.json", "model.jsonl"
_MOST_PRIVATE_BYTES = {_USAGE: 10_000, _EXCHANGES: 5_000_000}
"""What the gateway hands over, by addresses that no agent has."""
_START_SECONDS = 1800
_SLACK_SECONDS = 900
"""Source: agent.md §2.3: results may be handed over until a quarter of an hour after the deadline."""


def lifetime_of(request: LaunchRequest) -> int:
    """Seconds from now for which anything of the launch may be needed."""
    return _START_SECONDS + request.deadline_seconds + _SLACK_SECONDS


class _Whole(BaseModel):
    bytes: int
    sha256: str


class Seal(BaseModel):
    """What the task said when it ended; a claim."""

    exit_code: int
    reason: str = Field("", max_length=1000)
    outputs: dict[str, _Whole] = Field(default_factory=dict, max_length=10)


class S3Folder:
    """One launch's objects: `<prefix>/<token>/` of the bucket, beside a folder on this machine."""

    def __init__(self, client: Any, bucket: str, prefix: str, token: str, folder: Path) -> None:  # noqa: ANN401
        self._client = client
        self._bucket = bucket
        self._root = f"{prefix.strip('/')}/{token}".lstrip("/")
        self._folder = folder
        self._seen: dict[str, str] = {}

    @property
    def address(self) -> str:
        """For people."""
        return f"s3://{self._bucket}/{self._root}/"

    def upload(self, request: LaunchRequest, *, gateway: str, progress_seconds: float) -> str:
        """Store inputs and ticket; the address that gives the ticket, for as long as a start may take."""
        lifetime = lifetime_of(request)
        inputs = {}
        for name in INPUTS[request.mode]:
            path = self._folder / name
            if path.is_file() and (path.stat().st_size or name in ("job.json", "source.tar.gz")):
                inputs[name] = {"url": self._sign("get_object", f"in/{name}", lifetime), **self._put_file(path)}
        ticket = {
            "schema_version": 1,
            "mode": request.mode,
            "deadline_seconds": request.deadline_seconds,
            "progress_seconds": progress_seconds,
            "gateway": gateway,
            "inputs": inputs,
            "outputs": {
                name: self._sign("put_object", f"out/{name}", lifetime) for name in MOST_BYTES if name != "ended.json"
            },
            "ended": self._sign("put_object", "out/ended.json", lifetime, IfNoneMatch="*"),
        }
        self._put("ticket.json", json.dumps(ticket).encode())
        return self._sign("get_object", "ticket.json", _START_SECONDS)

    def upload_gateway(self, request: LaunchRequest) -> str:
        """Store what the gateway beside the agent is told; the address that gives it, as long as a start may take."""
        lifetime = lifetime_of(request)
        names = {"usage": _USAGE, "exchanges": _EXCHANGES}
        urls = {name: self._sign("put_object", f"out/{each}", lifetime) for name, each in names.items()}
        self._put("gateway.json", json.dumps(urls).encode())
        return self._sign("get_object", "gateway.json", _START_SECONDS)

    def has_results(self) -> bool:
        """Whether a task ever handed something over."""
        return bool(self._list())

    def download(self) -> tuple[Seal | None, list[str]]:
        """Bring what has been handed over into the folder; the seal, if it is there, and what was left away and why.

        A sealed launch leaves exactly what its seal names; before, whatever is new is taken as it is.

        Raises:
            TransientError: no answer of the store.
        """
        there = self._list()
        problems: list[str] = []
        self._bring_private(there)
        seal = self._read_seal(there, problems)
        for name, most in MOST_BYTES.items():
            if name == "ended.json" or name not in there:
                continue
            size, tag = there[name]
            if size > most:
                problems.append(f"{name} has {size:,} bytes, at most {most:,} are taken")
                continue
            if self._seen.get(name) == tag and seal is None:
                continue
            content = self._get(name, most)
            wanted = seal.outputs.get(name) if seal else None
            if seal is not None and (wanted is None or hashlib.sha256(content).hexdigest() != wanted.sha256):
                problems.append(f"{name} is not what the seal names")
                (self._folder / name).unlink(missing_ok=True)
                continue
            _write(self._folder / name, content)
            self._seen[name] = tag
        return seal, problems

    def _bring_private(self, there: dict[str, tuple[int, str]]) -> None:
        """The gateway's counts and exchanges, to where no agent reaches."""
        for name, most in _MOST_PRIVATE_BYTES.items():
            size, tag = there.get(name, (0, ""))
            if 0 < size <= most and self._seen.get(name) != tag:
                private = self._folder / "launch"
                private.mkdir(mode=0o700, exist_ok=True)
                _write(private / name, self._get(name, most))
                self._seen[name] = tag

    def delete(self) -> None:
        """Take away everything that lies there."""
        for name in (
            "ticket.json",
            "gateway.json",
            *(f"in/{each}" for each in {*INPUTS["edit"], *INPUTS["verify"]}),
            *self._there(),
        ):
            call(
                f"Deleting {name!r} of {self.address!r}", self._client.delete_object,
                Bucket=self._bucket, Key=f"{self._root}/{name}",
            )  # fmt: skip

    def _there(self) -> list[str]:
        return [f"out/{name}" for name in self._list()]

    def _read_seal(self, there: dict[str, tuple[int, str]], problems: list[str]) -> Seal | None:
        size, _ = there.get("ended.json", (0, ""))
        if not 0 < size <= MOST_BYTES["ended.json"]:
            return None
        try:
            return Seal.model_validate_json(self._get("ended.json", MOST_BYTES["ended.json"]))
        except ValidationError:
            problems.append("the seal is not one")
            return None

    def _list(self) -> dict[str, tuple[int, str]]:
        """Size and tag of what lies in `out/`, by name."""
        prefix = f"{self._root}/out/"
        found = call(
            f"Listing {prefix!r} of bucket {self._bucket!r}", self._client.list_objects_v2,
            Bucket=self._bucket, Prefix=prefix, MaxKeys=100,
        )  # fmt: skip
        rows = found.get("Contents", [])
        return {row["Key"].removeprefix(prefix): (int(row["Size"]), str(row.get("ETag", ""))) for row in rows}

    def _get(self, name: str, most: int) -> bytes:
        def ask() -> bytes:
            body = self._client.get_object(Bucket=self._bucket, Key=f"{self._root}/out/{name}")["Body"]
            content: bytes = body.read(most + 1)
            return content[:most]

        content: bytes = call(f"Reading {name!r} of {self.address!r}", ask)
        return content

    def _put_file(self, path: Path) -> dict[str, Any]:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            self._put(f"in/{path.name}", file)
        return {"bytes": path.stat().st_size, "sha256": digest}

    def _put(self, name: str, body: Any) -> None:  # noqa: ANN401  bytes or a file
        call(
            f"Storing {name!r} in {self.address!r}", self._client.put_object,
            Bucket=self._bucket, Key=f"{self._root}/{name}", Body=body, ContentType="application/octet-stream",
        )  # fmt: skip

    def _sign(self, action: str, name: str, seconds: int, **words: str) -> str:
        url: str = call(
            f"Signing an address for {name!r} of {self.address!r}", self._client.generate_presigned_url,
            ClientMethod=action, Params={"Bucket": self._bucket, "Key": f"{self._root}/{name}", **words},
            ExpiresIn=seconds,
        )  # fmt: skip
        return url


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.part")
    draft.write_bytes(content)
    draft.replace(path)
