"""Random Arrow types and random values of them, for any column that parquet can hold."""

import datetime
import decimal
import random
import uuid

import pyarrow as pa

MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
TEXTS = ["", "a", "B", "42", "é\n🙂", "x\x00y", "${x}", "\\frac{1}{2}", "null", "word " * 30]
LEAVES = [
    pa.null(), pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(),
    pa.uint32(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(),
    pa.string(), pa.large_string(), pa.string_view(),
    pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3),
    pa.decimal32(5, 2), pa.decimal64(12, 3), pa.decimal128(30, 6), pa.decimal256(60, 10),
    pa.date32(), pa.time32("ms"), pa.time64("us"), pa.time64("ns"),
    pa.timestamp("ms"), pa.timestamp("us", "UTC"), pa.timestamp("ns", "Europe/Berlin"),
    pa.duration("s"), pa.duration("ns"),
    pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.string()),
    pa.uuid(), pa.json_(), pa.bool8(), pa.opaque(pa.string(), "kind", "vendor"),
]  # fmt: skip
KEYS = [
    pa.string(), pa.string(), pa.string_view(), pa.binary(), pa.int8(), pa.date32(),
    pa.struct([("k", pa.int8())]),
]  # fmt: skip
EXTENSIONS_OF_LISTS = [pa.fixed_shape_tensor(pa.int32(), [2])]


def random_type(rng: random.Random, depth: int = 2) -> pa.DataType:
    """Return a leaf type, or one nested up to `depth` times."""
    if not depth or rng.random() < 0.45:
        return rng.choice(LEAVES + EXTENSIONS_OF_LISTS)
    inner = random_type(rng, depth - 1)
    shape = rng.randrange(7)
    if shape == 0:
        names = rng.sample(["a", "b", "a.b", "answer", "é", ""], rng.randint(1, 3))
        return pa.struct([(name, random_type(rng, depth - 1)) for name in names])
    if shape == 1:
        return pa.map_(rng.choice(KEYS), inner)
    if shape == 2:
        return pa.list_(inner, rng.randint(1, 3))
    return rng.choice([pa.list_, pa.large_list, pa.list_view, pa.large_list_view])(inner)


def random_column(rng: random.Random, kind: pa.DataType, size: int, null=0.2) -> pa.Array:
    """Return `size` values of this type, some of them null."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        storage = random_column(rng, kind.storage_type, size, null)
        return pa.ExtensionArray.from_storage(kind, storage)
    absent = pa.array([rng.random() < null for _ in range(size)], pa.bool_())
    if types.is_dictionary(kind):
        indices = [None if gone.as_py() else rng.randrange(4) for gone in absent]
        values = pa.array(["", "a", "42", "é"], kind.value_type)
        return pa.DictionaryArray.from_arrays(pa.array(indices, kind.index_type), values)
    if types.is_struct(kind):
        members = [random_column(rng, field.type, size, null) for field in kind]
        return pa.StructArray.from_arrays(members, fields=list(kind), mask=absent)
    if types.is_fixed_size_list(kind):
        values = random_column(rng, kind.value_type, size * kind.list_size, null)
        return pa.FixedSizeListArray.from_arrays(values, type=kind, mask=absent)
    if kind.num_fields:
        return _lists(rng, kind, size, null, absent)
    return pa.array([None if gone.as_py() else _value(rng, kind) for gone in absent], kind)


def _lists(rng, kind, size, null, absent) -> pa.Array:
    sizes = [0 if gone.as_py() else rng.choice([0, 1, 1, 2, 4]) for gone in absent]
    starts = [sum(sizes[:i]) for i in range(size + 1)]
    if pa.types.is_map(kind):
        keys = random_column(rng, kind.key_type, starts[-1], null=0)
        items = random_column(rng, kind.item_type, starts[-1], null)
        offsets = [None if gone.as_py() else s for gone, s in zip(absent, starts, strict=False)]
        return pa.MapArray.from_arrays(
            pa.array([*offsets, starts[-1]], pa.int32()), keys, items, type=kind
        )
    values = random_column(rng, kind.value_type, starts[-1], null)
    is_large = pa.types.is_large_list(kind) or pa.types.is_large_list_view(kind)
    at = pa.int64() if is_large else pa.int32()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.LargeListArray if is_large else pa.ListArray
        return make.from_arrays(pa.array(starts, at), values, type=kind, mask=absent)
    make = pa.LargeListViewArray if is_large else pa.ListViewArray
    views = pa.array(starts[:-1], at), pa.array(sizes, at)
    return make.from_arrays(*views, values, type=kind, mask=absent)


def _value(rng: random.Random, kind: pa.DataType):
    types = pa.types
    if types.is_null(kind):
        return None
    if types.is_boolean(kind):
        return rng.random() < 0.5
    if types.is_unsigned_integer(kind):
        return rng.choice([0, 1, 42, 2**kind.bit_width - 1])
    if types.is_integer(kind):
        return rng.choice([0, 1, 42, -(2 ** (kind.bit_width - 1))])
    if types.is_floating(kind):
        return rng.choice([0.0, -0.0, 1.5, 42.0, float("nan"), float("inf")])
    if types.is_decimal(kind):
        return decimal.Decimal(rng.choice([0, 42, -7])).scaleb(-kind.scale)
    if types.is_fixed_size_binary(kind):
        is_uuid = kind.byte_width == 16
        return uuid.UUID(int=rng.getrandbits(128)).bytes if is_uuid else bytes(kind.byte_width)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return rng.choice([b"", b"\xff\x00", b"a" * 40])
    if types.is_date(kind):
        return datetime.date(rng.choice([1, 1969, 2026, 9999]), 2, 3)
    if types.is_time(kind):
        return datetime.time(23, 59, 59)
    if types.is_timestamp(kind):
        return rng.choice([0, -1, 10**9])
    if types.is_duration(kind):
        return rng.choice([0, -5, 86_400])
    return rng.choice(TEXTS)
