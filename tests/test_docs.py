"""The documents say what is true: commands exist, snippets run, links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_to_a_file(document):
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_screenshot_is_a_picture():
    name = re.search(r"!\[[^]]*\]\(([^)]+)\)", README)
    assert name
    assert (ROOT / name[1]).read_bytes().startswith(b"\x89PNG")


def test_every_make_command_that_a_document_names_exists():
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert {"serve", "test", "test-all", "check", "bench", "notebook", "docs"} <= targets
    for document in DOCUMENTS:
        for command in re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", document.read_text(encoding="utf-8"), re.M):
            assert "".join(command) in targets, document.name


def test_the_map_of_the_house_names_folders_that_exist():
    section = README.split("## The map of the house")[1].split("##")[0]
    folders = [
        name for line in section.splitlines() if line.startswith("| `") for name in re.findall(r"`([\w/]+/)`", line)
    ]
    assert len(folders) >= 9
    for folder in folders:
        assert (ROOT / folder).is_dir(), folder


def test_every_route_the_readme_names_is_served():
    from dashboards.api import ROUTES

    served = {path for path, _ in ROUTES} | {"/api/stream"}
    section = README.split("## From outside")[1].split("##")[0]
    named = {name.split("?")[0] for name in re.findall(r"`(/[^`]*)`", section)}
    assert named == served


def test_the_notebook_example_runs_and_shows_fresh_simulated_numbers(tmp_path):
    snippet = re.search(r"## In a notebook\n\n```python\n(.*?)```", README, re.S)
    assert snippet
    lines = snippet[1].rstrip().splitlines()
    assert len(lines) == 5
    # A notebook shows the value of a line by itself; a script has to print it.
    shown = [line.split("  #")[0] if line.startswith(("desk.status", "desk.quotes")) else "" for line in lines]
    script = "\n".join(f"print({shows})" if shows else line for line, shows in zip(lines, shown, strict=True))
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TAPEDECK_", "ZERODHA_"))}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=clean | {"XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "SIMULATED sim:7:" in done.stdout
    assert "NSE:INFY" in done.stdout


def test_no_file_names_a_package_index_or_a_path_of_one_machine():
    # Spelled apart so that this file does not find itself.
    hosts = ("pypi" + ".org", "pythonhosted" + ".org", "registry.npmjs" + ".org")
    paths = ("/" + "work/", "/" + "root/")
    for file in tracked():
        if file.suffix in {".png", ".packets", ".parquet", ".woff2"} or not file.exists():
            continue
        text = file.read_text(encoding="utf-8")
        for word in hosts + paths:
            assert word not in text, f"{word} in {file.relative_to(ROOT)}"


def test_every_requirement_of_both_locks_is_pinned_with_hashes():
    for name in ("requirements.lock", "requirements-dev.lock"):
        blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / name).read_text(encoding="utf-8"))
        for block in blocks:
            assert re.match(r"[a-zA-Z0-9._-]+(\[[\w,-]+\])?==", block), block[:60]
            assert "--hash=sha256:" in block, block[:60]


def test_the_run_time_lock_is_part_of_the_test_lock():
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9._-]+==\S+)", (ROOT / name).read_text(encoding="utf-8"), re.M))

    assert pins("requirements.lock") <= pins("requirements-dev.lock")
