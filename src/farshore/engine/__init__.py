"""Where a version is written: lanes, copies, backfill."""
