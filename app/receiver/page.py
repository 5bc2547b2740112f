"""The receiver's description as a page to read, made here: no script, nothing from elsewhere, so it opens offline."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import FastAPI
from starlette.responses import HTMLResponse

_METHODS = ("get", "post", "put", "patch", "delete")


def add_page(app: FastAPI) -> None:
    """`/docs`: every door with its proof, its parameters and its answers, as `/openapi.json` has them."""

    @app.get("/docs", include_in_schema=False)
    def read_description() -> HTMLResponse:
        return HTMLResponse(_page(app.openapi()))


def _page(described: dict[str, Any]) -> str:
    title = escape(described["info"]["title"])
    about = escape(described["info"].get("description", ""))
    doors = "".join(
        part
        for path, operations in described["paths"].items()
        for method in _METHODS
        if method in operations
        for part in _door(path, method, operations[method])
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head><body>'
        f'<h1>{title}</h1><p>{about}</p><p>For programs: <a href="/openapi.json">/openapi.json</a></p>{doors}'
        "</body></html>"
    )


def _door(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<h2>{method.upper()} {escape(path)}</h2><p>{escape(operation.get('summary', ''))}</p>"
    if body := operation.get("requestBody"):
        yield f"<p>Body: {escape(body.get('description', 'JSON'))}</p>"
    if schemes := [name for each in operation.get("security", []) for name in each]:
        yield f"<p>Proof: {escape(', '.join(schemes))}</p>"
    shown = [
        (each["name"], f"{each['in']}{', required' if each.get('required') else ''}", each.get("description", ""))
        for each in operation.get("parameters", [])
    ]
    yield _table(("Parameter", "In", "What it is"), shown)
    answers = [(status, each.get("description", ""), "") for status, each in sorted(operation["responses"].items())]
    yield _table(("Answer", "Meaning", ""), answers)


def _table(heads: tuple[str, str, str], rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
