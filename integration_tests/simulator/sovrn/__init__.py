"""Sovrn Commerce's reporting API."""
