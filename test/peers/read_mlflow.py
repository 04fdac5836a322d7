"""Reads runs of a tracking server with MLflow's own client and prints them as JSON, as a list in the order asked.

Values of metrics are printed as hexadecimal of their double, so that every bit is compared.

    read_mlflow.py URI EXPERIMENT TAG VALUE [VALUE ...]      runs by the value of a tag
"""
import json
import struct
import sys

from mlflow import MlflowClient
from mlflow.entities import ViewType

uri, experiment_name, tag, *values = sys.argv[1:]
client = MlflowClient(tracking_uri=uri)
experiment = client.get_experiment_by_name(experiment_name)
runs = []
for value in values:
    filter_string = f"tags.`{tag}` = '{value}'"
    for run in client.search_runs([experiment.experiment_id], filter_string, ViewType.ALL):
        run_id = run.info.run_id
        history = {
            key: [
                [metric.step, metric.timestamp, struct.pack(">d", metric.value).hex()]
                for metric in client.get_metric_history(run_id, key)
            ]
            for key in run.data.metrics
        }
        runs.append(
            {
                "runId": run_id,
                "name": run.info.run_name,
                "status": run.info.status,
                "startTime": run.info.start_time,
                "endTime": run.info.end_time,
                "params": run.data.params,
                "tags": run.data.tags,
                "history": history,
            }
        )
print(json.dumps(runs))
