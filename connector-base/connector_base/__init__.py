"""What every connector of this repository stands on; linked into each package as `base`."""
