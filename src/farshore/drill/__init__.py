"""Drills: rehearsed on paper, on scratch objects, or for real; and what is said about them."""
