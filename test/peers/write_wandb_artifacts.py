"""Logs, uses and links artifacts with the wandb SDK, at the server that WANDB_BASE_URL names.

    write_wandb_artifacts.py FOLDER [offline]

Two runs of the project `lab`: `writer` logs what is in the folder, `reader` uses it. Prints as JSON what the SDK says
of it all. Offline: `writer` alone, what it can log without a server, into FOLDER/wandb; prints its directory.
"""
import json
import os
import sys

folder = sys.argv[1]
is_offline = sys.argv[2:] == ["offline"]
if is_offline:
    # what is to be sent later has to outlive the home of this process
    os.environ["WANDB_DATA_DIR"] = folder

import wandb

settings = wandb.Settings(x_disable_stats=True, mode="offline" if is_offline else "online", root_dir=folder)


def inside(*names):
    return os.path.join(folder, *names)


def said(artifact):
    return {
        "id": artifact.id,
        "name": artifact.name,
        "version": artifact.version,
        "digest": artifact.digest,
        "aliases": sorted(artifact.aliases),
        "state": artifact.state,
    }


def weights(*names):
    made = wandb.Artifact("weights", "model", description="of a net", metadata={"layers": 3, "loss": 0.5})
    for name in names:
        made.add_file(inside(name))
    made.add_dir(inside("deep"), name="deep")
    return made


def references():
    made = wandb.Artifact("refs", "dataset")
    made.add_reference("https://data.invalid/points.csv", name="points.csv", checksum=False)
    made.add_reference("file://" + inside("a.bin"), name="near.bin")
    made.add(wandb.Table(columns=["n"], data=[[1]]), "inner")
    return made


def points():
    rows = [["one", 1.5, wandb.Image(inside("image.png"))], ["two", None, None]]
    return wandb.Table(columns=["name", "value", "picture"], data=rows)


def log_aside(run):
    run.log({"points": points(), "loss": 0.5})
    run.save(inside("deep", "*.txt"), base_path=folder, policy="now")
    run.alert("loss", "too high", level="WARN", wait_duration=5)
    return run.log_code(inside("deep"), name="sources", include_fn=lambda path: True)


def log_offline():
    run = wandb.init(project="lab", id="writer", settings=settings)
    run.log({"loss": 1.0})
    for names in [("a.bin", "b.bin"), ("a.bin", "b.bin"), ("a.bin", "c.bin")]:
        run.log_artifact(weights(*names), aliases=["best"])
    run.log_artifact(references())
    log_aside(run)
    run.finish()
    return os.path.dirname(run.dir)


def log_online():
    run = wandb.init(project="lab", id="writer", settings=settings)
    run.log({"loss": 1.0})
    seen = {
        "v0": said(run.log_artifact(weights("a.bin", "b.bin"), aliases=["best"]).wait()),
        "same": said(run.log_artifact(weights("a.bin", "b.bin"), aliases=["again"]).wait()),
        "v1": said(run.log_artifact(weights("a.bin", "c.bin"), aliases=["best"]).wait()),
        "refs": said(run.log_artifact(references()).wait()),
        "code": said(log_aside(run).wait()),
    }
    newest = run.use_artifact("weights:v1")
    linked = run.link_artifact(newest, "wandb-registry-model/classifier", aliases=["prod"])
    seen["linked"] = said(linked)
    run.link_model(inside("b.bin"), registered_model_name="other", name="plain", aliases=["first"])
    run.finish()

    run = wandb.init(project="lab", id="reader", settings=settings)
    used = run.use_artifact("weights:best")
    seen["used"] = said(used)
    seen["usedFiles"] = sorted(os.listdir(used.download(root=inside("used"))))
    run.finish()
    return seen


# what the SDK says stands on stdout too
print("SEEN " + json.dumps(log_offline() if is_offline else log_online()))
