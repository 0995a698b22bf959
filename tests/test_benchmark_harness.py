from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import harness


def broken() -> list[harness.Result]:
    raise RuntimeError("no peer installed")


def test_one_failing_benchmark_is_reported_and_the_rest_still_run(tmp_path: Path):
    good = [harness.limit("size", 3.0, "MB", at_most=4.0)]
    results, failures = harness.run_all(["bad", "good"], {"bad": broken, "good": lambda: good}.__getitem__)
    assert results == {"good": good}
    assert "no peer installed" in failures["bad"]
    saved = json.loads(harness.save(results, failures, harness.circumstances(), tmp_path).read_text())
    assert saved["results"]["good"][0]["value"] == 3.0
    assert list(saved["failures"]) == ["bad"]
    assert saved["about"]["versions"]["numpy"]
    assert json.loads((tmp_path / "latest.json").read_text()) == saved


def test_rivals_take_turns():
    calls: list[str] = []
    ours_s, peer_s = harness.seconds(lambda: calls.append("us"), lambda: calls.append("peer"), repeats=3, at_least_s=0)
    assert calls == ["us", "us", "peer", "peer"] + ["us", "peer"] * 3
    assert ours_s > 0 < peer_s


@pytest.mark.parametrize(
    ("result", "ratio", "met"),
    [
        (harness.against("a", 1.0, peer="p", peer_s=60.0, goal=60), 60.0, True),
        (harness.against("a", 1.0, peer="p", peer_s=59.0, goal=60), 59.0, False),
        (harness.against("a", 1.0, peer="p", peer_s=59.0), 59.0, None),
        (harness.limit("a", 2.0, "us", at_most=1.0), None, False),
        (harness.limit("a", 2.0, "ticks/s", at_least=1.0), None, True),
        (harness.limit("a", 2.0, "us"), None, None),
    ],
)
def test_a_result_is_judged_by_its_goal(result: harness.Result, ratio: float | None, met: bool | None):
    assert (result.ratio, result.met) == (ratio, met)
    line = harness.table({"module": [result]}).splitlines()[1]
    assert line.startswith("module: a")
    assert line.endswith({None: result.unit if ratio is None else "x", True: "met", False: "MISSED"}[met])


def test_every_benchmark_file_is_found(tmp_path: Path):
    for name in ("bench_b.py", "bench_a.py", "other.py"):
        (tmp_path / name).touch()
    assert harness.modules(tmp_path) == ["a", "b"]
    assert "packets" in harness.modules()


def test_what_takes_minutes_runs_only_when_it_is_named(tmp_path: Path):
    for name in ("bench_rounds.py", "bench_a.py"):
        (tmp_path / name).touch()
    assert harness.usual(tmp_path) == ["a"]
    assert set(harness.modules()) > harness.ONLY_BY_NAME


def test_an_unknown_benchmark_is_named_with_those_there_are(capsys: pytest.CaptureFixture[str]):
    assert harness.main(["packet"]) == 1
    assert "no benchmark packet; there are: " in capsys.readouterr().out
