"""Run all benchmarks, one after the other: ``python -m benchmarks.run``."""

import subprocess
import sys

for name in ("events", "replay_grid", "quantizer", "mlp", "scale", "resnet", "lstm"):
    print(f"==> {name}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
