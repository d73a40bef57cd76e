"""The figures of the report, one in each module."""
