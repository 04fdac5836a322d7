"""Reads a run with wandb's own client and prints it as JSON.

Its argument is the run's path, entity/project/run. Floats that JSON does not know are {"float": "nan"} and the like.
"""

import json
import math
import sys

import wandb


def plain(value):
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return value


run = wandb.Api().run(sys.argv[1])
seen = {
    "name": run.name,
    "state": run.state,
    "tags": list(run.tags),
    "notes": run.notes,
    "group": run.group,
    "jobType": run.job_type,
    "config": dict(run.config),
    "summary": dict(run.summary._json_dict),
    "lastHistoryStep": run.lastHistoryStep,
    "history": list(run.scan_history()),
}
print(json.dumps(plain(seen), allow_nan=False))
