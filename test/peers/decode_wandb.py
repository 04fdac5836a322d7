"""Prints every record of a .wandb file as the wandb SDK's own messages read it: a JSON object each line."""

import json
import struct
import sys
import zlib

from google.protobuf.json_format import MessageToDict
from wandb.proto import wandb_internal_pb2 as pb

BLOCK = 32768
data = open(sys.argv[1], "rb").read()
assert data[:7] == b":W&B\xe1\xbe\x00", data[:7]
at, record = 7, b""
while at < len(data):
    left = BLOCK - at % BLOCK
    if left < 7:
        at += left
        continue
    checksum, length, kind = struct.unpack_from("<IHB", data, at)
    end = at + 7 + length
    assert zlib.crc32(data[at + 6 : end]) == checksum, at
    record += data[at + 7 : end]
    at = end
    if kind in (1, 4):
        message = pb.Record.FromString(record)
        # what was read stands for all of it: nothing is unknown, and no field is written in another way
        assert message.SerializeToString(deterministic=True) == record, message
        print(json.dumps(MessageToDict(message, preserving_proto_field_name=True)))
        record = b""
assert record == b""
