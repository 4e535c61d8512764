"""Real regions on loopback."""
