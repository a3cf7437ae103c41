"""`wicked-reports-reconcile`: compares the orders that were sent with those that Wicked Reports reports."""
