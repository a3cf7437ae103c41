"""Checks the output of every connector process: recorder, validator, schemas, pytest plugin."""
