"""Console scripts `destination-wicked-reports` and `target-wicked-reports`: choose the command and run it."""

from __future__ import annotations

import sys

from destination_wicked_reports.base import startup

HELP = """usage: destination-wicked-reports COMMAND [OPTIONS]

  spec                                      print the JSON schema of the configuration
  check     --config FILE                   check the API key, the ledger and the dead-letter file
  discover  --config FILE                   print the objects that records can become
  write     --config FILE --catalog FILE    send the records on standard input
  preview   --config FILE --catalog FILE    show what write would send of the records on standard input
  ledger    --config FILE [--key ID]        show what was sent
  replay    --config FILE --rejects FILE [--in-doubt]    send fixed rows of the dead-letter file, each once

Run a command with --help for its options.
"""
#: Commands that print text; all others print Airbyte messages.
TEXT_COMMANDS = frozenset({"ledger", "preview", "replay"})


def run() -> None:
    """Run the command line in `sys.argv`."""
    arguments = sys.argv[1:]
    command = arguments[0] if arguments else ""
    if command in ("-h", "--help"):
        sys.stdout.write(HELP)
        return
    startup.prepare(defer_sources=True)
    if command in TEXT_COMMANDS:
        from destination_wicked_reports.commands import cli

        startup.finish()
        sys.exit(cli.main(arguments))
    from destination_wicked_reports.destination import DestinationWickedReports

    startup.finish()
    DestinationWickedReports().run(arguments)


def target() -> None:
    """Run the Singer target with the command line in `sys.argv`."""
    startup.prepare(defer_sources=True)
    from destination_wicked_reports.commands.singer_target import cli

    startup.finish()
    cli()
