"""Runbooks that run: steps that look before they act, and a runner that can be killed."""
