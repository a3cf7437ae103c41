"""Tests of the simulator, which is test equipment itself."""
