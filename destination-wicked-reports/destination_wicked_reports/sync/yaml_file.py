"""Reads `sync.yaml`: plain values only, the line of every key, and secrets from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from destination_wicked_reports.base.json_files import unreadable
from destination_wicked_reports.errors import ConfigurationError

Location = tuple[int | str, ...]
#: `${NAME}`, or `$${` for a literal `${`.
_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BOOLEAN = re.compile("true|True|TRUE|false|False|FALSE")


class _Loader(yaml.SafeLoader):
    """YAML 1.2's values: dates stay text, and `on`, `off`, `yes` and `no` do, too."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOLEAN, list("tTfF"))


@dataclass(slots=True, frozen=True)
class YamlFile:
    """The content of a YAML file, and the line of each key and item."""

    path: Path
    content: dict[str, Any]
    lines: Mapping[Location, int]

    def place(self, location: Location) -> str:
        """Return the file and the line of a key, or of the nearest one above it, for a message."""
        known = next((location[:end] for end in range(len(location), 0, -1) if location[:end] in self.lines), None)
        return f"{self.path}, line {self.lines[known]}" if known else str(self.path)


def read_yaml(path: Path) -> YamlFile:
    """Read a YAML file. Raises ConfigurationError, which names the place of the fault but quotes no value."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(
            f"There is no file {path}: create one with `wicked-reports-sync init`, or name another one."
        ) from None
    except OSError as error:
        raise ConfigurationError(unreadable(str(path), error)) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} cannot be read (it is not UTF-8 text).") from None
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        lines = dict(_lines(node, (), path)) if node is not None else {}
        content = loader.construct_document(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigurationError(
            f"{path}{place}: not valid YAML: {error.problem or 'the text ends too early'}."
        ) from None
    except ConfigurationError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError):
        raise ConfigurationError(f"{path} is not valid YAML.") from None
    finally:
        loader.dispose()
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} has no settings: it must have `source` and `destination`.")
    return YamlFile(path, content, lines)


def _lines(node: yaml.Node, location: Location, path: Path) -> Iterator[tuple[Location, int]]:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            where = (*location, str(key.value))
            if where in seen:
                raise ConfigurationError(
                    f"{path}, line {key.start_mark.line + 1}: `{key.value}` is there twice: remove one."
                )
            seen.add(where)
            yield where, key.start_mark.line + 1
            yield from _lines(value, where, path)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            where = (*location, number)
            yield where, item.start_mark.line + 1
            yield from _lines(item, where, path)


def with_environment(file: YamlFile, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the content with each `${NAME}` replaced by that environment variable.

    Raises ConfigurationError that names every missing variable and its place.
    """
    missing: list[str] = []

    def replace(value: Any, location: Location) -> Any:
        if isinstance(value, dict):
            return {name: replace(item, (*location, str(name))) for name, item in value.items()}
        if isinstance(value, list):
            return [replace(item, (*location, number)) for number, item in enumerate(value)]
        return _VARIABLE.sub(lambda found: lookup(found, location), value) if isinstance(value, str) else value

    def lookup(found: re.Match[str], location: Location) -> str:
        name = found[1]
        if name is None:
            return "${"
        if not _NAME.fullmatch(name):
            missing.append(
                f"{file.place(location)}: `${{…}}` must name an environment variable, such as ${{API_KEY}}; write "
                "`$${` for a literal `${`."
            )
        elif not environment.get(name):
            missing.append(f"{file.place(location)}: the environment variable {name} is not set: export it first.")
        return environment.get(name, "")

    content = replace(file.content, ())
    if missing:
        raise ConfigurationError("\n".join(dict.fromkeys(missing)))
    return dict(content)
