"""farshore.toml, parsed once into frozen values."""
