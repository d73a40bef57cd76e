"""The search: which configurations are tried and which trials continue, on Ray Tune."""
