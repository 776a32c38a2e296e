"""Files on object stores: s3://, gs://, hf:// and every other scheme that fsspec knows.

Guarantees: an object appears whole or not at all; every error is a StorageError, one line that says
what to type, within seconds; credentials come only from where the store's own tools find them. The
only package that imports pyarrow.fs or fsspec. Must not know what the files mean.
"""
