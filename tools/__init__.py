"""Commands for maintainers and CI."""
