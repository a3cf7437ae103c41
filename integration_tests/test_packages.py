"""Each package installs from a fresh clone in every way that users have, and its `spec` runs.

The clone is of the last commit. Each way installs all four packages into one clean environment, with the lock as
constraint; the image is tested by test_images.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.packages, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/metadata.yaml"))
UV = Path(sys.executable).with_name("uv")
SHARED = sorted(path.name for path in (ROOT / "connector-base/connector_base").iterdir() if path.is_file())
#: run in the installed environment: the files from which the packages' shared bases are imported
WHERE = (
    "import importlib, sys; [print(importlib.import_module(f'{name}.base.startup').__file__) for name in sys.argv[1:]]"
)


def run(*command: str | Path, cwd: Path | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def clone(folder: Path, *options: str) -> Path:
    """Clone this repository's last commit."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git repository, so there is nothing to clone")
    run("git", "clone", "--quiet", *options, ROOT, folder)
    return folder


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Path:
    return clone(tmp_path_factory.mktemp("packages") / "clone")


@pytest.fixture(scope="module")
def built(fresh, tmp_path_factory) -> Path:
    """Return the folder with the sdist and the wheel of each package, both built from the clone."""
    folder = tmp_path_factory.mktemp("built")
    options = ["--quiet", "--sdist", "--wheel", "--build-constraints", lock(fresh), "--python", sys.executable]
    for name in PACKAGES:
        run(UV, "build", *options, "-o", folder, name, cwd=fresh)
    return folder


def lock(fresh: Path) -> Path:
    return fresh / "requirements" / "lock.txt"


def archive(folder: Path, name: str, ending: str) -> Path:
    (path,) = folder.glob(f"airbyte_{name.replace('-', '_')}-*{ending}")
    return path


def install(fresh: Path, environment: Path, *targets: str | Path) -> Path:
    """Install into a clean environment; return the folder of its programs."""
    run(UV, "venv", "--quiet", "--python", sys.executable, environment)
    constraints = ["--constraints", lock(fresh), "--build-constraints", lock(fresh)]
    run(UV, "pip", "install", "--quiet", "--python", environment, *constraints, *targets, cwd=fresh)
    return environment / "bin"


@pytest.mark.parametrize("way", ["folder", "wheel", "sdist", "editable"])
def test_every_package_installs_and_its_spec_runs(way, fresh, built, tmp_path):
    targets: list[str | Path] = {
        "folder": [f"./{name}" for name in PACKAGES],
        "wheel": [archive(built, name, ".whl") for name in PACKAGES],
        "sdist": [archive(built, name, ".tar.gz") for name in PACKAGES],
        "editable": [part for name in PACKAGES for part in ("-e", f"./{name}")],
    }[way]
    programs = install(fresh, tmp_path / "environment", *targets)
    for name in PACKAGES:
        spec = json.loads(run(programs / name, "spec", cwd=tmp_path).stdout.splitlines()[-1])
        assert spec["spec"]["connectionSpecification"]["properties"], name
    modules = [name.replace("-", "_") for name in PACKAGES]
    bases = [Path(line) for line in run(programs / "python", "-c", WHERE, *modules, cwd=tmp_path).stdout.splitlines()]
    assert len(bases) == len(PACKAGES)
    for base in bases:
        assert base.is_relative_to(fresh if way == "editable" else tmp_path / "environment")
        assert base.parent.is_symlink() == (way == "editable")


@pytest.mark.parametrize("name", PACKAGES)
def test_wheel_and_sdist_hold_the_shared_base_as_files_and_no_tests(name, built):
    module = name.replace("-", "_")
    with zipfile.ZipFile(archive(built, name, ".whl")) as wheel:
        files = wheel.namelist()
    assert {f"{module}/base/{shared}" for shared in SHARED} <= set(files)
    with tarfile.open(archive(built, name, ".tar.gz")) as sdist:
        members = sdist.getmembers()
    top = members[0].name.split("/")[0]
    assert {f"{top}/{module}/base/{shared}" for shared in SHARED} <= {entry.name for entry in members if entry.isfile()}
    assert not [entry.name for entry in members if entry.issym()]
    assert not [path for path in [*files, *(entry.name for entry in members)] if "test" in Path(path).name]


def test_a_clone_without_symbolic_links_fails_at_the_build_and_says_why(tmp_path):
    """Such a clone, the default on Windows, has the link as a text file."""
    without = clone(tmp_path / "clone", "-c", "core.symlinks=false")
    for name in PACKAGES:
        assert (without / name / name.replace("-", "_") / "base").read_text() == "../../connector-base/connector_base"
        command = [UV, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "-o", tmp_path / "out"]
        done = run(*command, name, cwd=without, check=False)
        assert done.returncode != 0
        assert "this clone has no symbolic links" in done.stderr
        assert "git clone -c core.symlinks=true" in done.stderr
