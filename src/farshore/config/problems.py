"""What is wrong with a file, one sentence each: the line, the key, and what to write."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from farshore.config.form import FileForm
from farshore.config.locate import Lines, Path

_TYPES = {
    "string_type": "write text in quotes",
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "bool_type": "write true or false",
    "list_type": "write a list, or [[double brackets]] for each entry",
    "dict_type": "write a table",
    "model_type": "write a table",
    "model_attributes_type": "write a table",
}
_BOUNDS = {
    "greater_than": ("gt", "write more than {}"),
    "greater_than_equal": ("ge", "write {} or more"),
    "less_than_equal": ("le", "write {} or less"),
}
_SECRET_KEY = re.compile(r"access_?key|secret|session_?token|password|aws_", re.IGNORECASE)


class Problem(NamedTuple):
    """`path` locates it; `text` is the rest of the sentence."""

    path: Path
    text: str


def render(problems: Iterable[Problem], lines: Lines) -> tuple[str, ...]:
    """Sentences in the order of the file."""
    placed = sorted((lines.line(p.path), dotted(p.path), p.text) for p in problems)
    return tuple(
        (f"line {line}: " if line else "") + (f"{where}: {text}" if where else text)
        for line, where, text in dict.fromkeys(placed)
    )


def dotted(path: Path) -> str:
    """("pair", "rules", 0, "prefix") to "pair.rules[0].prefix"."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def from_validation(error: ErrorDetails) -> Problem:
    """One of Pydantic's complaints in our words. The value itself is never repeated."""
    path: Path = tuple(error["loc"])
    kind = error["type"]
    context: dict[str, Any] = error.get("ctx", {})
    if kind == "extra_forbidden":
        return Problem(path, _unknown(path))
    if kind == "missing":
        return Problem(path, "is missing" + _purpose(path))
    if kind == "value_error":
        return Problem(path, str(context["error"]))
    if kind in _BOUNDS:
        name, form = _BOUNDS[kind]
        return Problem(path, form.format(f"{context[name]:.15g}"))
    if kind == "literal_error":
        return Problem(path, f"write {context['expected']}".replace("'", '"'))
    if kind in ("too_short", "string_too_short"):
        return Problem(path, "must not be empty" + _purpose(path))
    return Problem(path, _TYPES.get(kind, error["msg"]))


def secrets_in_file(document: dict[str, Any]) -> list[Problem]:
    """Keys typed into the file. They are taken out of `document`, so nothing repeats them."""
    sites = document.get("sites")
    problems = []
    for name, site in (sites if isinstance(sites, dict) else {}).items():
        if isinstance(site, dict):
            problems += _secrets_of_site(("sites", name), name, site)
    return problems


def _secrets_of_site(path: Path, name: str, site: dict[str, Any]) -> list[Problem]:
    problems = _typed_secrets(path, site, name, "operator")
    credentials = site.get("credentials")
    if not isinstance(credentials, dict):
        return problems
    path = (*path, "credentials")
    problems += _typed_secrets(path, credentials, name, "operator")
    for principal, source in credentials.items():
        if isinstance(source, dict):
            problems += _typed_secrets((*path, principal), source, name, principal)
    return problems


def _typed_secrets(path: Path, table: dict[str, Any], site: str, principal: str) -> list[Problem]:
    typed = [key for key in table if _SECRET_KEY.search(key)]
    for key in typed:
        del table[key]
    variable = f"FARSHORE_{site}_{principal}".upper().replace("-", "_")
    advice = (
        f'keys do not belong in the file; write {principal} = {{ env = "{variable}" }} and set '
        f"{variable}_ACCESS_KEY_ID and {variable}_SECRET_ACCESS_KEY, or name a profile or a command"
    )
    if typed and not table and len(path) == 4:
        table["env"] = variable  # complained about once: "name one of the three" would be noise
    return [Problem((*path, key), advice) for key in typed]


def _unknown(path: Path) -> str:
    model = _model_at(path[:-1])
    known = list(model.model_fields) if model else []
    close = difflib.get_close_matches(str(path[-1]), known, n=1)
    if close:
        return f'there is no such key; did you mean "{close[0]}"?'
    return f"there is no such key; known here: {', '.join(known)}"


def _purpose(path: Path) -> str:
    model = _model_at(path[:-1])
    field = model.model_fields.get(str(path[-1])) if model else None
    return f": {field.description}" if field and field.description else ""


def _model_at(path: Path) -> type[BaseModel] | None:
    """The form that stands at a place of the file; None where there is none.

    Indexes of lists and names of sites are passed over: they stand for the same form.
    """
    model: type[BaseModel] | None = FileForm
    for part in path:
        if model and isinstance(part, str) and part in model.model_fields:
            model = form_of(model.model_fields[part].annotation)
    return model


def form_of(annotation: object) -> type[BaseModel] | None:
    """The form inside an annotation: X of X, list[X], dict[str, X] and X | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((f for a in get_args(annotation) if (f := form_of(a))), None)
