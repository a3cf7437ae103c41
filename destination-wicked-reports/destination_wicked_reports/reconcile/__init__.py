"""`wicked-reports-reconcile`: what the destination sent beside what Wicked Reports now shows."""
