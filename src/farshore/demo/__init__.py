"""The story told by real processes: two regions, a tree, a proof by strangers, a dead region."""
