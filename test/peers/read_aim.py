"""Reads a run back with Aim's own SDK and prints it as JSON. argv: the repository's folder, the run's hash, perhaps a folder.

Floats are their bits in hexadecimal: JSON knows neither NaN nor all digits.
"""

import json
import struct
import sys

from aim import Repo
from aim.sdk.index_manager import RepoIndexManager
from aim.storage.context import Context

folder, run_hash = sys.argv[1:3]
# where artifacts are fetched to
target = sys.argv[3] if len(sys.argv) > 3 else None


def bits(value):
    return None if value is None else struct.pack(">d", value).hex()


def plain(value):
    """What attributes hold, with ints and floats told apart."""
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return {"float": bits(value)}
    return repr(value)


def metrics(repo):
    found = []
    query = repo.query_metrics(f'run.hash == "{run_hash}"', report_mode=0)
    for of_run in query.iter_runs():
        for metric in of_run.iter():
            steps, (values, epochs, times) = metric.data.items_list()
            found.append(
                {
                    "name": metric.name,
                    "context": metric.context.to_dict(),
                    "steps": [int(step) for step in steps],
                    "values": [bits(value) for value in values],
                    "epochs": [None if epoch is None or epoch != epoch else float(epoch) for epoch in epochs],
                    "times": [float(time) for time in times],
                }
            )
    return found


def lengths(repo, traces):
    """Of the four arrays of each series of numbers, as they lie there: readers walk them side by side."""
    tree = repo.request_tree("seqs", run_hash, read_only=True)
    return [
        {
            array: len(list(tree.subtree(("seqs", "v2", "chunks", run_hash, context, name)).array(array).items()))
            for array in ("val", "epoch", "time", "step")
        }
        for context, names in traces.items()
        for name, trace in names.items()
        if trace.get("version") == 2
    ]


def sequences(run, kind, sequence_of, show):
    found = []
    for info in run.collect_sequence_info((kind,), skip_last_value=True).get(kind, []):
        sequence = sequence_of(info["name"], Context(info["context"]))
        steps, (values, _, times) = sequence.data.items_list()
        found.append(
            {
                "name": info["name"],
                "context": info["context"],
                "steps": [int(step) for step in steps],
                "values": [show(value) for value in values],
                "times": [float(time) for time in times],
            }
        )
    return found


def distribution(value):
    return {"weights": value.weights.tolist(), "range": list(value.range), "bins": value.bin_count}


def image(value):
    def one(item):
        return {
            "width": item.width,
            "height": item.height,
            "format": item.format,
            "caption": item.caption,
            "pixels": item.to_pil_image().convert("RGB").tobytes().hex(),
        }

    return [one(item) for item in value]


repo = Repo(folder)
RepoIndexManager.get_index_manager(repo).index(run_hash)
repo = Repo(folder)
run = repo.get_run(run_hash)
if run is None:
    print("null")
    sys.exit()
print(
    json.dumps(
        {
            "metrics": metrics(repo),
            "lengths": lengths(repo, run.meta_run_tree.collect("traces")),
            "params": plain(run[...]),
            "name": run.name,
            "experiment": run.experiment,
            "tags": list(run.tags),
            "description": run.description,
            "active": run.active,
            "endTime": run.end_time,
            "traces": plain(run.meta_run_tree.collect("traces")),
            "texts": sequences(run, "texts", run.get_text_sequence, lambda text: text.data),
            "distributions": sequences(run, "distributions", run.get_distribution_sequence, distribution),
            "images": sequences(run, "images", run.get_image_sequence, image),
            "artifacts": {
                name: {"uri": artifact.uri, **({"content": open(artifact.download(target)).read()} if target else {})}
                for name, artifact in run.artifacts.items()
            },
            "figures": sequences(run, "figures", run.get_figure_sequence, lambda figure: json.loads(figure.storage["data"].load())),
        }
    )
)
