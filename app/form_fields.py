"""Controls for the fields of a pydantic model, and for the names of variables that hold secrets."""

from __future__ import annotations

import typing
from types import NoneType, UnionType
from typing import Any, Literal

import streamlit as st
from pydantic.fields import FieldInfo

from app.words import plain
from soulcaster.errors import SoulcasterError
from soulcaster.settings import read_secret


def ask_field(name: str, field: FieldInfo, value: object, *, key: str) -> Any:  # noqa: ANN401  what the field holds
    """What the person chose: a switch, one or several of the allowed values, words (separated by commas), or a number.

    An empty text is None.
    """
    label = name.replace("_", " ").capitalize()
    hint = plain(field.description or "")
    kind = _kind(field.annotation)
    if kind is bool:
        return st.toggle(label, value=bool(value), key=key, help=hint)
    if kind is int:
        return st.number_input(label, value=typing.cast("int | None", value), step=1, key=key, help=hint)
    if typing.get_origin(kind) is Literal:
        options = list(typing.get_args(kind))
        return st.selectbox(label, options, index=options.index(value), key=key, help=hint)
    if typing.get_origin(kind) is list:
        given = [str(each) for each in typing.cast("list[object]", value or [])]
        [inner] = typing.get_args(kind)
        if typing.get_origin(inner) is Literal:
            return st.multiselect(label, list(typing.get_args(inner)), default=given, key=key, help=hint)
        words = st.text_input(label, ", ".join(given), key=key, help=hint, placeholder="separated by commas")
        return [word.strip() for word in words.split(",") if word.strip()]
    if kind is not str:
        message = f"No control is known for field {name!r} of type {kind!r}."
        raise TypeError(message)
    placeholder = "NAME_OF_A_VARIABLE" if name.endswith("_variable") else ""
    return st.text_input(label, str(value or ""), key=key, help=hint, placeholder=placeholder).strip() or None


def say_variables(variables: dict[str, str | None]) -> None:
    """One badge for each named variable: what it is for, and whether it is set here; never what is in it."""
    named = {use: name for use, name in variables.items() if name}
    for use, name in named.items():
        label = plain(f"{use}: {name}")
        if is_set(name):
            st.badge(f"🔑 {label} is set", color="green", help="Where the app runs; the worker must have it too.")
        else:
            st.badge(f"❌ {label} is not set", color="red", help="Not where the app runs: set it there and restart.")


def is_set(variable: str) -> bool:
    """Whether the variable has a value, in the environment of the app or in `.env`."""
    try:
        read_secret(variable)
    except SoulcasterError:
        return False
    return True


def _kind(annotation: object) -> Any:  # noqa: ANN401  a type
    """The type of a field without its `| None`."""
    if typing.get_origin(annotation) in (typing.Union, UnionType):
        [kind] = [each for each in typing.get_args(annotation) if each is not NoneType]
        return kind
    return annotation
