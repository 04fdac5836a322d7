"""Runs `wandb sync` on a directory as its users do. Prints wall time and CPU seconds, its children's included, as JSON."""

import json
import resource
import subprocess
import sys
import time

began = time.monotonic()
subprocess.run(
    [sys.executable, "-m", "wandb", "sync", "--include-synced", *sys.argv[1:]],
    check=True,
    stdout=sys.stderr,
)
wall = time.monotonic() - began
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"wallS": wall, "cpuS": used.ru_utime + used.ru_stime}))
