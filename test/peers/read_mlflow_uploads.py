"""Reads what a run of a tracking server holds besides points, with MLflow's own client, and prints it as JSON.

    read_mlflow_uploads.py URI EXPERIMENT TAG VALUE

Every artifact of the run and of its logged models is downloaded and printed as its SHA-256.
"""
import hashlib
import json
import os
import sys
import tempfile

import mlflow
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.models import Model

uri, experiment_name, tag, value = sys.argv[1:]
mlflow.set_tracking_uri(uri)
client = MlflowClient(tracking_uri=uri)
experiment = client.get_experiment_by_name(experiment_name)
(found,) = client.search_runs([experiment.experiment_id], f"tags.`{tag}` = '{value}'", ViewType.ALL)
run = client.get_run(found.info.run_id)
run_id = run.info.run_id


def digests(folder):
    seen = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            hasher = hashlib.sha256()
            with open(path, "rb") as file:
                while chunk := file.read(1 << 20):
                    hasher.update(chunk)
            seen[os.path.relpath(path, folder).replace(os.sep, "/")] = hasher.hexdigest()
    return seen


with tempfile.TemporaryDirectory() as folder:
    artifacts = digests(client.download_artifacts(run_id, "", folder))

tables = {}
for entry in json.loads(run.data.tags.get("mlflow.loggedArtifacts", "[]")):
    frame = client.load_table(experiment.experiment_id, entry["path"], [run_id])
    tables[entry["path"]] = json.loads(frame.to_json(orient="split", index=False))

models = []
for model in client.search_logged_models([experiment.experiment_id]):
    if model.source_run_id != run_id:
        continue
    with tempfile.TemporaryDirectory() as folder:
        local = mlflow.artifacts.download_artifacts(f"models:/{model.model_id}", dst_path=folder)
        files = digests(local)
        loaded = Model.load(local)
    models.append(
        {
            "id": model.model_id,
            "name": model.name,
            "status": str(model.status.value if hasattr(model.status, "value") else model.status),
            "tags": model.tags,
            "files": files,
            "runId": loaded.run_id,
            "metadata": loaded.metadata,
        }
    )
versions = []
for version in client.search_model_versions(f"run_id = '{run_id}'"):
    version = client.get_model_version(version.name, version.version)
    versions.append(
        {
            "name": version.name,
            "version": str(version.version),
            "source": version.source,
            "modelId": version.model_id,
            "aliases": list(version.aliases),
            "description": version.description,
        }
    )
print(
    json.dumps(
        {
            "runId": run_id,
            "status": run.info.status,
            "user": run.info.user_id,
            "tags": run.data.tags,
            "artifacts": artifacts,
            "tables": tables,
            "datasets": [
                {
                    "name": entry.dataset.name,
                    "digest": entry.dataset.digest,
                    "source": entry.dataset.source,
                    "sourceType": entry.dataset.source_type,
                    "schema": entry.dataset.schema,
                    "profile": entry.dataset.profile,
                    "tags": {tag.key: tag.value for tag in entry.tags},
                }
                for entry in run.inputs.dataset_inputs
            ],
            "outputs": [
                {"modelId": output.model_id, "step": output.step} for output in run.outputs.model_outputs
            ]
            if run.outputs
            else [],
            "models": models,
            "versions": versions,
        }
    )
)
