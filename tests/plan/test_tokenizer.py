"""The planner's tokenizer returns the tokens that the engine sends, or the reason why it can't."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from engine_encoding import theirs
from planned_prompts import QWEN_LIKE, TOOLS, USER, asked, opened
from processes import DATA
from tokenizers import Tokenizer, decoders, models, normalizers, processors

from rollout.config.sections.model import Model
from rollout.errors import RequestRefused, UserError
from rollout.plan.prompts.tokenizer import open_tokenizer
from rollout.plan.prompts.tokenizer_files import NoTokenizer

CONTENTS = [
    "plain",
    "  <s> twice? <|end|>",
    "Ünïcödé e\u0301 🙂\u200d🙂 日本語 \x00\x1b[31m \r\n" * 3,
    [USER],
    [{"role": "system", "content": "Be brief."}, USER],
    [USER, {"role": "assistant", "content": "Well, "}],
    [USER, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nWell,\n"}],
    [USER, {"role": "assistant", "content": "Hi."}, USER],
]


def ours(directory, contents, chat_template=None, **variables):
    model = Model(
        model_path=str(directory), chat_template=chat_template, chat_template_kwargs=variables
    )
    tokenizer = open_tokenizer(directory, model)
    encoded = []
    for content in contents:
        try:
            encoded.append(tokenizer.encode(asked(content)))
        except RequestRefused:
            encoded.append(None)
    counts = [getattr(c, "num_tokens", None) for c in tokenizer.count_many(map(asked, contents))]
    assert counts == [ids and len(ids) for ids in encoded]
    return encoded


def configure(directory, **changes):
    file = directory / "tokenizer_config.json"
    config = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def test_tokens_are_those_the_engine_sends(tiny_model):
    assert ours(tiny_model, CONTENTS) == theirs(tiny_model, CONTENTS)


def test_tokens_of_the_embedded_model_are_those_the_engine_sends():
    from rollout.inputs.models import resolve_model

    model = Model(model_path="embedded:smollm2-135m-instruct")
    directory = Path(resolve_model(model).path)
    assert ours(directory, CONTENTS) == theirs(directory, CONTENTS)


@pytest.mark.parametrize("template", [QWEN_LIKE, "{{ messages[0].content }}{{ bos_token }}"])
@pytest.mark.parametrize("variables", [{}, {"enable_thinking": False, "eos_token": "<|tool|>"}])
def test_a_template_and_its_variables_mean_what_they_mean_to_the_engine(
    model_dir, template, variables
):
    found = ours(model_dir, CONTENTS, template, **variables)
    assert found == theirs(model_dir, CONTENTS, template, **variables)


def test_lists_of_text_parts_are_continued_as_the_engine_does_it(model_dir):
    parts = [{"type": "text", "text": "One. "}, {"type": "text", "text": "Two, "}]
    template = (
        "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}.{% endfor %}"
    )
    chats = [[{"role": role, "content": parts}] for role in ("user", "assistant")]
    found = ours(model_dir, chats, template)
    assert found == theirs(model_dir, chats, template) and None not in found


def test_chat_template_kwargs_do_not_reach_what_the_engine_keeps_for_itself(model_dir):
    for variables in ({"padding": True, "tools": [{"a": 1}]}, {"add_generation_prompt": False}):
        found = ours(model_dir, CONTENTS, QWEN_LIKE, **variables)
        assert found == theirs(model_dir, CONTENTS, QWEN_LIKE, **variables)


@pytest.mark.parametrize("adds_bos", [True, False])
@pytest.mark.parametrize("has_processor", [True, False])
def test_bos_is_added_where_the_engine_adds_it(model_dir, adds_bos, has_processor):
    backend = json.loads((model_dir / "tokenizer.json").read_text())
    backend["post_processor"] = backend["post_processor"] if has_processor else None
    backend["truncation"] = {"max_length": 3, "strategy": "LongestFirst", "stride": 0}
    backend["truncation"]["direction"] = "Right"
    (model_dir / "tokenizer.json").write_text(json.dumps(backend))
    configure(model_dir, add_bos_token=adds_bos)
    assert ours(model_dir, CONTENTS) == theirs(model_dir, CONTENTS)


def test_special_tokens_may_be_in_any_of_the_files(model_dir):
    named = {"__type": "AddedToken", "content": "<new>", "lstrip": True, "special": True}
    template = "{{ messages[-1].content }}{{ sep_token }}{{ eot_token }}{{ image }}<one><two>"
    configure(
        model_dir,
        chat_template=template,
        sep_token=named,
        eot_token="<|end|>",
        extra_special_tokens={"image": "<one>"},
        added_tokens_decoder={"900": {"content": "<two>", "special": False, "rstrip": True}},
    )
    (model_dir / "chat_template.jinja").unlink()
    contents = [*CONTENTS, "a <new> b <one> <two>  c"]
    assert ours(model_dir, contents) == theirs(model_dir, contents)


def test_a_special_tokens_map_counts_where_tokens_are_not_listed(model_dir):
    written = {"bos_token": {"content": "<b>", "special": True}, "eos_token": "<|tool|>"}
    (model_dir / "special_tokens_map.json").write_text(json.dumps(written))
    contents = [*CONTENTS, "<b>a"]
    found = ours(model_dir, contents, "{{ bos_token + messages[0].content + eos_token }}")
    assert found == theirs(model_dir, contents, "{{ bos_token + messages[0].content + eos_token }}")


TEMPLATE = "{{ messages[0].content }}!"
NAMED = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": TEMPLATE}]


@pytest.mark.parametrize(
    ("file", "text", "config"),
    [
        ("chat_template.jinja", TEMPLATE, "other"),
        (None, None, TEMPLATE),
        (None, None, NAMED),
        (None, None, NAMED[:1]),
        ("chat_template.json", json.dumps({"chat_template": TEMPLATE}), None),
        ("additional_chat_templates/rag.jinja", "no", TEMPLATE),
    ],
)
def test_the_template_is_the_one_the_engine_takes(model_dir, file, text, config):
    (model_dir / "chat_template.jinja").unlink()
    configure(model_dir, chat_template=config)
    if file:
        (model_dir / file).parent.mkdir(exist_ok=True)
        (model_dir / file).write_text(text)
    assert ours(model_dir, CONTENTS) == theirs(model_dir, CONTENTS)


def test_a_template_may_be_given_as_a_file(model_dir):
    (model_dir / "mine.jinja").write_text(TEMPLATE)
    tokenizer = opened(model_dir, chat_template=str(model_dir / "mine.jinja"))
    assert tokenizer.text_of(asked([{"role": "user", "content": "Hi"}])) == "Hi!"
    with pytest.raises(UserError, match=r"none\.jinja can't be read: no such file"):
        opened(model_dir, chat_template="none.jinja")


def test_a_sentencepiece_like_tokenizer_is_the_engines_too(tmp_path):
    alphabet = sorted({c for text in ("▁abcdehilnoprstuv?!,.",) for c in text})
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), *alphabet]
    model = models.BPE({p: i for i, p in enumerate(pieces)}, [], byte_fallback=True, fuse_unk=True)
    backend = Tokenizer(model)
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.ByteFallback()
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    both = {"single": "<s> $A </s>", "special_tokens": [("<s>", 1), ("</s>", 2)]}
    backend.post_processor = processors.TemplateProcessing(**both)
    backend.save(str(tmp_path / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert ours(tmp_path, CONTENTS, QWEN_LIKE) == theirs(tmp_path, CONTENTS, QWEN_LIKE)
    pieces = opened(tmp_path).pieces(asked("a b"))
    assert [(p.text, p.is_special) for p in pieces] == [
        ("<s>", True),
        ("a b", False),
        ("</s>", True),
    ]


def test_a_tokenizer_that_the_engine_builds_differently_has_a_warning(model_dir):
    configure(model_dir, tokenizer_class="GPT2Tokenizer")
    assert opened(model_dir).warning is None
    configure(model_dir, tokenizer_class="LlamaTokenizerFast")
    assert "tokenizer_class=LlamaTokenizer splits text differently" in opened(model_dir).warning


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('no systems\nhere') }}",
        "{% for m in messages %}",
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ strftime_now.__globals__['json'] }}",
        "{% for i in range(10000000) %}{% endfor %}",
        "{{ nothing.at.all }}",
    ],
)
def test_a_template_that_fails_is_an_error_of_its_row(model_dir, template):
    tokenizer = opened(model_dir, chat_template=template)
    (refusal,) = tokenizer.count_many([asked([USER])])
    assert re.fullmatch("the chat template refused it: .+", refusal)


def test_a_model_without_a_readable_tokenizer_is_refused_with_the_reason(model_dir):
    (model_dir / "consolidated.safetensors").touch()
    (model_dir / "tekken.json").touch()
    with pytest.raises(NoTokenizer, match="Mistral's tokenizer"):
        opened(model_dir)
    (model_dir / "tekken.json").unlink()
    configure(model_dir, auto_map={"AutoTokenizer": ["a.B", None]})
    with pytest.raises(NoTokenizer, match="its own tokenizer code in Python"):
        opened(model_dir, trust_remote_code=True)
    (model_dir / "tokenizer.json").write_text("{}")
    with pytest.raises(NoTokenizer, match="can't be read"):
        opened(model_dir)
    (model_dir / "tokenizer.json").unlink()
    with pytest.raises(NoTokenizer, match=r"has no tokenizer\.json"):
        opened(model_dir)


def test_no_engine_is_imported_to_count_tokens(model_dir):
    code = (
        "import sys, pathlib; from rollout.config.sections.model import Model\n"
        "from rollout.rows.prompt import Prompt; import rollout.plan.prompts.lengths\n"
        "from rollout.plan.prompts.tokenizer import open_tokenizer\n"
        "t = open_tokenizer(pathlib.Path(sys.argv[1]), Model())\n"
        "t.count_many([Prompt(0, 0, 'a'), Prompt(0, 0, [{'role': 'user', 'content': 'a'}])])\n"
        "print({'torch', 'transformers', 'vllm', 'pandas', 'wandb'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, model_dir], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


WITH_TOOLS = [asked(content, TOOLS) for content in CONTENTS if isinstance(content, list)]


def test_tools_and_token_ids_are_counted_as_the_engine_sends_them(model_dir):
    rows = [*WITH_TOOLS, *CONTENTS, [5, 0, 0, 7], [3]]
    found = ours(model_dir, rows, QWEN_LIKE)
    assert found == theirs(model_dir, rows, QWEN_LIKE)
    assert found[0] != found[len(WITH_TOOLS)] and found[-2:] == [[5, 0, 0, 7], [3]]


def test_a_template_that_takes_no_tools_drops_none_in_silence(model_dir):
    assert set(map(str, ours(model_dir, WITH_TOOLS))) == {"None"}
    assert theirs(model_dir, WITH_TOOLS) == ours(model_dir, WITH_TOOLS)


ONE_CALL = (DATA / "chat_templates/one_call.jinja").read_text()


def test_calls_in_json_text_empty_calls_and_parts_read_as_llm_chat_reads_them(model_dir):
    """Arguments were silently encoded twice, parts silently became Python's repr, and an empty
    list of calls was refused."""
    function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    calls = {"role": "assistant", "tool_calls": [{"type": "function", "function": function}]}
    rows = [
        [USER, calls, {"role": "tool", "content": "3"}],
        [USER, {"role": "assistant", "content": "a", "tool_calls": []}, USER],
        [{"role": "user", "content": [{"type": "text", "text": t} for t in ("Look.", "Tell me.")]}],
    ]
    tokenizer = opened(model_dir, chat_template=ONE_CALL)
    called, empty, parts = (tokenizer.text_of(asked(row)) for row in rows)
    assert '{"name": "weather", "parameters": {"city": "Oslo"}}<|eot|>' in called
    assert "<|start|>assistant<|end|>\n\na<|eot|>" in empty
    assert "\n\nLook.\nTell me.<|eot|>" in parts
