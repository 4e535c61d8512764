"""Durable notes on this machine; a cache that listings can rebuild."""
