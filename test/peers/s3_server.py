"""An S3 API on a free loopback port, in memory, with one bucket. Prints its address, ends with its standard input.

    s3_server.py BUCKET
"""
import logging
import os
import sys

os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")

import boto3
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
address = f"http://{host}:{port}"
boto3.client("s3", endpoint_url=address).create_bucket(Bucket=sys.argv[1])
print(address, flush=True)
sys.stdin.read()
server.stop()
