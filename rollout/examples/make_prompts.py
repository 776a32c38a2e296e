"""Write prompts.parquet, the eight prompts of the demo: plain text, and chats as JSON text.

Run as `python make_prompts.py` beside it; read with `data.prompt_format=json`.
"""

import json
from pathlib import Path


def chat(*turns: tuple[str, str]) -> str:
    """A chat as the JSON text of its messages."""
    messages = [{"role": role, "content": content} for role, content in turns]
    return json.dumps(messages, separators=(",", ":"))


PROMPTS = [
    ("string", "The three primary colours are"),
    ("chat", chat(("user", "What is the capital of France?"))),
    ("string", "Once upon a time, in a small village by the sea,"),
    (
        "chat",
        chat(
            ("system", "You are a helpful assistant. Answer in one short sentence."),
            ("user", "What colour is the sky on a clear day?"),
        ),
    ),
    ("string", "Water boils at"),
    (
        "chat",
        chat(
            ("user", "Hello! My name is Anna."),
            ("assistant", "Hello Anna! How can I help you today?"),
            ("user", "What is my name?"),
        ),
    ),
    ("string", "The days of the week are Monday, Tuesday,"),
    (
        "chat",
        chat(("system", "You are a friendly teacher."), ("user", "What is two plus three?")),
    ),
]


def main() -> None:
    """Write the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds, prompts = zip(*PROMPTS, strict=True)
    ids = pa.array(range(len(PROMPTS)), pa.int64())
    table = pa.table({"id": ids, "kind": kinds, "prompt": prompts})
    pq.write_table(table, Path(__file__).with_name("prompts.parquet"))


if __name__ == "__main__":
    main()
