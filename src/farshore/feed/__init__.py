"""Where changes are learnt from: hints, never the truth."""
