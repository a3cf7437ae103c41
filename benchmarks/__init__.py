"""The connectors beside bare loops that do the same work; run by `make bench`, never by the tests."""
