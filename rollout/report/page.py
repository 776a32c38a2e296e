"""A page as data. Must not know what a run or a sweep is, or how a page is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

from rollout.report.charts import Chart, HeatMap


@dataclass(frozen=True, slots=True)
class Figure:
    """One of the large figures at the top: `43.8%`, `pass@1`, `95% interval 40-47%, 200 rows`."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class TableColumn:
    label: str
    is_number: bool = False
    help: str = ""  # shown when pointed at


@dataclass(frozen=True, slots=True)
class TableRow:
    """Cells as shown, and what they are sorted by (None: the text itself; missing values last)."""

    cells: Sequence[str]
    sort_keys: Sequence[float | str | None] | None = None
    style: str = ""  # "best", "failed" or "waiting"
    detail: str = ""  # a text under the row, such as an error
    prompt: int | None = None  # `number` of a prompt in the sample browser, which a click opens


@dataclass(frozen=True, slots=True)
class Table:
    """A table; a click on a header sorts it."""

    columns: Sequence[TableColumn]
    rows: Sequence[TableRow]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values, in two columns."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Code:
    """Preformatted text with a copy button: a command, or the settings as YAML."""

    text: str
    label: str = ""
    is_folded: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph of plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class SampleView:
    """One response. `score` may be None though judged; `verdict` as in scored files, or empty."""

    text: str
    reasoning: str | None = None
    finish_reason: str | None = None
    num_tokens: int | None = None
    score: float | None = None
    verdict: str = ""  # right, wrong, no_answer, cut_off, error, unjudged, or empty: not scored
    extracted: str | None = None
    error: str | None = None  # why it was not judged
    is_cut: bool = False  # the text is not here as a whole


@dataclass(frozen=True, slots=True)
class PromptView:
    """A prompt with its samples: one list per source (one source for a run, a point each for a
    sweep); None if that source does not have the prompt."""

    number: int  # row in the input
    messages: Sequence[tuple[str, str]]  # role and text; a plain string has the role ""
    samples: Sequence[Sequence[SampleView] | None]
    errors: Sequence[str | None] = ()  # of each source: why the row failed
    reference: str | None = None
    num_prompt_tokens: int | None = None
    is_cut: bool = False  # its messages are not here as a whole
    others: Sequence[Sequence[tuple[str, str]] | None] = ()  # of a source that asked otherwise


@dataclass(frozen=True, slots=True)
class Browser:
    """Prompts with their samples, to search, filter, sort and page through."""

    prompts: Sequence[PromptView]
    sources: Sequence[str] = ("",)
    num_rows: int = 0  # of the whole file
    note: str = ""  # which rows are here, if not all
    errors_fail: bool = True  # whether samples with the verdict error count as not solved


Block = Chart | HeatMap | Table | Facts | Code | Note | Browser


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    blocks: Sequence[Block]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A page: what was run, verdict and figures on top, then sections."""

    title: str
    subtitle: Sequence[str] = ()  # lines: model, data, date, seed, command
    verdict: str = ""  # one sentence: `complete: ...`, `resumable: ...`
    verdict_style: str = "good"  # good: complete; neutral, warning or bad
    figures: Sequence[Figure] = ()
    sections: Sequence[Section] = ()

    @property
    def charts(self) -> list[Chart | HeatMap]:
        """Return the charts and heat maps, in order: those that --figures writes."""
        blocks = (block for section in self.sections for block in section.blocks)
        return [block for block in blocks if isinstance(block, Chart | HeatMap)]
