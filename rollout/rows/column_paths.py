"""Column paths: `reward_model.ground_truth` names a member of a struct column.

A column whose own name has a dot comes first. Must not know what columns mean.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def field_at(schema: "pa.Schema", name: str) -> "pa.Field | None":
    """Return the column, or the struct member, of this name; None if there is none."""
    if name in schema.names:
        return schema.field(name)
    column, *members = name.split(".")
    field = schema.field(column) if column in schema.names else None
    for member in members:
        if field is None or not hasattr(field.type, "get_field_index"):  # not a struct
            return None
        index = field.type.get_field_index(member)
        field = field.type.field(index) if index >= 0 else None
    return field


def column_of(schema: "pa.Schema", name: str) -> str:
    """Return the name of the column that holds the field which `field_at` finds."""
    return name if name in schema.names else name.partition(".")[0]


def column_at(batch: "pa.RecordBatch", name: str) -> "pa.Array":
    """Return the values of the field that `field_at` finds; a member of a null is null."""
    if name in batch.schema.names:
        return batch.column(name)
    column, *members = name.split(".")
    values = batch.column(column)
    for member in members:
        values = values.flatten()[values.type.get_field_index(member)]
    return values
