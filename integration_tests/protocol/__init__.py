"""The judge of every connector process: validator, schemas, pytest plugin."""
