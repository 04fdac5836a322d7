"""Logs rows by Aim's own client and prints how long it took, as JSON. argv: the repository, steps, metrics."""

import json
import math
import sys
import time

from aim import Run

repo, steps, metrics = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
run = Run(repo=repo, system_tracking_interval=None, capture_terminal_logs=False, log_system_params=False)
began = time.perf_counter()
cpu = time.process_time()
for step in range(steps):
    for metric in range(metrics):
        run.track(math.sin(step * (metric + 1)), name=f"m{metric}", step=step)
called = time.perf_counter()
run.close()
ended = time.perf_counter()
print(
    json.dumps(
        {
            "hash": run.hash,
            "callsMs": (called - began) * 1000,
            "wallMs": (ended - began) * 1000,
            "cpuMs": (time.process_time() - cpu) * 1000,
        }
    )
)
