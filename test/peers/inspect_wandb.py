"""Reads `.wandb` files by what W&B has for it: `wandb leet inspect`, and the classes of its records.

    inspect_wandb.py counts|whole FILE...

Prints a JSON list, of each file: `code` and `stderr` of `wandb leet inspect --json`, how many records of each type it
told (`counts`), the `_step` of each row. With `whole` also the records themselves, as it told them, how many records the
official classes read from the same bytes (`decoded`), and how many of these held fields that they do not know (`unknown`).
"""

import concurrent.futures
import json
import os
import subprocess
import sys
import zlib

from google.protobuf.unknown_fields import UnknownFieldSet
from wandb.proto import wandb_internal_pb2

BLOCK = 32768


def chunks(data):
    """Payloads of whole records; what is torn at the end is passed over, any other fault is raised."""
    at, parts = 7, []
    while at + 7 <= len(data):
        left = BLOCK - at % BLOCK
        if left < 7:
            at += left
            continue
        crc = int.from_bytes(data[at : at + 4], "little")
        length = int.from_bytes(data[at + 4 : at + 6], "little")
        kind, end = data[at + 6], at + 7 + length
        if end > len(data):
            return
        if zlib.crc32(data[at + 6 : end]) != crc:
            raise ValueError(f"checksum at {at}")
        parts.append(data[at + 7 : end])
        if kind in (1, 4):
            yield b"".join(parts)
            parts = []
        at = end


def has_unknown(message):
    if len(UnknownFieldSet(message)) > 0:
        return True
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        many = value if isinstance(value, (list, tuple)) or hasattr(value, "add") else [value]
        if any(has_unknown(one) for one in many):
            return True
    return False


def decode(path):
    with open(path, "rb") as file:
        data = file.read()
    decoded, unknown = 0, 0
    for payload in chunks(data):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(payload)
        decoded += 1
        if record.num != decoded:
            raise ValueError(f"record {decoded} has the number {record.num}")
        unknown += has_unknown(record)
    return decoded, unknown


def look(path, is_whole):
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", path]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    counts, steps = {}, []
    for record in records:
        counts[record["type"]] = counts.get(record["type"], 0) + 1
        if record["type"] == "history":
            steps.append(record["history"]["item"]["_step"])
    seen = {"code": done.returncode, "stderr": done.stderr, "counts": counts, "steps": steps}
    if is_whole:
        decoded, unknown = decode(path)
        seen.update({"records": records, "decoded": decoded, "unknown": unknown})
    return seen


is_whole, paths = sys.argv[1] == "whole", sys.argv[2:]
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    print(json.dumps(list(pool.map(lambda path: look(path, is_whole), paths))))
