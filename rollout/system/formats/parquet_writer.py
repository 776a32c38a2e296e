"""Write parquet so that every readable type is read back as the same type.

Arrow's writer has no kernel for string and binary views below a struct or a map. Such a column is
written as plain strings and bytes, which are the same in the file; the file's Arrow schema still
names the views. Must not know about rows or files.
"""

import base64
from typing import TYPE_CHECKING, Any

from rollout.system.formats.plain_types import rebuild, without_views

if TYPE_CHECKING:
    import pyarrow as pa

RECORD = "ARROW:schema"  # Arrow's key for its types in the file's metadata


class Writer:
    """Write tables of `schema` to an open file or a path, a row group each. Use it in `with`."""

    def __init__(self, file: Any, schema: "pa.Schema"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        fields = [field.with_type(written_as(field.type)) for field in schema]
        self._schema = schema
        self._is_plain = [held.type != own.type for held, own in zip(fields, schema, strict=True)]
        self._written = schema
        if any(self._is_plain):
            self._written = pa.schema(fields)
        self._writer = pq.ParquetWriter(file, self._written, store_schema=not any(self._is_plain))

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def write_table(self, table: "pa.Table", row_group_size: int | None = None) -> None:
        """Write a table of the schema."""
        import pyarrow as pa

        if any(self._is_plain):
            columns = [
                pa.chunked_array(
                    [rebuild(chunk, field.type) for chunk in column.chunks], field.type
                )
                for column, field in zip(table.columns, self._written, strict=True)
            ]
            table = pa.Table.from_arrays(columns, schema=self._written)
        self._writer.write_table(table, row_group_size=row_group_size)

    def close(self) -> None:
        """Write the footer. May be called twice."""
        if any(self._is_plain) and self._writer.is_open:
            record = base64.b64encode(self._schema.serialize())
            self._writer.add_key_value_metadata({**(self._schema.metadata or {}), RECORD: record})
        self._writer.close()


def written_as(kind: "pa.DataType") -> "pa.DataType":
    """Return the type to write a column as: its own if Arrow's writer supports it."""
    return without_views(kind) if _has_views_below(kind) else kind


def _has_views_below(kind: "pa.DataType", is_below: bool = False) -> bool:
    """Whether a string or binary view is below a struct or a map."""
    from pyarrow import types

    while hasattr(kind, "storage_type"):
        kind = kind.storage_type
    if types.is_string_view(kind) or types.is_binary_view(kind):
        return is_below
    is_below = is_below or types.is_struct(kind) or types.is_map(kind)
    return any(_has_views_below(kind.field(i).type, is_below) for i in range(kind.num_fields))
