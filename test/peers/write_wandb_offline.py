"""Writes a run of wide rows by the wandb SDK, offline. Arguments: folder, run id, rows, keys of a row as JSON.

The value of key i at step s is a function of both, which bench/wandb-rows.ts states, too. Prints the run's directory.
"""

import json
import os
import sys

import wandb

folder, run_id, rows, keys = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
run = wandb.init(
    mode="offline",
    entity="stander",
    project="bench",
    id=run_id,
    dir=folder,
    settings=wandb.Settings(console="off", x_disable_stats=True, x_disable_meta=True, silent=True),
)
count = len(keys)
for step in range(rows):
    first = step * count
    run.log(
        {key: ((first + i) * 2654435761 & 0xFFFFFFFF) / 0x100000000 for i, key in enumerate(keys)},
        step=step,
    )
run.finish()
print(os.path.dirname(run.dir))
