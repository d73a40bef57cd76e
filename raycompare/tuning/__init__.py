"""The search: which configurations are tried, which trials go on, and how Ray Tune runs them."""
