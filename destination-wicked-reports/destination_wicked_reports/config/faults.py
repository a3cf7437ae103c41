"""Words what pydantic finds wrong with a configuration: the setting, the rule and the name that was probably meant.

No text quotes a value: it may be a secret in the wrong place.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from destination_wicked_reports.base.spelling import did_you_mean
from destination_wicked_reports.config.fields import NO_SPACES

#: How similar a name must be inside a section, where no orchestrator adds keys of its own.
_SIMILARITY = 0.6
_CHOICE = re.compile(r"'([^']*)'").findall
#: pydantic's words for what a value must be, where its own are of Python.
_KINDS = {
    "string_type": "must be a text in quotes",
    "dict_type": "must be an object in braces",
    "model_type": "must be an object in braces",
    "model_attributes_type": "must be an object in braces",
    "list_type": "must be a list in brackets",
    "missing": "is required",
    "extra_forbidden": "is not a setting",
}


def describe_faults(model: type[BaseModel], raw: Any, error: ValidationError) -> Iterator[str]:
    """Yield one text per fault, such as `ledger.pth: is not a setting. Did you mean path?`."""
    for fault in error.errors(include_url=False):
        location = fault["loc"]
        models, path = _follow(model, location)
        text = _describe(fault, models, _value_at(raw, path))
        if fault["type"].startswith("union_tag"):
            path = (*path, "type")
        yield f"{_dotted(path)}: {text}"


def _describe(fault: Mapping[str, Any], models: list[type[BaseModel]], value: Any) -> str:
    kind, context = fault["type"], fault.get("ctx") or {}
    name = str(fault["loc"][-1]) if fault["loc"] else ""
    known = [each for model in models for each in _names(model)]
    if kind == "extra_forbidden":
        return f"is not a setting.{did_you_mean(name, known, _SIMILARITY)}"
    if kind in ("union_tag_invalid", "union_tag_not_found", "literal_error"):
        text = str(context.get("expected_tags") or context.get("expected") or "")
        choices = _CHOICE(text) or [tag for each in models for tag in _tags(each)]
        wrong = value.get("type") if kind.startswith("union_tag") and isinstance(value, Mapping) else value
        hint = did_you_mean(wrong, choices, _SIMILARITY) if isinstance(wrong, str) else ""
        rule = "is required: " if kind == "union_tag_not_found" else "must be "
        return f"{rule}{'one of ' if len(choices) > 1 else ''}{', '.join(choices)}.{hint}"
    if kind == "string_pattern_mismatch" and context.get("pattern") == NO_SPACES:
        return "must not be empty or contain spaces"
    return _KINDS.get(kind) or fault["msg"].removeprefix("Value error, ")


def _follow(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[type[BaseModel]], tuple[Any, ...]]:
    """Return the models that may stand where the fault is, and its path in the configuration.

    pydantic adds the variant's `type` to the location; it is no key of the configuration, so it is dropped.
    """
    models: list[type[BaseModel]] = [model]
    path: list[int | str] = []
    for position, part in enumerate(location):
        tagged = [each for each in models if part in _tags(each)]
        if tagged and len(models) > 1:
            models = tagged
            continue
        path.append(part)
        if isinstance(part, str):
            fields = [(each, name) for each in models for name in each.model_fields if part in _aliases(each, name)]
            inner = [found for each, name in fields for found in _models_in(each.model_fields[name].annotation)]
            if inner or position < len(location) - 1:
                models = inner
    return models, tuple(path)


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _aliases(model: type[BaseModel], name: str) -> tuple[str, ...]:
    return name, model.model_fields[name].alias or name


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    field = model.model_fields.get("type")
    return get_args(field.annotation) if field is not None and get_origin(field.annotation) is Literal else ()


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for each in get_args(annotation) for found in _models_in(each)]


def _value_at(raw: Any, path: tuple[Any, ...]) -> Any:
    with contextlib.suppress(KeyError, IndexError, TypeError):
        for part in path:
            raw = raw[part]
        return raw
    return None


def _dotted(path: tuple[Any, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "config"
