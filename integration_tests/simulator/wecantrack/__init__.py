"""wecantrack's reporting API."""
