"""wecantrack's API."""
