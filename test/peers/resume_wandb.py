"""Goes on with a run, or begins it, logs rows to it and reads it back with the SDK's own client, printed as JSON.

    resume_wandb.py ID ROWS
"""
import json
import sys
import tempfile

import wandb

run_id, rows = sys.argv[1], int(sys.argv[2])
run = wandb.init(project="lab", id=run_id, resume="allow", settings=wandb.Settings(x_disable_stats=True))
first = run.starting_step
for row in range(rows):
    run.log({"loss": 1 / (first + row + 1)})
print(f"rows from {first}")
print("careful", file=sys.stderr)
run.finish()

read = wandb.Api().run(f"{run.entity}/lab/{run_id}")
with tempfile.TemporaryDirectory() as folder:
    metadata = read.file("wandb-metadata.json").download(root=folder, replace=True).read()
seen = {
    "first": first,
    "resumed": run.resumed,
    "lastStep": read.lastHistoryStep,
    "files": {file.name: file.size for file in read.files(per_page=2)},
    "startedAt": json.loads(metadata)["startedAt"],
    "console": [[line.number, line.level, line.content] for line in read.console_logs()],
    "sample": read.history(samples=3, pandas=False),
    "losses": read.history(samples=100, keys=["loss"], pandas=False),
}
# what the SDK says stands on stdout too
print("SEEN " + json.dumps(seen))
