"""What an application imports: where the switch points, and a boto3 client that follows it."""

from farshore.application.boto import boto3_client
from farshore.application.endpoint import ENDPOINT_FILE, EndpointFile, endpoint
from farshore.application.freshness import ReadYourWrites, daemon_watermark
from farshore.application.keys import Keys

__all__ = [
    "ENDPOINT_FILE",
    "EndpointFile",
    "Keys",
    "ReadYourWrites",
    "boto3_client",
    "daemon_watermark",
    "endpoint",
]
