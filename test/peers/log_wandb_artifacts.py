"""Logs a folder and a reference as artifacts with the wandb SDK, at the server that WANDB_BASE_URL names.

    log_wandb_artifacts.py STORY

STORY is JSON: {"project", "folder", "name", "type", "description", "metadata", "aliases", "uri"}.
"""
import json
import os
import sys

import wandb

story = json.loads(sys.argv[1])
settings = wandb.Settings(x_disable_stats=True)
run = wandb.init(project=story["project"], id="theirs-1", settings=settings)
data = wandb.Artifact(story["name"], story["type"], description=story["description"], metadata=story["metadata"])
data.add_dir(story["folder"])
run.log_artifact(data, aliases=story["aliases"]).wait()
far = wandb.Artifact("far", story["type"])
far.add_reference(story["uri"], name=os.path.basename(story["uri"]), checksum=False)
run.log_artifact(far).wait()
run.finish()
