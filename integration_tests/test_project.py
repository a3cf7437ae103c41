"""Values that more than one file must state are equal in all of them: versions, Python versions, the base image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/metadata.yaml"))
SOURCES = [name for name in PACKAGES if name.startswith("source-")]
PYPROJECTS = {name: (ROOT / name / "pyproject.toml").read_text(encoding="utf-8") for name in PACKAGES}
VERSION = r"(\d+\.\d+\.\d+)"


def found(pattern: str, path: str) -> list[str]:
    """Return every match of a pattern in a file; there must be one."""
    matches = re.findall(pattern, (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert matches, f"{path} has no {pattern}"
    return matches


def page(name: str) -> str:
    """Return the path of a connector's documentation page."""
    kind, vendor = name.split("-", 1)
    return f"docs/integrations/{kind}s/{vendor}.md"


def metadata(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / name / "metadata.yaml").read_text(encoding="utf-8"))["data"])


def version(name: str) -> str:
    """Return a package's version: pyproject.toml is where it is set."""
    (only,) = re.findall(rf'^version = "{VERSION}"$', PYPROJECTS[name], re.MULTILINE)
    return str(only)


# -- versions ---------------------------------------------------------------------------------------------------------


def test_all_packages_have_one_version():
    assert len({version(name) for name in PACKAGES}) == 1


@pytest.mark.parametrize("name", PACKAGES)
def test_image_and_documentation_have_the_packages_version(name):
    assert metadata(name)["dockerImageTag"] == version(name)
    assert found(rf"^\| {VERSION} \| \d{{4}}-\d\d-\d\d", page(name))[0] == version(name)
    assert set(re.findall(rf"Version {VERSION}", (ROOT / page(name)).read_text())) <= {version(name)}
    assert found(rf"^\| {name} \| .*?{VERSION}", "README.md") == [version(name)]


def test_the_examples_use_the_version_of_the_packages():
    meltano = "examples/meltano/meltano.yml"
    for name in SOURCES:
        assert found(rf"image: airbyte/{name}, tag: {VERSION}", meltano) == [version(name)]
    for name, pinned in found(rf"airbyte-([\w-]+)~={VERSION}", meltano):
        assert pinned == version(name)


def test_code_states_no_version():
    """Code reads it from the installed package's metadata."""
    released = version(PACKAGES[0])
    for folder in (*PACKAGES, "connector-base", "integration_tests", "demo", "tools", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            assert f'"{released}"' not in path.read_text(encoding="utf-8"), path


# -- Python, the CDK and other dependencies ---------------------------------------------------------------------------


def test_the_supported_pythons_are_stated_alike():
    ranges = {tuple(re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', text)[0]) for text in PYPROJECTS.values()}
    ((lowest, end),) = ranges
    minors = [str(minor) for minor in range(int(lowest), int(end))]
    assert found(r"^PYTHONS \?= (.*)$", "Makefile") == [" ".join(f"3.{minor}" for minor in minors)]
    assert set(found(r"Python 3\.(\d+) to 3\.(\d+)", "README.md")) == {(minors[0], minors[-1])}
    assert set(found(r"Python 3\.(\d+) to 3\.(\d+)", "Makefile")) == {(minors[0], minors[-1])}
    assert found(r'^target-version = "py3(\d+)"$', "pyproject.toml") == [lowest]
    assert found(r'^python_version = "3\.(\d+)"$', "pyproject.toml") == [lowest]
    (other,) = found(r'PYTHONS="([\d. ]+)"', "tools/ci")
    assert {*other.split(), "3.11"} == {f"3.{minor}" for minor in minors}


def test_a_dependency_has_one_range_in_all_packages():
    ranges: dict[str, set[str]] = {}
    for text in PYPROJECTS.values():
        (listed,) = re.findall(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
        for requirement in re.findall(r'"([^"]+)"', listed):
            name = re.split(r"[\[<>=~!]", requirement)[0]
            ranges.setdefault(name, set()).add(requirement)
    assert {name: stated for name, stated in ranges.items() if len(stated) > 1} == {}
    (cdk,) = ranges["airbyte-cdk"]
    for name in SOURCES:
        manifest = f"{name}/{name.replace('-', '_')}/manifest.yaml"
        assert found(rf"^version: {VERSION}$", manifest) == re.findall(rf">={VERSION}", cdk)


# -- names and images -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PACKAGES)
def test_package_image_and_license_are_named_after_the_folder(name):
    data = metadata(name)
    assert re.findall(r'^name = "(.*)"$', PYPROJECTS[name], re.MULTILINE) == [f"airbyte-{name}"]
    assert data["dockerRepository"] == f"airbyte/{name}"
    assert data["githubIssueLabel"] == name
    assert data["remoteRegistries"]["pypi"]["packageName"] == f"airbyte-{name}"
    assert data["documentationUrl"].endswith(page(name).removeprefix("docs").removesuffix(".md"))
    assert set(re.findall(r'^license = "(.*)"$', PYPROJECTS[name], re.MULTILINE)) == {data["license"]}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_sends_its_packages_name_as_user_agent(name):
    assert found(r"User-Agent: (\S+)", f"{name}/{name.replace('-', '_')}/manifest.yaml") == [f"airbyte-{name}"]


def test_images_are_built_on_the_base_that_the_metadata_name():
    bases = {metadata(name)["connectorBuildOptions"]["baseImage"] for name in PACKAGES}
    assert bases == set(found(r"^ARG BASE_IMAGE=(.*)$", "docker/Dockerfile"))


def test_the_tools_know_every_package():
    assert sorted(found(r"^PACKAGES := (.*)$", "Makefile")[0].split()) == PACKAGES
    modules = {name.replace("-", "_") for name in PACKAGES}
    (roots,) = found(r"^root_packages = \[(.*)\]$", "pyproject.toml")
    (paths,) = found(r"^mypy_path = \[(.*)\]$", "pyproject.toml")
    assert modules <= set(re.findall(r'"(\w+)"', roots))
    assert set(PACKAGES) <= set(re.findall(r'"([\w-]+)"', paths))
    tested = "\n".join(found(r"^testpaths = \[(.*)\]$", "pyproject.toml"))
    assert all(f'"{name}/unit_tests"' in tested for name in PACKAGES)
