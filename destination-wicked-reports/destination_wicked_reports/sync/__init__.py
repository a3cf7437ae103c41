"""The command `wicked-reports-sync`: runs a source and this destination as one, from one file, `sync.yaml`."""
