"""Rows on their way: queues, requests in flight, STATE messages, the dead-letter file."""
