"""Files that cannot be read, noticed before any work or only where their rows are read."""

import pyarrow as pa
from bad_input import (
    NAME,
    a_row_group_of_fewer_rows_than_the_file,
    arrow_stream,
    both,
    cut,
    encrypted,
    feather,
    fewer_rows_than_the_footer_says,
    fifo,
    flipped_footer,
    flipped_page,
    gzipped,
    link,
    lost_page,
    made,
    no_row_groups,
    nothing,
    prompts,
    raw,
    table,
    zipped,
)
from bad_input_cases import broken, refused

FILES = {
    "a name with a slip": refused(
        made("prompts.parquet"),
        "does not exist. Did you mean 'prompts.parquet'?",
        words=("data.input=promts.parquet",),
    ),
    "a missing directory": refused(
        nothing, "Neither does the directory", words=("data.input=no/in.parquet",)
    ),
    "nothing typed after the equals sign": refused(
        nothing, "type data.input=FILE.parquet", words=("data.input=",)
    ),
    "two names": refused(
        made("a.parquet", "b.parquet"),
        "for several files type a glob or a directory",
        words=("data.input=a.parquet,b.parquet",),
    ),
    "a hub without a network": refused(
        nothing, "can't be reached", words=("data.input=hf://datasets/a/b.parquet",)
    ),
    "a user who is not there": refused(
        nothing, "there is no such home directory", words=("data.input=~nobody-at-all/in.parquet",)
    ),
    "a file of 0 bytes": refused(raw(b""), "in.parquet is not a parquet file: it is empty"),
    "a file cut in the middle": refused(cut(0.5), "cut off (no footer)", "copy it again"),
    "a file cut near its end": refused(cut(0.99), "cut off (no footer)"),
    "a footer with flipped bits": refused(flipped_footer, "in.parquet can't be read: it is dam"),
    "row groups that have fewer rows than the file": refused(
        a_row_group_of_fewer_rows_than_the_file, "it is damaged"
    ),
    "an encrypted file": refused(encrypted(["prompt"], False), "encrypted", "decrypted copy"),
    "CSV": refused(raw(b"id,prompt\n1,Hi\n"), "CSV; convert it: pandas.read_csv('in.parquet')"),
    "JSON lines": refused(raw(b'{"prompt": "Hi"}\n'), "pandas.read_json('in.parquet', lines=True)"),
    "JSON": refused(raw(b'[{"prompt": "Hi"}]'), "convert it: pandas.read_json"),
    "zip": refused(zipped, "a zip file; unpack it"),
    "gzip": refused(gzipped, "a gzip file; unpack it"),
    "feather": refused(feather, "convert it: pandas.read_feather"),
    "an Arrow stream, as datasets saves": refused(arrow_stream, "datasets.Dataset.from_file"),
    "a web page": refused(raw(b"<!DOCTYPE html>"), "download it again"),
    "a Git LFS pointer": refused(raw(b"version https://git-lfs.github.com/spec/v1\n"), "lfs pull"),
    "plain text": refused(raw(b"Water boils at\n"), "starts with b'Water boils ", "convert it"),
    "no rows": refused(prompts([], pa.string()), "has no rows"),
    "no row groups": refused(no_row_groups, "has no rows"),
    "no columns": refused(table({}), "has no columns"),
    "a link that leads nowhere": refused(
        link(NAME, "gone.parquet"), "is a link to gone.parquet, which does not exist"
    ),
    "links in a circle": refused(
        both(link(NAME, "b.parquet"), link("b.parquet", NAME)), "a loop of symbolic links"
    ),
    "a pipe": refused(fifo(NAME), "not a regular file", "type data.input=FILE.parquet"),
    "a device": refused(nothing, "not a regular file", words=("data.input=/dev/null",)),
    "a directory without parquet": refused(
        both(made("data/"), raw(b"", "data/a.csv")), "holds no *.parquet file", "type a glob",
        words=("data.input=data",),
    ),
    "a directory with parquet in its subdirectories": refused(
        made("data/2024/a.parquet"), "data/**/*.parquet'", words=("data.input=data",)
    ),
    "a directory with one file that is no parquet": refused(
        both(made("data/a.parquet"), raw(b"a,b\n", "data/b.parquet")),
        "b.parquet is not a parquet file",
        words=("data.input=data",),
    ),
    "a directory with a link that leads nowhere": refused(
        both(made("data/a.parquet"), link("data/b.parquet", "gone")),
        "data/b.parquet is a link to gone, which does not exist",
        words=("data.input=data",),
    ),
    "a glob with a link that leads nowhere": refused(
        both(made("data/a.parquet"), link("data/b.parquet", "gone")),
        "data/b.parquet is a link to gone, which does not exist",
        words=("data.input=data/*.parquet",),
    ),
    "a glob that matches nothing": refused(
        made("a.parquet"), "Did you mean 'a.parquet'?", words=("data.input=b*.parquet",)
    ),
    "files whose types disagree": refused(
        both(table({"prompt": ["a"], "x": [1]}, "data/a.parquet"),
             table({"prompt": ["a"], "x": ["1"]}, "data/b.parquet")),
        "column 'x' is int64 in one, string in the other; write them alike",
        words=("data.input=data",),
    ),
    "files whose columns disagree": refused(
        both(made("data/a.parquet"), table({"prompt": ["a"], "x": [1]}, "data/b.parquet")),
        "only b.parquet has column 'x'",
        words=("data.input=data",),
    ),
}  # fmt: skip


# Noticed only where rows are read.
BROKEN = {
    "an overwritten page": broken(lost_page, f"{NAME} can't be read: it is damaged"),
    "a flipped bit in a checksummed page": broken(
        flipped_page(compression="none", use_dictionary=False, write_page_checksum=True),
        f"{NAME} can't be read: it is damaged",
    ),
    "fewer rows than the footer says": broken(
        fewer_rows_than_the_footer_says, f"{NAME} can't be read: it is damaged"
    ),
}
