"""A whole S3 in memory, and ways to break any store on purpose."""
