"""The planner counts the tokens the engine sends, and says which of its figures are exact."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from processes import DATA
from prompt_files import write
from tiny_model import make_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, processors

from rollout.config.sections.data import Data, PromptFormat, Template
from rollout.config.sections.model import Model
from rollout.errors import RequestRefused, UserError
from rollout.inputs.prompts import open_prompts
from rollout.plan.prompts.first_rows import check_prompts, first_prompts
from rollout.plan.prompts.lengths import NumRows, read_lengths
from rollout.plan.prompts.tokenizer import open_tokenizer
from rollout.plan.prompts.tokenizer_files import NoTokenizer
from rollout.rows.prompt import Prompt

USER = {"role": "user", "content": "Grüße 🙂, <s> 日本語 \t12 345\n\n"}
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


def asked(content, tools=None):
    """A row as the planner and the engine are asked; a list of numbers is token ids."""
    if isinstance(content, Prompt):
        return content
    if isinstance(content, list) and isinstance(content[0], int):
        return Prompt(0, 0, None, token_ids=content)
    return Prompt(0, 0, content, tools=tools)


def theirs(directory, contents, chat_template=None, **variables):
    """What the engine would send, encoded by its own code with transformers' tokenizer."""
    from transformers import AutoTokenizer

    from rollout.engines.vllm.encoding import Encoder

    tokenizer = AutoTokenizer.from_pretrained(directory)
    encoder = Encoder(renderer_of(directory, tokenizer), tokenizer, str(directory), len(tokenizer))
    encoded = []
    for content in contents:
        try:
            encoded.append(encoder.encode(asked(content), chat_template, variables))
        except (RequestRefused, UserError):
            encoded.append(None)
    return encoded


def renderer_of(directory, tokenizer):
    """vLLM's renderer with no model behind it: what it reads of a text model's configuration."""
    from types import SimpleNamespace

    from vllm.renderers.hf import HfRenderer

    names = ("tokenizer_revision", "code_revision", "revision", "multimodal_config")
    renderer = HfRenderer.__new__(HfRenderer)
    renderer.tokenizer, renderer.use_unified_vision_chunk = tokenizer, False
    renderer.model_config = SimpleNamespace(
        **dict.fromkeys(names),
        tokenizer=str(directory),
        model=str(directory),
        trust_remote_code=False,
        enable_prompt_embeds=False,
        is_multimodal_model=False,
        hf_config=SimpleNamespace(model_type="qwen3"),
    )
    return renderer


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


@pytest.fixture
def model_dir(tmp_path):
    """A tokenizer without weights, whose tokenizer_config.json tests may change."""
    make_tokenizer(tmp_path)
    return tmp_path


def configure(directory, **changes):
    file = directory / "tokenizer_config.json"
    config = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def opened(directory, **model):
    return open_tokenizer(directory, Model(model_path=str(directory), **model))


def prompts_of(tmp_path, rows, **data):
    path = write(tmp_path / "in.parquet", rows)
    return open_prompts(Data(input=str(path), **data))


# Tokens.


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


def test_special_tokens_may_stand_in_any_of_the_files(model_dir):
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
    with pytest.raises(UserError, match=r"none\.jinja: no such file"):
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


def test_a_tokenizer_that_the_engine_builds_otherwise_is_in_doubt(model_dir):
    configure(model_dir, tokenizer_class="GPT2Tokenizer")
    assert opened(model_dir).doubt is None
    configure(model_dir, tokenizer_class="LlamaTokenizerFast")
    assert "tokenizer_class=LlamaTokenizer splits text otherwise" in opened(model_dir).doubt


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
    with pytest.raises(NoTokenizer, match="Mistral's own tokenizer"):
        opened(model_dir)
    (model_dir / "tekken.json").unlink()
    configure(model_dir, auto_map={"AutoTokenizer": ["a.B", None]})
    with pytest.raises(NoTokenizer, match="Python code of its own"):
        opened(model_dir, trust_remote_code=True)
    (model_dir / "tokenizer.json").write_text("{}")
    with pytest.raises(NoTokenizer, match="does not load"):
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


TOOLS = [{"type": "function", "function": {"name": "add", "description": "é <b> & 'c'"}}]
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
    """Found by a trial: arguments were encoded twice, an empty list of calls was refused, and
    parts came out as Python's repr; the first and the last without a word."""
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


# Lengths.


def test_rows_of_token_ids_and_of_tools_have_lengths(tmp_path, model_dir):
    ids = prompts_of(tmp_path, [[5] * n for n in range(1, 41)], prompt_format=PromptFormat.tokens)
    lengths = read_lengths(ids, opened(model_dir))
    assert (lengths.num_given, lengths.num_counted, lengths.longest) == (40, 40, 40)
    tokenizer = opened(model_dir, chat_template=QWEN_LIKE)
    with_tools = prompts_of(tmp_path, ["Hi"], tools=json.dumps(TOOLS))
    lengths = read_lengths(with_tools, tokenizer)
    assert lengths.longest == len(tokenizer.encode(asked([USER | {"content": "Hi"}], TOOLS)))


def test_a_small_input_is_counted_whole(tmp_path, tiny_model):
    rows = ["a" * n for n in range(1, 101)]
    lengths = read_lengths(prompts_of(tmp_path, rows), opened(tiny_model))
    assert not lengths.is_sample and lengths.num_counted == lengths.num_strings == 100
    assert (lengths.mean, lengths.p50, lengths.p95, lengths.p99) == (51.5, 51, 96, 100)
    assert lengths.longest == 101 and lengths.is_longest_exact
    assert lengths.num_longer_than(91).num_rows == 10 and lengths.num_longer_than(0).is_exact
    assert [(b.low, b.high, b.num_rows) for b in lengths.histogram] == [
        (2, 4, 2), (4, 8, 4), (8, 16, 8), (16, 32, 16), (32, 64, 32), (64, 128, 38),
    ]  # fmt: skip


def test_bad_rows_and_refused_chats_are_told_apart(tmp_path, tiny_model):
    unknown = {"role": "critic", "content": "No."}
    rows = [[USER], None, [unknown], [USER], []]
    lengths = read_lengths(prompts_of(tmp_path, pa.array(rows)), opened(tiny_model))
    assert (lengths.num_rows, lengths.num_bad, lengths.first_bad) == (
        5, 2, "row 1: the prompt is null",
    )  # fmt: skip
    assert (lengths.num_refused, lengths.num_chats, lengths.num_counted) == (1, 3, 2)
    assert lengths.first_refusal == "the chat template refused it: unknown role critic"


def sampled(tmp_path, tiny_model, rows, **how):
    return read_lengths(prompts_of(tmp_path, rows), opened(tiny_model), budget_s=0.005, **how)


def test_a_large_input_is_sampled_the_same_way_every_time(tmp_path, tiny_model):
    rows = ["short", "l" * 95] * 2000  # a period that every second row would fall in with
    once, again = (sampled(tmp_path, tiny_model, rows) for _ in range(2))
    assert once == again and once.is_sample
    assert 100 < once.num_counted < 250 and once.num_bytes == 200_000
    assert once.mean == pytest.approx(51, rel=0.1)
    assert once.num_longer_than(50).num_rows == pytest.approx(2000, rel=0.1)
    assert not once.num_longer_than(50).is_exact


def test_rows_that_may_exceed_the_context_are_counted_exactly(tmp_path, tiny_model):
    rows = ["x" * 50] * 5000
    rows[1::700] = ["y" * 200] * 8
    rows[2] = "z" * 150
    lengths = sampled(tmp_path, tiny_model, rows, context=120)
    assert lengths.is_sample and lengths.longest == 201 and lengths.is_longest_exact
    longer = lengths.num_longer_than(120)
    assert (longer.num_rows, longer.is_exact) == (9, True)
    assert lengths.num_longer_than(160).num_rows == 8


def test_more_long_rows_than_can_be_counted_are_not_called_exact(tmp_path, tiny_model):
    rows = ["x" * 50] * 3000 + ["y" * 500] * 3000
    lengths = sampled(tmp_path, tiny_model, rows, context=120)
    longer = lengths.num_longer_than(120)
    assert not longer.is_exact and longer.num_rows == pytest.approx(3000, rel=0.3)
    assert lengths.num_longer_than(502).is_exact


def test_what_a_template_adds_is_part_of_the_bound(tmp_path, tiny_model):
    chat = [{"role": "user", "content": "x" * 50}]
    rows = [chat] * 3000 + [[{"role": "user", "content": "x" * 300}, *chat]] * 3
    tokenizer = opened(tiny_model)
    lengths = sampled(tmp_path, tiny_model, pa.array(rows), context=200)
    assert lengths.longest == len(tokenizer.encode(asked(rows[-1])))
    assert lengths.num_longer_than(200) == NumRows(3, True)


def test_a_row_of_megabytes_is_counted_by_its_start(tmp_path, tiny_model):
    rows = ["short"] * 100 + ["x" * 1_000_000]
    lengths = sampled(tmp_path, tiny_model, rows, context=512)
    assert lengths.longest_bound >= 1_000_001 > lengths.longest and not lengths.is_longest_exact
    assert lengths.num_longer_than(512).num_rows == 1 and lengths.num_longer_than(512).is_exact


def test_two_hundred_thousand_rows_take_seconds(tmp_path, tiny_model):
    prompts = prompts_of(tmp_path, [f"What is {i} plus {i * 7}?" for i in range(200_000)])
    start = time.perf_counter()
    lengths = read_lengths(prompts, opened(tiny_model), context=512)
    assert time.perf_counter() - start < 60  # minutes, before
    assert lengths.num_strings == 200_000 and lengths.is_sample
    assert lengths.num_longer_than(512) == NumRows(0, True)


# The first rows.


def test_token_ids_are_shown_as_the_text_they_stand_for(tmp_path, model_dir):
    tokenizer = opened(model_dir)
    ids = tokenizer.encode(asked("Hi <|end|>é"))
    rows = prompts_of(tmp_path, [ids, [0, *ids]], prompt_format=PromptFormat.tokens)
    assert [shown.text for shown in first_prompts(rows, tokenizer)] == [
        "⟦<s>⟧Hi ⟦<|end|>⟧é",
        "⟦<s>⟧⟦<s>⟧Hi ⟦<|end|>⟧é",
    ]
    assert "1 of the first 2 prompts begin with <s> twice" in check_prompts(rows, tokenizer)[0]


def test_tools_that_the_template_leaves_out_are_told(tmp_path, model_dir):
    rows = prompts_of(tmp_path, ["Hi"], tools=json.dumps(TOOLS))
    (told,) = check_prompts(rows, opened(model_dir))
    assert "takes no tools" in told


def test_prompts_are_shown_with_their_special_tokens_and_no_control_characters(
    tmp_path, tiny_model
):
    rows = ["red \x1b[31m\nnext", [USER]]
    shown = first_prompts(prompts_of(tmp_path, rows[:1]), opened(tiny_model))[0]
    assert shown.text == "⟦<s>⟧red \\x1b[31m\nnext" and shown.num_tokens == 15
    tokenizer = opened(tiny_model)
    chat = first_prompts(prompts_of(tmp_path, pa.array(rows[1:])), tokenizer)[0]
    assert chat.text.startswith("⟦<s>⟧⟦<|user|>⟧Grüße 🙂, ⟦<s>⟧ 日本語 \\t12")
    assert chat.text.endswith("⟦<|end|>⟧⟦<|assistant|>⟧") and not chat.is_cut


def test_long_prompts_are_cut_in_the_middle(tmp_path, tiny_model):
    long = "a" * 5000 + "z" * 5000
    (shown,) = first_prompts(prompts_of(tmp_path, [long]), opened(tiny_model), max_chars=100)
    assert shown.is_cut and shown.num_tokens == 10_001
    assert re.fullmatch(r"⟦<s>⟧a{47} … 9903 characters … z{50}", shown.text)


def test_a_prompt_that_cannot_be_asked_shows_why(tmp_path, tiny_model):
    rows = pa.array([[{"role": "\x1b", "content": "a"}], None])
    one, two = first_prompts(prompts_of(tmp_path, rows), opened(tiny_model))
    assert one.error == "the chat template refused it: unknown role \\x1b"
    assert two.error == "the prompt is null"


def checks(tmp_path, directory, rows, data=None, **model):
    return check_prompts(prompts_of(tmp_path, rows, **(data or {})), opened(directory, **model))


def test_prompts_that_look_right_raise_no_message(tmp_path, tiny_model):
    assert checks(tmp_path, tiny_model, pa.array([[USER]])) == []
    asked = {"apply_chat_template": Template.always}
    assert checks(tmp_path, tiny_model, ["Hi"], asked) == []


def test_a_doubled_bos_is_told(tmp_path, tiny_model):
    _, doubled = checks(tmp_path, tiny_model, ["Hi", "<s>Hi"])
    assert "1 of the first 2 prompts begin with <s> twice: the tokenizer puts one" in doubled
    template = "{{ bos_token + messages[0].content }}"
    rows = pa.array([[{"role": "user", "content": "<s>Hi"}]])
    (doubled,) = checks(tmp_path, tiny_model, rows, chat_template=template)
    assert "the chat template writes one before a message that has one" in doubled


def test_thinking_opened_by_the_template_is_told(tmp_path, tiny_model):
    rows = pa.array([[USER]])
    template = "{{ messages[0].content }}<|assistant|><think>\n"
    (message,) = checks(tmp_path, tiny_model, rows, chat_template=template)
    assert message.startswith("the prompt ends with <think>: responses begin inside")
    assert checks(tmp_path, tiny_model, rows, chat_template=template + "\n</think>\n") == []


def test_strings_for_a_chat_model_and_chats_for_a_base_model_are_told(tmp_path, model_dir):
    (message,) = checks(tmp_path, model_dir, ["Hi"])
    assert "type data.apply_chat_template=always" in message
    (model_dir / "chat_template.jinja").unlink()
    (message,) = checks(tmp_path, model_dir, pa.array([[USER]]))
    assert "model.chat_template=FILE.jinja" in message
    assert checks(tmp_path, model_dir, ["Hi"]) == []


def test_blank_prompts_are_told(tmp_path, tiny_model):
    blank = [{"role": "user", "content": " \n"}]
    (message,) = checks(tmp_path, tiny_model, pa.array([[USER], blank]))
    assert message == "1 of the first 2 prompts are blank, row 1 first"


def test_a_prompt_of_megabytes_is_counted_but_not_looked_at(tmp_path, tiny_model):
    """Rows of 2 MB took plan and run minutes: each was tokenised several times."""
    import time

    import pandas as pd

    frame = pd.DataFrame({"prompt": ["word " * 400_000] * 3 + ["short"]})
    frame.to_parquet(tmp_path / "in.parquet")
    prompts = open_prompts(Data(input=str(tmp_path / "in.parquet")))
    tokenizer = open_tokenizer(tiny_model, Model(model_path=str(tiny_model)))
    began = time.monotonic()
    shown = first_prompts(prompts, tokenizer, 4)
    check_prompts(prompts, tokenizer)
    assert time.monotonic() - began < 5
    assert "2,000,000 characters, not shown" in shown[0].text
    assert "short" in shown[3].text


def test_what_vllm_leaves_out_of_messages_is_said_where_the_template_would_print_it(
    tmp_path, tiny_model
):
    template = "{% for m in messages %}{{ m.content }}{{ m.reasoning_content }}{% endfor %}"
    rows = [[USER, {"role": "assistant", "content": "a", "reasoning_content": "b", "x": "1"}, USER]]
    (message,) = checks(tmp_path, tiny_model, rows, chat_template=template)
    assert message.startswith("messages have reasoning_content") and "call it reasoning" in message
    assert checks(tmp_path, tiny_model, rows) == []


def test_tool_calls_that_the_template_does_not_print_are_pointed_out(tmp_path, tiny_model):
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    rows = [[USER, {"role": "assistant", "content": None, "tool_calls": [call]}, USER]]
    template = "{% for m in messages %}{{ m.content or '' }}{% endfor %}"
    (line,) = checks(tmp_path, tiny_model, rows, chat_template=template)
    assert line.startswith("1 of the first 1 chats hold tool calls")


def test_chats_in_text_and_answers_at_the_end_are_pointed_out(tmp_path, tiny_model):
    rows = [json.dumps([USER]), json.dumps([{"from": "human", "value": "Hi"}])]
    assert any(
        "type data.prompt_format=json" in line for line in checks(tmp_path, tiny_model, rows)
    )
    (line,) = checks(tmp_path, tiny_model, [[USER, {"role": "assistant", "content": "Well, "}]])
    assert "1 of the first 1 chats end with the assistant's message, which is continued" in line
