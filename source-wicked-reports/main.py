"""Runs the connector in Airbyte's image."""

from source_wicked_reports.run import run

if __name__ == "__main__":
    run()
