"""Runs the connector in Airbyte's image."""

from source_sovrn.run import run

if __name__ == "__main__":
    run()
