"""The pure heart: histories, stamps, rules, alignment, plans. Standard library only, no IO."""
