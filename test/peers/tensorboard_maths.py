"""Bins by numpy and PR curves by TensorBoard's own function, for the inputs in the file named by the first argument.

Doubles travel as hexadecimal of their bytes, big-endian.
"""
import json
import struct
import sys
import types

import numpy as np
from tensorboard.compat.proto import summary_pb2
from tensorboard.util import tensor_util

# The function makes its message by TensorFlow, which need not be there for it.
tensorflow = types.ModuleType("tensorflow.compat.v1")
tensorflow.SummaryMetadata = summary_pb2.SummaryMetadata
tensorflow.Summary = summary_pb2.Summary
tensorflow.float32 = np.float32
tensorflow.make_tensor_proto = tensor_util.make_tensor_proto
compat = types.ModuleType("tensorflow.compat")
compat.v1 = tensorflow
parent = types.ModuleType("tensorflow")
parent.compat = compat
sys.modules.update({"tensorflow": parent, "tensorflow.compat": compat, "tensorflow.compat.v1": tensorflow})

from tensorboard.plugins.pr_curve import summary  # noqa: E402


def doubles(text):
    return np.frombuffer(bytes.fromhex(text), dtype=">f8").astype(float)


def text_of(values):
    return struct.pack(f">{len(values)}d", *values).hex()


with open(sys.argv[1]) as file:
    given = json.load(file)

histograms = []
for case in given["histograms"]:
    counts, edges = np.histogram(doubles(case["values"]), case["bins"])
    histograms.append({"edges": text_of(edges), "counts": text_of(counts)})

curves = []
for case in given["curves"]:
    predictions = doubles(case["predictions"])
    if case["isFloat32"]:
        predictions = predictions.astype(np.float32)
    message = summary.pb(
        "curve",
        doubles(case["labels"]) == 1,
        predictions,
        num_thresholds=case["thresholds"],
        weights=doubles(case["weights"]) if case["weights"] else None,
    )
    curves.append(tensor_util.make_ndarray(message.value[0].tensor).tolist())

print(json.dumps({"histograms": histograms, "curves": curves}))
