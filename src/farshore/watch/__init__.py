"""What people and machines are told: the verdict's inputs, metrics, alerts."""
