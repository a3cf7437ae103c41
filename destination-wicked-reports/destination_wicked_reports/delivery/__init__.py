"""Delivers rows and releases STATEs: the writer, queues, requests in flight, the dead-letter file."""
