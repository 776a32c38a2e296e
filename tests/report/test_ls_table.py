"""The widths of a listing's columns."""

import io

from rich.console import Console

from rollout.report.listing import table


def test_texts_wrap_at_spaces_and_columns_are_left_out_before_words_are_cut():
    """A setting was cut into `max_toke` and `ns=48`, a model into `embedded:` and `smollm2-1`."""
    cells = {"what": "some/where/very/far/away", "sampling": "n=8 t=0.7 max_tokens=48",
             "model": "smollm2-135m-instruct", "data": "a file of prompts",
             "state": "complete"}  # fmt: skip
    for width in (100, 60, 50, 40):
        widths = table._widths([table.Line(cells)], width)
        assert widths.get("sampling", 99) >= len("max_tokens=48")
        assert widths.get("model", 99) >= 12
        assert sum(widths.values()) + table.GAP * (len(widths) - 1) <= width
    assert list(widths) == ["what", "sampling", "state"]  # the data and the model are left out
    console = Console(width=60, file=io.StringIO())
    console.print(table.table_of([table.Line(cells)], 60))
    shown = console.file.getvalue()
    assert "smollm2-135m-in…" in shown and "data" not in shown
