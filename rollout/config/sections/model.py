"""`model.`: the model that generates."""

import typing
from dataclasses import dataclass
from typing import Any

from rollout.config.schema import ABOUT, WHAT, setting
from rollout.rows.reasoning import TAGS


@dataclass(kw_only=True, slots=True)
class Model:
    """The model that generates."""

    kind: typing.ClassVar[str] = WHAT
    model_path: str = setting("???", "local directory, hub id, or embedded:NAME", shown="by preset")
    revision: str | None = setting(None, "branch, tag or commit on the hub; null: the default one")
    lora_path: str | None = setting(None, "LoRA adapter: local directory or hub id")
    trust_remote_code: bool = setting(False, "run Python code that comes with the checkpoint")
    chat_template: str | None = setting(None, "Jinja file or text to use instead of the model's")
    chat_template_kwargs: dict[str, Any] = setting(
        {}, "variables for the chat template, such as enable_thinking"
    )
    reasoning_tags: list[str] = setting(
        list(TAGS), "tags that open and close the reasoning before the answer", kind=ABOUT
    )
    shape: dict[str, Any] = setting(
        {}, "fields of config.json, to plan with when the model is not available", kind=ABOUT
    )
