"""Small documents in both sides' control buckets: capabilities, leases."""
