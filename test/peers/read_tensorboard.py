"""Reads a log directory with TensorBoard's own readers and prints what they see as JSON.

Values are printed as hexadecimal of their float32, so that NaN and -0 survive.
"""
import json
import logging
import struct
import sys

from google.protobuf import json_format
from tensorboard import context
from tensorboard.backend.event_processing import data_provider
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.backend.event_processing import plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import backend_context
from tensorboard.plugins.hparams import get_experiment
from tensorboard.plugins.hparams import list_session_groups
from tensorboard.plugins.text import text_plugin
from tensorboard.util import tensor_util

ALL = 0
log_dir = sys.argv[1]
logging.disable(logging.CRITICAL)


def plain(value):
    return struct.pack(">f", value).hex()


multiplexer = plugin_event_multiplexer.EventMultiplexer(
    size_guidance={"tensors": ALL}, tensor_size_guidance={"scalars": ALL, "text": ALL}
)
multiplexer.AddRunsFromDirectory(log_dir)
multiplexer.Reload()
provider = data_provider.MultiplexerDataProvider(multiplexer, log_dir)
request = context.RequestContext()

seen = {}
for run in multiplexer.Runs():
    accumulator = event_accumulator.EventAccumulator(f"{log_dir}/{run}", size_guidance={"scalars": ALL})
    accumulator.Reload()
    texts = multiplexer.GetAccumulator(run)
    seen[run] = {
        "classic": {
            tag: [[event.step, event.wall_time, plain(event.value)] for event in accumulator.Scalars(tag)]
            for tag in accumulator.Tags()["scalars"]
        },
        "text": {
            tag: [
                text_plugin.text_array_to_html(tensor_util.make_ndarray(event.tensor_proto), False)
                for event in texts.Tensors(tag)
            ]
            for tag in (texts.PluginTagToContent("text") if "text" in texts.ActivePlugins() else ())
        },
    }

scalars = provider.read_scalars(request, experiment_id="x", plugin_name="scalars", downsample=1_000_000_000)
for run, tags in scalars.items():
    seen[run]["provider"] = {
        tag: [[datum.step, datum.wall_time, plain(datum.value)] for datum in series]
        for tag, series in tags.items()
    }

hparams = backend_context.Context(base_plugin.TBContext(logdir=log_dir, data_provider=provider))
experiment = get_experiment.Handler(request, hparams, "x", api_pb2.GetExperimentRequest(include_metrics=True)).run()
groups = list_session_groups.Handler(
    request,
    hparams,
    "x",
    api_pb2.ListSessionGroupsRequest(
        slice_size=100,
        allowed_statuses=list(api_pb2.Status.values()),
        col_params=[],
        include_metrics=True,
    ),
).run()
print(
    json.dumps(
        {
            "runs": seen,
            "experiment": json_format.MessageToDict(experiment),
            "sessionGroups": json_format.MessageToDict(groups),
        }
    )
)
