"""The demo: every connector against the simulator, and what Wicked Reports then stores."""
