"""`target-wicked-reports`: the destination behind the Singer protocol, for Meltano and for shell pipes.

Singer lines are translated to Airbyte lines one by one and passed to the writer, so a STATE is printed, as one line,
only once every row before it is settled. The protocol is the Singer specification ("Target", "Message types").
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import orjson
from airbyte_cdk.models import (
    AirbyteMessage,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
)
from airbyte_cdk.utils.airbyte_secrets_utils import get_secrets, update_secrets

from destination_wicked_reports.base.errors import config_error
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.destination import DestinationWickedReports
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.ledger import runs
from destination_wicked_reports.mappings.factory import make_normalizer
from destination_wicked_reports.protocol.messages import read_lines, require_input, standard_input
from destination_wicked_reports.protocol.singer import SingerOutput, Translator

logger = logging.getLogger("airbyte")

NAME = "target-wicked-reports"
ENVIRONMENT_PREFIX = "TARGET_WICKED_REPORTS_"
#: Settings of the Singer target only, in addition to the destination's.
SETTINGS: dict[str, Any] = {
    "stream_maps": {
        "type": "object",
        "title": "Stream Maps",
        "description": 'For each stream of the tap: {"__alias__": "orders"} to rename it, null to exclude it. '
        '{"*": null} excludes all others. To change fields, use the custom mapping or a Meltano mapper.',
        "default": {},
    },
    "activate_version": {
        "type": "string",
        "enum": ["refuse", "ignore"],
        "title": "On ACTIVATE_VERSION",
        "description": "This message asks the target to delete a stream's older rows, which Wicked Reports cannot do. "
        "`refuse` fails the run; `ignore` keeps the older rows and continues.",
        "default": "refuse",
    },
}


class TargetWickedReports(DestinationWickedReports):
    """The destination with a Singer target's command line; config, ledger and exit codes are the same."""

    command = runs.TARGET

    def __init__(self, output: SingerOutput | None = None) -> None:
        super().__init__(output or SingerOutput())

    def parse_args(self, args: list[str]) -> argparse.Namespace:
        """Parse the command line like the targets of Meltano's SDK."""
        parser = argparse.ArgumentParser(NAME, description="Load a Singer tap's output into Wicked Reports.")
        parser.add_argument("--version", action="version", version=f"{NAME} v{_version()}")
        parser.add_argument("--about", action="store_true", help="show the settings and exit")
        parser.add_argument("--format", choices=["text", "json"], default="text", help="the output format of --about")
        parser.add_argument("--test", action="store_true", help="check the settings and exit; nothing is written")
        parser.add_argument(
            "-c",
            "--config",
            action="append",
            metavar="FILE",
            help=f"JSON file with settings, or ENV for {ENVIRONMENT_PREFIX}… variables; can be repeated",
        )
        parsed = parser.parse_args(args)
        if not parsed.about and not parsed.config:
            parser.error("missing --config FILE")
        return parsed

    def open_terminal_log(self, parsed_args: argparse.Namespace) -> None:
        """Return None: `SingerOutput` writes all logs for people."""

    def run_cmd(self, parsed_args: argparse.Namespace) -> Iterable[AirbyteMessage]:
        """Print the settings, check them, or load standard input."""
        settings = _settings(self.spec(logger).connectionSpecification)
        if parsed_args.about:
            _print_about(settings, parsed_args.format)
            return
        config = _read_configs(parsed_args.config)
        update_secrets(get_secrets(settings, config))
        if parsed_args.test:
            status = self.check(logger, config)
            if status.status.value == "FAILED":
                raise config_error(status.message or "")
            logger.info(status.message)
            return
        translator = make_translator(config)
        lines = translator.translate(require_input(read_lines(standard_input())))
        self.deliver(config, every_stream(config), lines)
        yield from ()


def make_translator(config: Mapping[str, Any]) -> Translator:
    """Return the translator for a configuration. Raises ConfigurationError if the Singer settings are wrong."""
    renamed: dict[str, str | None] = {}
    maps = config.get("stream_maps", {})
    for stream, change in maps.items() if isinstance(maps, dict) else [("", maps)]:
        if change is None or change == "__NULL__":
            renamed[stream] = None
        elif isinstance(change, dict) and change.keys() == {"__alias__"} and isinstance(change["__alias__"], str):
            if "*" in stream:
                raise ConfigurationError(
                    f"stream_maps: {stream} cannot have an alias, because two streams would have the same name. Name "
                    "each stream; * with null excludes all others."
                )
            renamed[stream] = change["__alias__"]
        else:
            raise ConfigurationError(
                'stream_maps: the value of a stream must be {"__alias__": "another name"} or null. To change fields, '
                "use the custom mapping or a Meltano mapper."
            )
    answer = config.get("activate_version", "refuse")
    if answer not in SETTINGS["activate_version"]["enum"]:
        raise ConfigurationError("activate_version: must be refuse or ignore.")
    normalizer = make_normalizer(Config.parse(config))
    return Translator(normalizer.streams, renamed, keep_versions=answer == "ignore", route=normalizer.route)


def every_stream(config: Mapping[str, Any]) -> ConfiguredAirbyteCatalog:
    """Return a catalog of all streams of the mapping, because Singer has no configured catalog for targets."""
    streams = [
        {
            "stream": {"name": name, "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
            "sync_mode": "full_refresh",
            "destination_sync_mode": "append",
        }
        for name in sorted(_streams(config))
    ]
    return ConfiguredAirbyteCatalogSerializer.load({"streams": streams})


def _streams(config: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(make_normalizer(Config.parse(config)).streams)


def _settings(specification: Mapping[str, Any]) -> dict[str, Any]:
    return {**specification, "properties": {**specification["properties"], **SETTINGS}}


def _read_configs(sources: list[str]) -> dict[str, Any]:
    """Merge files and ENV, later ones taking precedence. Null means not set: Meltano may write it."""
    config: dict[str, Any] = {}
    for source in sources:
        config |= _environment() if source == "ENV" else TargetWickedReports.read_config(source)
    return {name: value for name, value in config.items() if value is not None}


def _environment() -> dict[str, Any]:
    """Return the settings in environment variables: text, or JSON for objects."""
    found: dict[str, Any] = {}
    for variable, value in os.environ.items():
        if variable.startswith(ENVIRONMENT_PREFIX):
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            try:
                found[name] = orjson.loads(value) if value.startswith("{") else value
            except orjson.JSONDecodeError:
                raise ConfigurationError(f"{variable} is not valid JSON.") from None
    return found


def _print_about(settings: Mapping[str, Any], output_format: str) -> None:
    about = {
        "name": NAME,
        "description": "Loads a Singer tap's output into Wicked Reports.",
        "version": _version(),
        "capabilities": ["about"],
        "settings": settings,
    }
    if output_format == "json":
        sys.stdout.write(json.dumps(about, indent=2, ensure_ascii=False) + "\n")
        return
    sys.stdout.write(f"{NAME} {about['version']}: {about['description']}\n\n")
    for name, setting in settings["properties"].items():
        needed = " (required)" if name in settings["required"] else ""
        sys.stdout.write(f"{name}{needed}: {setting.get('description', '')}\n")


def _version() -> str:
    return version("airbyte-destination-wicked-reports")


def cli() -> None:
    """Run the target with the command line in `sys.argv`."""
    TargetWickedReports().run(sys.argv[1:])
