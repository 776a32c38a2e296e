"""A page of hostile texts: each tries to run, to leave the page, or to hide."""

from hostile_texts import TEXTS

from rollout.report.charts import Chart, HeatMap, Kind, Series, Span
from rollout.report.page import (
    Browser,
    Code,
    Facts,
    Figure,
    Note,
    Page,
    PromptView,
    SampleView,
    Section,
    Table,
    TableColumn,
    TableRow,
)

RUN = "window.ran = (window.ran || 0) + 1; fetch('https://example.com/')"
ATTACKS = [
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"</ScRiPt ><script>{RUN}</script>",
    f"<!--<script>{RUN}</script>",
    f"]]></script><![CDATA[<script>{RUN}</script>",
    f"</style><script>{RUN}</script>",
    f"</title></textarea></noscript><script>{RUN}</script>",
    '<img src="https://example.com/x.png" onerror="window.ran = 1">',
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '"><svg onload="window.ran = 1">',
    "' onmouseover='window.ran = 1' autofocus onfocus='window.ran = 1",
    '" onclick="window.ran = 1" x="',
    "`${window.ran = 1}`",
    "{{ config }} {% raw %} {{ ''.__class__.__mro__ }}",
    '<a href="javascript:window.ran = 1">answer</a>',
    "javascript:window.ran=1",
    "[answer](javascript:alert(1))",
    '<iframe src="https://example.com/"></iframe>',
    '<meta http-equiv="refresh" content="0;url=https://example.com/">',
    '<link rel="stylesheet" href="https://example.com/x.css">',
    '<base href="https://example.com/"><form action="https://example.com/"><button>',
    "<style>@import 'https://example.com/x.css'; body { display: none }</style>",
    "x; background: url(https://example.com/x.png)",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;script&#62;",
    '"}]}; window.ran = 1; //',
    "\u2028window.ran = 1\u2029",
    "right\u202eto\u2066left\u2069 \u200b\u200f\ufeff",
    "a\x00b\x07\x1b[31mred\x1b[0m\x7f\x9b",
    "half a pair \ud800 and \udfff",
    "e" + "\u0301" * 300,
    "\U000e0041\U000e0042 tags",
    "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f a flag",
    "שלום (abc) العربية ‏x",
    "__proto__",
    "constructor",
    "$\\frac{",
    "_hidden",
    "\r\n\r\n",
]
LONG_LINE = "long " * 200_000 + "<script>window.ran = 1</script>"


def hostile_page() -> Page:
    """Return a page with an attack in every field, and every hostile text as a response."""
    everything = " | ".join(ATTACKS)
    sections = [Section(text, [Note(text)], note=text) for text in ATTACKS]
    return Page(
        everything,
        [*ATTACKS, LONG_LINE],
        everything,
        "bad",
        [Figure(text, text, text) for text in ATTACKS],
        [
            *sections,
            Section("charts", [hostile_chart(), hostile_heat()]),
            Section("tables", [hostile_table(), Facts([(t, t) for t in [*ATTACKS, LONG_LINE]])]),
            Section("codes", [Code(text, text, i % 2 == 0) for i, text in enumerate(ATTACKS)]),
            Section("samples", [hostile_browser(), hostile_browser(("one",))]),
        ],
    )


def hostile_chart() -> Chart:
    everything = " | ".join(ATTACKS)
    count = len(ATTACKS)
    series = [
        Series(text, [1.0] * count, list(Kind)[i % 4], labels=ATTACKS)
        for i, text in enumerate(ATTACKS[:12])
    ]
    spans = [Span(text, i, i + 1) for i, text in enumerate(ATTACKS)]
    return Chart(
        everything, everything, everything, everything, [float(i) for i in range(count)],
        series, spans, ATTACKS, note=everything, group=ATTACKS[0],
    )  # fmt: skip


def hostile_heat() -> HeatMap:
    few = ATTACKS[:8]
    values = [[float(i * j) for i in range(8)] for j in range(8)]
    return HeatMap(few[0], few[1], few[2], few[3], few, few, values, [few] * 8, note=few[4])


def hostile_table() -> Table:
    columns = [TableColumn(text, help=text) for text in ATTACKS[:4]]
    rows = [
        TableRow([text] * 4, [text, None, 1.0, float("nan")], text, text, i)
        for i, text in enumerate([*ATTACKS, LONG_LINE])
    ]
    return Table(columns, rows, note=ATTACKS[0])


def hostile_browser(sources: tuple[str, ...] = tuple(ATTACKS[:3])) -> Browser:
    """Return prompts whose roles, texts, errors and answers are hostile: one for each text."""
    texts = [*ATTACKS, LONG_LINE, *(text[:20_000] for text in TEXTS)]
    prompts = []
    for number, text in enumerate(texts):
        short = ATTACKS[number % len(ATTACKS)]
        sample = SampleView(text, short, short, 3, 0.5, short, short, short)
        judged = SampleView(short, short, "length", 3, float("nan"), "wrong", short, short)
        samples = [[sample, judged], *([judged] for _ in sources[1:])]
        messages = [(short, short), ("user", text[:5000])]
        prompts.append(PromptView(number, messages, samples, [short] * len(sources), short, 9))
    return Browser(prompts, sources, 10**6, ATTACKS[0])
