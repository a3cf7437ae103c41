"""Records of one source system to rows for Wicked's endpoints, one module per source system."""
