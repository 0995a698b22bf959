from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
from tapedeck.kite import packets
packets.warm_up()
print(packets.parse(bytes.fromhex("0001 0008 00063a01 000227ef")).ticks["last_price"].tolist())
"""


def start(cache: Path) -> subprocess.Popen[str]:
    env = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def result(process: subprocess.Popen[str]) -> str:
    with process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.strip()


def test_processes_that_compile_at_once_share_a_cache_and_a_damaged_one_is_made_anew(tmp_path: Path):
    both = [start(tmp_path), start(tmp_path)]
    assert [result(process) for process in both] == ["[1412.95]"] * 2
    cached = [path for path in tmp_path.rglob("*.nb?") if path.name.startswith("_packet_kernels")]
    assert {path.suffix for path in cached} == {".nbi", ".nbc"}
    for path in cached:
        path.write_bytes(path.read_bytes()[:100])
    assert result(start(tmp_path)) == "[1412.95]"
    assert all(path.stat().st_size > 100 for path in cached)
