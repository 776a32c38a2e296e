"""Tables of a run's rows: signs of a bad run, the slowest, the failed ones with reasons. Pure."""

from rollout.errors.secret_texts import without_secrets
from rollout.report.page import Table, TableColumn, TableRow
from rollout.report.run.rows import NUM_REASONS, RowStatistics
from rollout.report.run.times import seconds_text
from rollout.system.terminal import counted, share_text

MAX_REASON_CHARS = 300
MEANINGS = {
    "truncated": "cut off by max_tokens or the context (finish_reason length)",
    "empty": "without any text",
    "duplicate": "equal to an earlier sample of their prompt; at temperature 0, all but the first",
    "repetitive": "end in one phrase over and over",
}


def signs_table(statistics: RowStatistics) -> Table:
    """Return the shares of samples that show a sign of a bad run, and of failed rows."""
    whole = statistics.num_samples
    distinct = statistics.num_distinct
    counts = {
        "truncated": statistics.num_truncated,
        "empty": statistics.num_empty,
        "duplicate": None if distinct is None else whole - distinct,
        "repetitive": statistics.num_repetitive,
    }
    columns = [
        TableColumn("sign"), TableColumn("share", True), TableColumn("samples", True),
        TableColumn("meaning"),
    ]  # fmt: skip
    rows = []
    for name, count in counts.items():
        share = count / whole if count is not None and whole else None
        cells = [name, "not known" if share is None else share_text(share),
                 "" if count is None else f"{count:,}", MEANINGS[name]]  # fmt: skip
        rows.append(TableRow(cells, [name, share, count, None]))
    return Table(columns, rows, note=f"Of {counted(whole, 'sample')}.")


def slowest_table(statistics: RowStatistics) -> Table | None:
    """Return the rows that took longest; None if no latency is known."""
    if not statistics.slowest:
        return None
    columns = [
        TableColumn("row", True), TableColumn("latency", True),
        TableColumn("samples", True), TableColumn("tokens", True, help="of all samples"),
        TableColumn("longest response", True, help="tokens"),
    ]  # fmt: skip
    rows = []
    for slow in statistics.slowest:
        keys = [slow.row, slow.latency_s, slow.num_samples, slow.num_tokens, slow.longest]
        cells = [f"{slow.row:,}", seconds_text(slow.latency_s), *(f"{key:,}" for key in keys[2:])]
        rows.append(TableRow(cells, keys, prompt=slow.row))
    note = (
        "Latency: from a row's last submission to its last sample, its wait in the queue included. "
        "If an engine died with the row, the time before it was submitted again is not in it."
    )
    return Table(columns, rows, note=note)


def failed_table(statistics: RowStatistics) -> Table | None:
    """Return failed rows by reason, the most frequent first; None if none failed."""
    failures = statistics.failures_by_count
    if not failures:
        return None
    columns = [
        TableColumn("rows", True), TableColumn("reason"), TableColumn("first rows"),
    ]  # fmt: skip
    rows = []
    for failure in failures[:NUM_REASONS]:
        reason = without_secrets(failure.reason)
        is_long = len(reason) > MAX_REASON_CHARS
        shown = f"{reason[:MAX_REASON_CHARS]}…" if is_long else reason
        first = ", ".join(f"{row:,}" for row in failure.first_rows)
        more = ", …" if failure.num_rows > len(failure.first_rows) else ""
        cells = [f"{failure.num_rows:,}", shown, first + more]
        keys = [failure.num_rows, reason, failure.first_rows[0]]
        rows.append(TableRow(cells, keys, "failed", detail=reason if is_long else "",
                             prompt=failure.first_rows[0]))  # fmt: skip
    note = "Errors that differ in their numbers only are one reason; the first one is shown."
    if (num_more := len(failures) - NUM_REASONS) > 0:
        note += f" {num_more:,} rarer reasons are left out."
    return Table(columns, rows, note=note)
