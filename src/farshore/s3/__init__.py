"""The wire: how a version is read from and written to an S3-compatible store."""
