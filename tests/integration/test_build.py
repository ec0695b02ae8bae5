"""The built tarball is enough: installed beside its dependencies, used from another directory, by full names."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from support import HOST, ROOT, few

NAME = "pgsteward.postgres"
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py") if not path.stem.startswith("_"))
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))


@dataclass(frozen=True)
class Installed:
    """A tarball and where it is installed; commands run in a directory that holds nothing but a configuration."""

    tarball: Path
    collections: Path
    elsewhere: Path

    @property
    def root(self) -> Path:
        """The installed collection."""
        return self.collections / "ansible_collections" / "pgsteward" / "postgres"

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ansible-core that knows only the installed collections."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHONPATH"))
        }
        environment |= {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(self.elsewhere / "ansible.cfg"),
            "HOME": str(self.elsewhere),
        }
        full = [command, *arguments]
        return subprocess.run(
            full, capture_output=True, text=True, check=False, cwd=self.elsewhere, env=environment, timeout=300
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build, install without network, put the dependencies beside it."""
    directory = tmp_path_factory.mktemp("build")
    elsewhere, collections = directory / "elsewhere", directory / "collections"
    elsewhere.mkdir()
    (elsewhere / "ansible.cfg").write_text(
        f"[defaults]\ncollections_path = {collections}\ninject_facts_as_vars = False\n[connection]\npipelining = True\n"
    )
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    result = Installed(directory / f"pgsteward-postgres-{galaxy['version']}.tar.gz", collections, elsewhere)
    built = result.run("ansible-galaxy", "collection", "build", str(ROOT), "--output-path", str(directory))
    assert built.returncode == 0, built.stdout + built.stderr
    options = ("--offline", "--no-deps", "--collections-path", str(collections))
    done = result.run("ansible-galaxy", "collection", "install", str(result.tarball), *options)
    assert done.returncode == 0, done.stdout + done.stderr
    there = ROOT / ".cache" / "collections" / "ansible_collections"
    for path in there.iterdir():
        if path.name != "pgsteward":
            (collections / "ansible_collections" / path.name).symlink_to(path.resolve())
    return result


def test_the_tarball_holds_what_it_needs_and_no_more(installed: Installed) -> None:
    with tarfile.open(installed.tarball) as archive:
        names = set(archive.getnames())
    needed = {
        *(
            "README.md",
            "LICENSE",
            "bindep.txt",
            "execution-environment.yml",
            "meta/execution-environment.yml",
            "meta/runtime.yml",
        ),
        *("migrations/alembic.ini", "migrations/env.py", "migrations/requirements.txt", "docs/environments.md"),
        *("plugins/module_utils/_alembic_runner.py", "roles/pg_access/files/cluster.sql", "requirements/use.in"),
        *(f"inventories/{name}/group_vars/all/vault.example.yml" for name in ("dev", "staging", "production")),
        *(f"roles/{path.name}/README.md" for path in (ROOT / "roles").iterdir()),
    }
    assert needed <= names
    parts = {part for name in names for part in Path(name).parts}
    assert not parts & {"vault.yml", "lab", "molecule", "tests", "tools", "__pycache__", ".git", ".cache", ".venv"}


def test_the_execution_environment_names_this_version(installed: Installed) -> None:
    definition = yaml.safe_load((installed.root / "execution-environment.yml").read_text())
    collection = f"collections/{installed.tarball.name}"
    assert definition["dependencies"]["galaxy"]["collections"] == [{"name": collection, "type": "file"}]
    assert [entry["src"] for entry in definition["additional_build_files"]] == [f"dist/{installed.tarball.name}"]
    listed = yaml.safe_load((installed.root / "meta" / "execution-environment.yml").read_text())["dependencies"]
    assert all((installed.root / path).is_file() for path in listed.values())


def test_every_module_is_documented_by_its_full_name(installed: Installed) -> None:
    names = [f"{NAME}.{module}" for module in MODULES]
    run = installed.run("ansible-doc", "--json", *names)
    assert run.returncode == 0, run.stderr
    documented = json.loads(run.stdout)
    assert set(documented) == set(names)
    for name in names:
        assert Path(documented[name]["doc"]["filename"]).is_relative_to(installed.root), name


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_syntax_of_a_playbook_by_its_full_name(installed: Installed, playbook: str) -> None:
    for environment in few(("dev", "staging", "production"), "production"):
        run = installed.run(
            "ansible-playbook",
            "-i",
            str(installed.root / "inventories" / environment),
            f"{NAME}.{playbook}",
            "--syntax-check",
        )
        assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("playbook", ["site", "migrate"])
def test_a_dry_run_over_a_converged_host_finds_nothing_to_do(installed: Installed, playbook: str) -> None:
    """The lab was converged from the checkout: the installed copy must want the same."""
    run = installed.run("ansible-playbook", *HOST, f"{NAME}.{playbook}", "--check", "--diff", "-v")
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"^db1 .*changed=0 .*failed=0", run.stdout, re.MULTILINE), run.stdout
    assert f"Using {installed.elsewhere / 'ansible.cfg'}" in run.stdout
