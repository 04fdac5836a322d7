"""Plays a story (wandb-story.ts) through the wandb SDK, online, at the server that WANDB_BASE_URL names.

Its argument is the path of the story, JSON in which NaN and infinities stand bare.
"""

import json
import os
import sys
import time

import wandb

with open(sys.argv[1], encoding="utf-8") as file:
    story = json.load(file)

run = wandb.init(
    project=story["project"],
    id=story["id"],
    name=story["name"],
    group=story["group"],
    job_type=story["jobType"],
    notes=story["notes"],
    tags=story["tags"],
    config=story["config"],
    settings=wandb.Settings(x_stats_sampling_interval=story["systemEveryS"]),
)
for metric in story["metrics"]:
    run.define_metric(
        metric["name"],
        step_metric=metric.get("axis"),
        hidden=metric.get("hidden"),
        summary=",".join(metric["summary"]) if "summary" in metric else None,
    )
for turn in story["turns"]:
    if "config" in turn:
        run.config.update(turn["config"])
    for line in turn.get("stdout", ()):
        print(line)
    for line in turn.get("stderr", ()):
        print(line, file=sys.stderr)
    if "step" not in turn:
        continue
    row = dict(turn["values"])
    for name, bins in turn.get("histograms", {}).items():
        row[name] = wandb.Histogram(np_histogram=(bins["counts"], bins["edges"]))
    for name, image in turn.get("images", {}).items():
        row[name] = wandb.Image(image["path"], caption=image["caption"])
    for name, table in turn.get("tables", {}).items():
        row[name] = wandb.Table(columns=table["columns"], data=table["data"])
    for path in turn.get("files", ()):
        run.save(path, base_path=os.path.dirname(path), policy="now")
    run.log(row, step=turn["step"])
# a sample of the system's metrics at the least
time.sleep(3 * story["systemEveryS"])
run.finish(exit_code=story["exitCode"])
