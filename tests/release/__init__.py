"""A release, rehearsed: ``make release``."""
