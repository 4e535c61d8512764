"""What tests of farshore are built with: a clock that a test moves, and fakes.

Every fake stands behind a protocol whose conformance suite the real thing passes too.
"""
