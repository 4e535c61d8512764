"""The switch: what decides which site clients go to, and how it is moved."""
