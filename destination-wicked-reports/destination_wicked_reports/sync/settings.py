"""`sync.yaml` as typed models, with absolute paths."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from destination_wicked_reports.base.spelling import closest
from destination_wicked_reports.config.mappings import AffiliateMapping, BigcommerceMapping
from destination_wicked_reports.config.paths import REJECTS_NAME
from destination_wicked_reports.config.spec import Config, PostgresLedger
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.sync.yaml_file import Location, YamlFile, read_yaml, with_environment

_STRICT = ConfigDict(extra="forbid", frozen=True)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
#: Where the destination's configuration has paths.
_PATHS = (("rejected_records_path",), ("ledger", "path"), ("mapping", "contact_lookup", "path"))


class Source(BaseModel):
    """One source: a program or an image, and its configuration."""

    model_config = _STRICT

    name: str = ""
    program: str = ""
    image: str = ""
    docker_options: list[str] = Field(default_factory=list)
    streams: list[str] = Field(default_factory=list)
    config: dict[str, Any] = Field(default_factory=dict)
    mapping: dict[str, Any] | None = None

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name and not _NAME.fullmatch(name):
            raise ValueError("must be lower-case letters, digits, - and _")
        return name

    @model_validator(mode="after")
    def _check_program(self) -> Source:
        if bool(self.program) == bool(self.image):
            raise ValueError("needs either `program`, such as source-wecantrack, or `image`")
        if self.docker_options and not self.image:
            raise ValueError("docker_options needs `image`")
        return self

    @property
    def connector(self) -> str:
        """Return the connector's name, such as source-wecantrack, from the program's path or the image's tag."""
        return Path(self.program).name or self.image.rpartition("/")[2].partition("@")[0].partition(":")[0]

    @property
    def label(self) -> str:
        """Return the name of this source in messages, in the state file and on the command line."""
        return self.name or self.connector.removeprefix("source-")


class _File(BaseModel):
    model_config = _STRICT

    source: Source | None = None
    sources: list[Source] = Field(default_factory=list)
    destination: dict[str, Any]
    state: str = Field(default="state.json", min_length=1)
    logs: str = Field(default="logs", min_length=1)
    side_by_side: bool = False

    @model_validator(mode="after")
    def _check_sources(self) -> _File:
        if bool(self.source) == bool(self.sources):
            raise ValueError("needs either `source` or a list of `sources`")
        return self


@dataclass(slots=True, frozen=True)
class Sync:
    """One source, and the configuration of the destination for it."""

    source: Source
    destination: Mapping[str, Any]
    config: Config

    @property
    def name(self) -> str:
        """Return the name of the source."""
        return self.source.label


@dataclass(slots=True, frozen=True)
class Settings:
    """Everything in `sync.yaml`."""

    path: Path
    syncs: list[Sync]
    state: Path
    logs: Path
    side_by_side: bool

    def choose(self, name: str | None) -> list[Sync]:
        """Return the syncs of the source with this name, or all of them. Raises ConfigurationError for another name."""
        chosen = [sync for sync in self.syncs if name in (None, sync.name)]
        if not chosen:
            names = ", ".join(sync.name for sync in self.syncs)
            raise ConfigurationError(f"{self.path} has no source named {name}. It has {names}.")
        return chosen


def read_settings(path: Path) -> Settings:
    """Read `sync.yaml`. Raises ConfigurationError, which names the place and the fix, and quotes no value."""
    path = path.expanduser().absolute()
    file = read_yaml(path)
    _refuse_unknown(file, file.content, _File, ())
    for location, source in _sources(file.content):
        _refuse_unknown(file, source, Source, location)
    content = with_environment(file)
    try:
        parsed = _File.model_validate(content)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_context=False, include_url=False)
        raise ConfigurationError("\n".join(_fault(file, each["loc"], each["msg"]) for each in faults)) from None
    sources = [parsed.source] if parsed.source else parsed.sources
    syncs = [_sync(file, each, parsed.destination) for each in sources]
    _refuse_equal(file, syncs, side_by_side=parsed.side_by_side)
    folder = path.parent
    return Settings(path, syncs, _absolute(parsed.state, folder), _absolute(parsed.logs, folder), parsed.side_by_side)


def _sync(file: YamlFile, source: Source, destination: Mapping[str, Any]) -> Sync:
    folder = file.path.parent
    if "/" in source.program:
        source = source.model_copy(update={"program": str(_absolute(source.program, folder))})
    config = dict(destination)
    if source.mapping is not None:
        config["mapping"] = source.mapping
    if not _has_ledger_file(config) and not config.get("rejected_records_path"):
        config["rejected_records_path"] = REJECTS_NAME  # a file's default is next to the ledger
    for location in _PATHS:
        config = _with_absolute(config, location, folder)
    try:
        return Sync(source, config, Config.parse(config))
    except ConfigurationError as error:
        raise ConfigurationError(f"{file.place(('destination',))}: {error}") from None


def _has_ledger_file(config: Mapping[str, Any]) -> bool:
    ledger = config.get("ledger")
    return not isinstance(ledger, dict) or ledger.get("type") == "sqlite"


def _with_absolute(settings: Mapping[str, Any], location: Sequence[str], folder: Path) -> dict[str, Any]:
    """Return settings with the path at this location, if there is one, as an absolute path."""
    name, *rest = location
    value = settings.get(name)
    if rest and isinstance(value, dict):
        return {**settings, name: _with_absolute(value, rest, folder)}
    if not rest and value and isinstance(value, str):
        return {**settings, name: str(_absolute(value, folder))}
    return dict(settings)


def _absolute(path: str, folder: Path) -> Path:
    return folder / Path(path).expanduser()


def _sources(content: Mapping[str, Any]) -> list[tuple[Location, Any]]:
    several = content.get("sources")
    numbered = list(enumerate(several)) if isinstance(several, list) else []
    return [(("source",), content.get("source")), *((("sources", number), each) for number, each in numbered)]


def _refuse_unknown(file: YamlFile, content: Any, model: type[BaseModel], location: Location) -> None:
    """Raise ConfigurationError for a key that the model does not have, with the most similar one that it has."""
    for name in content if isinstance(content, dict) else ():
        if name not in model.model_fields:
            close = closest(str(name), model.model_fields, 0.6)
            hint = f"Did you mean `{close}`?" if close else f"It can be {', '.join(model.model_fields)}."
            raise ConfigurationError(f"{file.place((*location, str(name)))}: unknown setting `{name}`. {hint}")


def _fault(file: YamlFile, location: Location, message: str) -> str:
    name = ".".join(map(str, location))
    return f"{file.place(location)}: {name + ': ' if name else ''}{message.removeprefix('Value error, ')}."


def _refuse_equal(file: YamlFile, syncs: list[Sync], *, side_by_side: bool) -> None:
    """Refuse two sources whose states or rows would be mixed."""
    names: set[str] = set()
    systems: dict[str, str] = {}
    for sync in syncs:
        if sync.name in names:
            raise ConfigurationError(f"{file.path}: two sources are named {sync.name}: give each its own `name`.")
        names.add(sync.name)
        mapping = sync.config.mapping
        if isinstance(mapping, AffiliateMapping | BigcommerceMapping):
            other = systems.setdefault(mapping.source_system, sync.name)
            if other != sync.name:
                raise ConfigurationError(
                    f"{file.path}: the sources {other} and {sync.name} both write as the source_system "
                    f"{mapping.source_system}, so that their orders would be mixed: give one of them a `mapping` with "
                    "another source_system."
                )
    if side_by_side and not all(isinstance(sync.config.ledger, PostgresLedger) for sync in syncs):
        raise ConfigurationError(
            f"{file.place(('side_by_side',))}: side_by_side needs the ledger `postgres`: a SQLite ledger takes one run "
            "at a time. Remove side_by_side, and the sources run one after the other."
        )
