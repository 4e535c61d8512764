"""Where a version is proved: verify, repair, independent witnesses."""
