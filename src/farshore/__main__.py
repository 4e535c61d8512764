"""`python -m farshore`."""

from farshore.cli.main import main

main()
