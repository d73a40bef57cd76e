"""Machines for tests of clusters: Linux namespaces on a switch without a way out.

`hosts` makes them, `ssh` lets Ray's launcher in, `bucket` stands in for S3, `launched` drives
`ray up`, `ray submit` and `ray down` as a user would. It takes root and a few programs;
`missing()` says what is not there.
"""
