"""Known vulnerabilities of what is pinned, asked of a copy of an advisory database: no network."""
