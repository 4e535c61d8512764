"""farshore: every version of your S3 files in a second region, proved."""

__version__ = "0.1.0"
