"""Entry point of the container image."""

from destination_wicked_reports.run import run

if __name__ == "__main__":
    run()
