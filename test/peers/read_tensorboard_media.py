"""Reads a run's event file with EventAccumulator and prints all that is no scalar as JSON; bytes as hexadecimal."""
import json
import logging
import sys

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.util import tensor_util

logging.disable(logging.CRITICAL)
everything = {"histograms": 0, "images": 0, "tensors": 0, "scalars": 0}
accumulator = event_accumulator.EventAccumulator(sys.argv[1], size_guidance=everything)
accumulator.Reload()
tags = accumulator.Tags()


def plain(value):
    if isinstance(value, bytes):
        return value.hex()
    return [plain(item) for item in value] if isinstance(value, list) else value


print(
    json.dumps(
        {
            "histograms": {
                tag: [
                    {
                        "step": event.step,
                        "wallSeconds": event.wall_time,
                        "min": event.histogram_value.min,
                        "num": event.histogram_value.num,
                        "sum": event.histogram_value.sum,
                        "sumSquares": event.histogram_value.sum_squares,
                        "limits": list(event.histogram_value.bucket_limit),
                        "counts": list(event.histogram_value.bucket),
                    }
                    for event in accumulator.Histograms(tag)
                ]
                for tag in tags["histograms"]
            },
            "images": {
                tag: [
                    {
                        "step": event.step,
                        "wallSeconds": event.wall_time,
                        "width": event.width,
                        "height": event.height,
                        "bytes": event.encoded_image_string.hex(),
                    }
                    for event in accumulator.Images(tag)
                ]
                for tag in tags["images"]
            },
            "tensors": {
                tag: [
                    {
                        "step": event.step,
                        "wallSeconds": event.wall_time,
                        "value": plain(tensor_util.make_ndarray(event.tensor_proto).tolist()),
                    }
                    for event in accumulator.Tensors(tag)
                ]
                for tag in tags["tensors"]
            },
        }
    )
)
