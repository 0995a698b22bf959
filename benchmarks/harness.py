"""What every benchmark shares: a Result, fair timing of two rivals, the table and the JSON of a run.

A benchmark is a module `bench_NAME.py` in this folder with `run() -> list[Result]`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import platform
import statistics
import subprocess
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from tapedeck.clock import SystemClock, to_ist

FOLDER = Path(__file__).parent
#: Those that take minutes by themselves run when they are named.
ONLY_BY_NAME = frozenset({"rounds"})
PACKAGES = ("numpy", "numba", "pandas", "kiteconnect", "tornado", "websockets", "panel", "bokeh")


@dataclass(frozen=True, slots=True)
class Result:
    """One measured claim.

    `value` and `peer_value` are in `unit`; `ratio` says how many times better than the peer we are. The goal
    is for the ratio when there is a peer, else for the value (see `against` and `limit`). Without a goal
    `met` is None: the number is reported, not judged.
    """

    name: str
    value: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None


def against(name: str, ours_s: float, *, peer: str, peer_s: float, goal: float | None = None) -> Result:
    """How many times faster than `peer` we are; met when at least `goal` times. Times in seconds."""
    ratio = peer_s / ours_s
    stated = "" if goal is None else f">= {goal:g} x"
    return Result(name, ours_s * 1e6, "us", peer, peer_s * 1e6, ratio, stated, None if goal is None else ratio >= goal)


def limit(name: str, value: float, unit: str, *, at_most: float | None = None, at_least: float | None = None) -> Result:
    """A number without a peer, judged by a bound if one is given."""
    if at_most is not None:
        return Result(name, value, unit, goal=f"<= {at_most:g} {unit}", met=value <= at_most)
    if at_least is not None:
        return Result(name, value, unit, goal=f">= {at_least:g} {unit}", met=value >= at_least)
    return Result(name, value, unit)


def seconds(*rivals: Callable[[], object], repeats: int = 15, at_least_s: float = 0.02) -> tuple[float, ...]:
    """Median seconds per call of each rival, which take turns, so that a noisy moment hits all of them.

    Each turn calls a rival often enough to last about `at_least_s`. Each is called once before, unmeasured.
    """
    counts = []
    for call in rivals:
        call()
        counts.append(max(1, round(at_least_s / max(_timed(call, 1), 1e-7))))
    samples: list[list[float]] = [[] for _ in rivals]
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(repeats):
            for call, count, mine in zip(rivals, counts, samples, strict=True):
                mine.append(_timed(call, count))
    finally:
        if collecting:
            gc.enable()
    return tuple(statistics.median(mine) for mine in samples)


def _timed(call: Callable[[], object], count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count


def modules(folder: Path = FOLDER) -> list[str]:
    """Names of the benchmarks in the folder, sorted, without `bench_` and `.py`."""
    return sorted(path.stem.removeprefix("bench_") for path in folder.glob("bench_*.py"))


def usual(folder: Path = FOLDER) -> list[str]:
    """Names of the benchmarks that run when none is named."""
    return [name for name in modules(folder) if name not in ONLY_BY_NAME]


def run_all(
    names: Sequence[str], load: Callable[[str], Callable[[], list[Result]]]
) -> tuple[dict[str, list[Result]], dict[str, str]]:
    """Results of each benchmark, and the traceback of each that failed; one failing does not stop the rest."""
    results: dict[str, list[Result]] = {}
    failures: dict[str, str] = {}
    for name in names:
        try:
            results[name] = load(name)()
        except Exception:  # noqa: BLE001 - whatever a benchmark raises is reported
            failures[name] = traceback.format_exc()
    return results, failures


def table(results: dict[str, list[Result]]) -> str:
    """The results as text, one line each."""
    head = ("benchmark", "value", "unit", "peer", "peer value", "ratio", "goal", "")
    rows: list[tuple[str, ...]] = [head]
    for module, some in results.items():
        for r in some:
            verdict = {None: "", True: "met", False: "MISSED"}[r.met]
            ratio = "" if r.ratio is None else f"{r.ratio:,.1f} x"
            peer_value = "" if r.peer_value is None else f"{r.peer_value:,.4g}"
            rows.append(
                (f"{module}: {r.name}", f"{r.value:,.4g}", r.unit, r.peer or "", peer_value, ratio, r.goal, verdict)
            )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    numbers = (1, 4, 5)
    lines = (
        "  ".join(c.rjust(w) if i in numbers else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def circumstances() -> dict[str, object]:
    """The machine, the versions and the commit of this run."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    return {
        "at": to_ist(SystemClock().now()).isoformat(timespec="seconds"),
        "commit": git.stdout.strip() or None,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def save(results: dict[str, list[Result]], failures: dict[str, str], about: dict[str, object], folder: Path) -> Path:
    """Write the run as JSON, named by its time; `latest.json` is the same."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {module: [asdict(r) for r in some] for module, some in results.items()}
    text = json.dumps({"about": about, "results": rows, "failures": failures}, indent=2) + "\n"
    path = folder / f"{str(about['at']).replace(':', '')}.json"
    for target in (path, folder / "latest.json"):
        target.write_text(text)
    return path


def main(names: Sequence[str]) -> int:
    """Run the named benchmarks (the usual ones without names), print and save; 1 when one failed or missed its goal."""
    known = modules()
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}")
        return 1
    about = circumstances()
    results, failures = run_all(names or usual(), lambda name: importlib.import_module(f"benchmarks.bench_{name}").run)
    print(table(results))
    for name, trace in failures.items():
        print(f"\nFAILED {name}\n{trace}")
    print(f"\n{save(results, failures, about, FOLDER / 'results')}")
    missed = any(r.met is False for some in results.values() for r in some)
    return 1 if failures or missed else 0
