"""Replace Arrow types that some kernels lack (views, dictionaries, extensions) by plain types.

At any depth of a column. Values are rebuilt, since casts lack these kernels, too. Must not know
what columns mean.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def without_views(kind: "pa.DataType") -> "pa.DataType":
    """Return the type with string, binary and list views replaced by strings, bytes and lists."""
    import pyarrow as pa
    from pyarrow import types

    if hasattr(kind, "storage_type"):
        stored = without_views(kind.storage_type)
        return kind if stored == kind.storage_type else stored
    if types.is_string_view(kind):
        return pa.string()
    if types.is_binary_view(kind):
        return pa.binary()
    return _with_members(kind, without_views)


def decode(kind: "pa.DataType") -> "pa.DataType":
    """Return the type of an array of Python values: without views, dictionaries, extensions."""
    while hasattr(kind, "storage_type") or hasattr(kind, "index_type"):
        kind = kind.storage_type if hasattr(kind, "storage_type") else kind.value_type
    plain = without_views(kind)
    return _with_members(plain, decode)


def _with_members(kind: "pa.DataType", of: "Callable[[pa.DataType], pa.DataType]") -> "pa.DataType":
    import pyarrow as pa
    from pyarrow import types

    def member(field: "pa.Field") -> "pa.Field":
        return field.with_type(of(field.type))

    if types.is_struct(kind):
        return pa.struct([member(field) for field in kind])
    if types.is_map(kind):
        return pa.map_(member(kind.key_field), member(kind.item_field), kind.keys_sorted)
    if types.is_fixed_size_list(kind):
        return pa.list_(member(kind.value_field), kind.list_size)
    if types.is_list(kind) or types.is_list_view(kind):
        return pa.list_(member(kind.value_field))
    if types.is_large_list(kind) or types.is_large_list_view(kind):
        return pa.large_list(member(kind.value_field))
    return kind


def rebuild(array: "pa.Array", kind: "pa.DataType") -> "pa.Array":
    """Return the same values in one of the types above."""
    import pyarrow as pa
    from pyarrow import types

    if array.type == kind:
        return array
    if hasattr(array.type, "storage_type"):
        return rebuild(array.storage, kind)
    if types.is_struct(kind):
        members = [rebuild(array.field(i), kind.field(i).type) for i in range(kind.num_fields)]
        return pa.StructArray.from_arrays(members, fields=list(kind), mask=array.is_null())
    if types.is_fixed_size_list(kind):
        size = kind.list_size
        values = array.values.slice(array.offset * size, len(array) * size)
        values = rebuild(values, kind.value_type)
        return pa.FixedSizeListArray.from_arrays(values, type=kind, mask=array.is_null())
    if types.is_map(kind):
        return _rebuilt_map(array, kind)
    if types.is_list(kind) or types.is_large_list(kind):
        make = pa.ListArray if types.is_list(kind) else pa.LargeListArray
        values = rebuild(_flat(array), kind.value_type)
        return make.from_arrays(_offsets(array), values, type=kind, mask=array.is_null())
    return array.cast(kind)


def take_values(column: "pa.Array | pa.ChunkedArray", positions: "pa.Array") -> Any:
    """Return the values at these positions; null for a null position."""
    import pyarrow as pa

    try:
        return column.take(positions)
    except pa.ArrowNotImplementedError:  # no kernel for views; their positions are never null
        pieces = [column.slice(at, 1) for at in positions.to_pylist()]
        whole = [p.chunk(0) if isinstance(p, pa.ChunkedArray) else p for p in pieces]
        return pa.concat_arrays(whole)


def _rebuilt_map(array: "pa.Array", kind: "pa.DataType") -> "pa.Array":
    import pyarrow as pa
    import pyarrow.compute as pc

    start, stop = array.offsets[0].as_py(), array.offsets[-1].as_py()
    keys, items = (part.slice(start, stop - start) for part in (array.keys, array.items))
    offsets = pc.subtract(array.offsets, start)
    begins = pc.if_else(array.is_valid(), offsets[:-1], pa.scalar(None, pa.int32()))
    offsets = pa.concat_arrays([begins, offsets[-1:]])
    keys, items = rebuild(keys, kind.key_type), rebuild(items, kind.item_type)
    return pa.MapArray.from_arrays(offsets, keys, items, type=kind)


def _flat(array: "pa.Array") -> "pa.Array":
    """Return the members of all lists in one array."""
    import pyarrow as pa

    try:
        return array.flatten()
    except pa.ArrowNotImplementedError:  # no kernel for lists of extension types
        pieces = [row.values for row in array if row.is_valid]
        return pa.concat_arrays([array.values.slice(0, 0), *pieces])


def _offsets(array: "pa.Array") -> "pa.Array":
    """Return the offset of each list in the flattened values; a null list has none of them."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    is_large = types.is_large_list(array.type) or types.is_large_list_view(array.type)
    kind = pa.int64() if is_large else pa.int32()
    sizes = pc.fill_null(pc.list_value_length(array), 0).cast(kind)
    return pa.concat_arrays([pa.array([0], kind), pc.cumulative_sum(sizes)])
