"""Reads artifacts, runs' files and registries with wandb's own client and prints them as JSON.

    read_wandb_artifacts.py ASKED

ASKED is JSON, every part of it optional: {"artifacts": [name], "runs": [path], "collections": [[type, name]],
"types": [[type, project]], "registries": true, "download": false}. Files are told by their MD5 (Base64) and their size.
"""
import base64
import hashlib
import json
import os
import sys
import tempfile

import wandb


def facts(path):
    with open(path, "rb") as file:
        content = file.read()
    md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
    return {"md5": md5, "size": len(content)}


def tree(root):
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
    return {os.path.relpath(path, root).replace(os.sep, "/"): facts(path) for path in sorted(paths)}


def run_path(run):
    return run and f"{run.entity}/{run.project}/{run.id}"


def entry(one):
    return {"digest": one.digest, "size": one.size, "ref": one.ref}


def read_artifact(api, name, is_downloaded):
    artifact = api.artifact(name)
    seen = {
        "name": artifact.qualified_name,
        "source": artifact.source_qualified_name,
        "type": artifact.type,
        "version": artifact.version,
        "aliases": sorted(artifact.aliases),
        "digest": artifact.digest,
        "recomputed": artifact.manifest.digest(),
        "state": artifact.state,
        "size": artifact.size,
        "fileCount": artifact.file_count,
        "description": artifact.description,
        "metadata": artifact.metadata,
        "historyStep": artifact.history_step,
        "entries": {path: entry(one) for path, one in artifact.manifest.entries.items()},
        "loggedBy": run_path(artifact.logged_by()),
        "usedBy": sorted(run_path(run) for run in artifact.used_by()),
        "isLink": artifact.is_link,
        "listed": {file.name: file.size for file in artifact.files(per_page=2)},
    }
    if is_downloaded:
        with tempfile.TemporaryDirectory() as root:
            seen["files"] = tree(artifact.download(root=root, skip_cache=True))
            if len(artifact.manifest.entries) == 1:
                seen["file"] = facts(artifact.file(root=root))
    return seen


def read_run(api, path):
    run = api.run(path)
    files = {}
    with tempfile.TemporaryDirectory() as root:
        for file in run.files(per_page=3):
            run.file(file.name).download(root=root, replace=True)
        files = tree(root)
    return {
        "logged": sorted(one.qualified_name for one in run.logged_artifacts(per_page=2)),
        "used": sorted(one.qualified_name for one in run.used_artifacts(per_page=2)),
        "files": files,
    }


def read_collection(collection):
    return {
        "name": collection.name,
        "type": collection.type,
        "aliases": sorted(collection.aliases),
        "versions": [one.qualified_name for one in collection.artifacts(per_page=2)],
    }


def read_registry(registry):
    return {
        "name": registry.full_name,
        "collections": {one.name: read_collection(one) for one in registry.collections()},
        "versions": sorted(one.qualified_name for one in registry.versions()),
        "latest": sorted(one.qualified_name for one in registry.versions(filter={"alias": "latest"})),
    }


asked = json.loads(sys.argv[1])
api = wandb.Api()
is_downloaded = asked.get("download", True)
seen = {
    "artifacts": {name: read_artifact(api, name, is_downloaded) for name in asked.get("artifacts", [])},
    "runs": {path: read_run(api, path) for path in asked.get("runs", [])},
    "collections": {
        name: read_collection(api.artifact_collection(kind, name))
        for kind, name in asked.get("collections", [])
    },
    "types": {
        kind: sorted(one.name for one in api.artifact_collections(project, kind))
        for kind, project in asked.get("types", [])
    },
    "registries": [read_registry(one) for one in api.registries()] if asked.get("registries") else [],
}
# what the SDK says stands on stdout too
print("SEEN " + json.dumps(seen))
