"""Prompts, templates and tools for tests of the planner, and its tokenizer over them."""

from prompt_files import write

from rollout.config.sections.data import Data
from rollout.config.sections.model import Model
from rollout.inputs.prompts import open_prompts
from rollout.plan.prompts.tokenizer import open_tokenizer
from rollout.rows.prompt import Prompt

USER = {"role": "user", "content": "Grüße 🙂, <s> 日本語 \t12 345\n\n"}
QWEN_LIKE = (
    "{%- if tools %}\n{{ tools | tojson }}\n{%- endif %}\n"
    "{%- for m in messages %}\n"
    "    {%- if m.role == 'assistant' and '</think>' in m.content %}\n"
    "        {%- set text = m.content.split('</think>')[-1].lstrip('\\n') %}\n"
    "    {%- else %}{% set text = m.content %}{% endif %}\n"
    "    {{- '<|' + m.role + '|>' }}\n"
    "    {% generation %}{{ text | trim }}{% endgeneration %}{{ '<|end|>\\n' }}\n"
    "    {%- if loop.index > 50 %}{% break %}{% endif %}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{- '<|assistant|>\\n' }}\n"
    "    {%- if enable_thinking is defined and enable_thinking is false %}\n"
    "        {{- '<think>\\n\\n</think>\\n\\n' }}\n"
    "    {%- endif %}\n{%- endif %}{{ {'a': '<é>'} | tojson(indent=2) }}{{ eos_token }}"
)
TOOLS = [{"type": "function", "function": {"name": "add", "description": "é <b> & 'c'"}}]


def asked(content, tools=None):
    """Return the row of a content, for planner and engine; a list of numbers is token ids."""
    if isinstance(content, Prompt):
        return content
    if isinstance(content, list) and isinstance(content[0], int):
        return Prompt(0, 0, None, token_ids=content)
    return Prompt(0, 0, content, tools=tools)


def opened(directory, **model):
    return open_tokenizer(directory, Model(model_path=str(directory), **model))


def prompts_of(tmp_path, rows, **data):
    path = write(tmp_path / "in.parquet", rows)
    return open_prompts(Data(input=str(path), **data))
