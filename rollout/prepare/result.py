"""The result of a preparation, as text and figures.

Prompts may contain anything: they are printed on one line, without control characters.
"""

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollout.prepare.sources.source import Tally
from rollout.system.safe_text import one_line
from rollout.system.terminal import counted


@dataclass(frozen=True, slots=True)
class Prepared:
    """The result of a preparation."""

    paths: dict[Path, int]  # rows of each file; empty in a preview
    tally: Tally
    columns: list[str]
    shown: list[Any] = field(repr=False)  # the first prompts
    elapsed_s: float
    prompt_key: str = "prompt"
    read_by: list[str] = field(default_factory=list)  # settings with which a run reads more columns

    @property
    def figures(self) -> dict[str, Any]:
        """The counts, for a summary in JSON."""
        tally = self.tally
        return {
            "paths": [str(path) for path in self.paths],
            "num_read": tally.num_read,
            "num_filtered": tally.num_filtered,
            "num_duplicates": tally.num_duplicates,
            "num_bad": tally.num_bad,
            "num_written": tally.num_written,
        }

    def __str__(self) -> str:
        """Some prompts, the counts, the files, and the command that comes next."""
        tally, lines = self.tally, []
        for number, prompt in enumerate(self.shown, 1):
            lines.append(f"prompt {number}")
            messages = [("text", prompt)] if isinstance(prompt, str) else map(_role_text, prompt)
            lines += [f"  {one_line(role, 9):<9}  {one_line(text, 86)}" for role, text in messages]
        lines.append(f"{counted(tally.num_read, 'row')} read in {self.elapsed_s:.1f} s")
        if tally.num_filtered:
            lines.append(f"  removed by filter    {tally.num_filtered:,}")
        if tally.num_duplicates:
            lines.append(f"  duplicates           {tally.num_duplicates:,}")
        if tally.num_bad:
            lines.append(f"  bad, skipped         {tally.num_bad:,}")
            for reason, number in tally.faults.most_common(3):
                lines.append(f"    {number:>8,}   {one_line(reason, 86)}")
        if tally.left_out:
            parts = [f"{name} ({number:,})" for name, number in sorted(tally.left_out.items())]
            lines.append(f"  ignored in body      {one_line(', '.join(parts), 200)}")
        lines.append(f"  {'written' if self.paths else 'to write':<21}{tally.num_written:,}")
        lines.append(f"  columns              {', '.join(self.columns)}")
        if not self.paths:
            return "\n".join([*lines, "a preview: nothing was written"])
        for path, number in self.paths.items():
            lines.append(f"wrote {path}" + (f" ({number:,})" if len(self.paths) > 1 else ""))
        key = f" data.prompt_key={self.prompt_key}" if self.prompt_key != "prompt" else ""
        words = "".join(f" {setting}" for setting in self.read_by)
        first = shlex.quote(str(next(iter(self.paths))))
        return "\n".join([*lines, f"next: python -m rollout data.input={first}{key}{words}"])


def _role_text(message: dict[str, Any] | str) -> tuple[str, str]:
    message = json.loads(message) if isinstance(message, str) else message
    content = message.get("content")
    return str(message.get("role")), content if isinstance(content, str) else repr(content)
