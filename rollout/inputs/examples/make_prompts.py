"""Write prompts.parquet, the eight prompts of the demo: plain text, and chats as JSON text.

Run with `python make_prompts.py`; read the file with `data.prompt_format=json`.
"""

import json
from pathlib import Path


def chat(*turns: tuple[str, str]) -> str:
    """Return a chat as the JSON text of its messages."""
    messages = [{"role": role, "content": content} for role, content in turns]
    return json.dumps(messages, separators=(",", ":"))


BRIEF = ("system", "Answer in one short sentence.")
PROMPTS = [
    ("string", "The three primary colours are"),
    ("chat", chat(BRIEF, ("user", "What is the capital of France?"))),
    ("string", "Once upon a time, in a small village by the sea,"),
    ("chat", chat(BRIEF, ("user", "What colour is the sky on a clear day?"))),
    ("string", "Photosynthesis is the process by which plants"),
    (
        "chat",
        chat(
            ("user", "I would like to learn to cook."),
            ("assistant", "Great! What would you like to cook first?"),
            ("user", "Something simple with eggs."),
        ),
    ),
    ("string", "The days of the week are Monday, Tuesday,"),
    ("chat", chat(("user", "Name three animals that live in the sea."))),
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
