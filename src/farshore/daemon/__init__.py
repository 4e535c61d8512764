"""The process that keeps the far side seconds behind: feeds in, lanes out, and the truth told."""
