"""Airbyte's published QA checks and metadata models over our connectors, at the level of certified ones: `make qa`.

Run by the Python of an environment of its own (requirements/qa.txt), with the connectors' names as arguments. The
checks come from the package `airbyte-internal-ops`, the metadata models from `airbyte-connector-models`. They expect
Airbyte's repository around them and its services behind them; so a tree of links stands in for the one, and what asks
the other is named below with the reason. A check that fails or is skipped without being named fails the run.
"""

from __future__ import annotations

import contextlib
import io
import site
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONNECTORS = Path("airbyte-integrations/connectors")
#: the level from which on Airbyte checks the documentation's structure
STRICT_LEVEL = 300

#: checks that cannot run here
NOT_RUN = {
    "CheckDocumentationLinks": "asks every linked site and takes silence for an answer; nothing is learnt offline",
    "CheckVersionIncrement": "compares with the version in Airbyte's own repository, where these connectors are not",
}
#: checks that cannot be met: the message that they may fail with, and why
NOT_MET = {
    "CheckConnectorUsesPoetry": (
        "poetry.lock file is missing",
        "poetry finds no airbyte-cdk 7.39 through a mirror of the index; requirements/lock.txt pins the same by hash",
    ),
}
#: checks that pass over a connector by their own rules
NOT_APPLICABLE = {
    "CheckManifestOnlyConnectorBaseImage": "these connectors are packages, not bare manifests",
}
#: what the checks are told instead of asking Airbyte's services, and why
TOLD = {
    "disable_dockerhub_checks=True": (
        "Docker Hub is not asked for image, base image and last version, which is part of the metadata check: these "
        "connectors have no image there, and nothing is learnt offline"
    ),
    "is_released=False": (
        "Airbyte's registry is not asked, where these connectors are not; checks that pass over released ones run"
    ),
}


def without_services() -> None:
    """Make the packages importable without the clients of Airbyte's services that their `__init__` files pull in."""
    home = next(path for folder in site.getsitepackages() if (path := Path(folder, "airbyte_ops_mcp")).is_dir())
    for name in ("airbyte_ops_mcp", "airbyte_ops_mcp.registry", "airbyte_ops_mcp.connector_ops"):
        module = types.ModuleType(name)
        module.__path__ = [str(home.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = module
    git_helpers: Any = types.ModuleType("airbyte_ops_mcp.airbyte_repo.list_connectors")
    for name in ("get_changed_files", "get_file_at_merge_base", "get_merge_base"):
        setattr(git_helpers, name, None)  # only CheckVersionIncrement calls them
    sys.modules["airbyte_ops_mcp.airbyte_repo"] = types.ModuleType("airbyte_ops_mcp.airbyte_repo")
    sys.modules[git_helpers.__name__] = git_helpers


@contextlib.contextmanager
def airbytes_tree() -> Iterator[None]:
    """Stand in a folder that is laid out as Airbyte's repository, with links to ours."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        (tree / CONNECTORS).mkdir(parents=True)
        (tree / "docs").symlink_to(ROOT / "docs")
        for metadata in ROOT.glob("*/metadata.yaml"):
            (tree / CONNECTORS / metadata.parent.name).symlink_to(metadata.parent)
        with contextlib.chdir(tree):
            yield


def strict_checks() -> list[Any]:
    """Return every check, set to run on a connector of any kind that is not in Airbyte's registry."""
    from airbyte_ops_mcp import metadata_validator
    from airbyte_ops_mcp.connector_ops.utils import Connector
    from airbyte_ops_mcp.connector_qa.checks import ENABLED_CHECKS, metadata, packaging
    from airbyte_ops_mcp.connector_qa.checks.documentation import documentation

    options = metadata_validator.ValidatorOptions
    metadata.ValidatorOptions = lambda docs_path: options(docs_path=docs_path, disable_dockerhub_checks=True)  # TOLD
    Connector.is_released = property(lambda connector: False)  # TOLD
    Connector.ab_internal_sl = property(lambda connector: STRICT_LEVEL)
    Connector.support_level = property(lambda connector: "certified")
    for kind in (
        documentation.CheckDocumentationContent,
        documentation.CheckIpAllowListSectionContent,
        metadata.CheckConnectorMaxSecondsBetweenMessagesValue,
        packaging.CheckPublishToPyPiIsDeclared,
    ):
        kind.applies_to_connector_types = ["source", "destination"]
    return list(ENABLED_CHECKS)


@contextlib.contextmanager
def template_of(kind: str) -> Iterator[None]:
    """Airbyte's documentation template speaks of sources; let it speak of this kind of connector."""
    from airbyte_ops_mcp.connector_qa.checks.documentation.models import TemplateContent

    original = TemplateContent._content
    TemplateContent._content = lambda self: (
        original(self)
        .replace("source", kind)
        .replace("Source", kind.title())
        .replace(f"Open {kind.title()}", "Open Source")
    )
    try:
        yield
    finally:
        TemplateContent._content = original


def outcome(check: Any, connector: Any) -> tuple[bool, str, str]:
    """Run one check; return whether that is as it should be, the status, and what to say."""
    name = type(check).__name__
    if name in NOT_RUN:
        return True, "not run", NOT_RUN[name]
    result = check.run(connector)
    status = result.status.name.lower()
    if status == "skipped":
        return name in NOT_APPLICABLE, "not applicable", NOT_APPLICABLE.get(name, result.message)
    if status == "failed" and name in NOT_MET and NOT_MET[name][0] == result.message:
        return True, "not met", f"{result.message}: {NOT_MET[name][1]}"
    return status == "passed", status, result.message


def main(names: list[str]) -> int:
    """Check the named connectors; print what is not simply passed, and return the exit code."""
    without_services()
    from airbyte_ops_mcp.connector_ops.utils import Connector

    checks, failures = strict_checks(), 0
    for setting, reason in TOLD.items():
        print(f"For all connectors, {setting}: {reason}")
    with airbytes_tree():
        for name in names:
            connector = Connector(name)
            assert connector.connector_spec_file_content, (
                f"{name}: no spec found; the checks that read it would be idle"
            )
            told = contextlib.redirect_stdout(io.StringIO())  # the validators tell of their own progress
            with template_of(name.split("-")[0]), told:
                results = [(type(check).__name__, *outcome(check, connector)) for check in checks]
            passed = sum(status == "passed" for _, _, status, _ in results)
            print(f"{name}: {passed} of {len(checks)} checks passed")
            for check, fine, status, text in results:
                if not fine:
                    failures += 1
                if status != "passed":
                    print(f"  {'' if fine else 'FAILED '}{check}, {status}: {text}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] else "Usage: python tools/airbyte_qa.py CONNECTOR...")
