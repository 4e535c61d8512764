"""Everything that has made a failover fail, checked now: each check with evidence and a remedy."""
