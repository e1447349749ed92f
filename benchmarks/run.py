"""Run all benchmarks, one after the other: ``python -m benchmarks.run``; arguments go to each of them (:mod:`benchmarks.harness`)."""

import subprocess
import sys

from benchmarks.harness import on_gpu

HOST = ("events", "replay_grid")  # they compute on no device
for name in (*(() if on_gpu() else HOST), "quantizer", "mlp", "scale", "resnet", "lstm"):
    print(f"==> {name}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]], check=True)
