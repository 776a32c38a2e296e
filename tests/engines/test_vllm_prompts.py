"""The exact token ids real vLLM receives for templates, tools, prefills and given ids."""

import json

import pytest
from prompt_files import write
from tiny_engine import tiny_engine

from rollout.config.sections.data import Data, PromptFormat
from rollout.config.sections.model import Model
from rollout.config.sections.sampling import Sampling
from rollout.errors import RequestRefused
from rollout.inputs.prompts import open_prompts
from rollout.rows.request import Request

pytestmark = pytest.mark.vllm
SAMPLING = Sampling(n_samples=2, max_tokens=4, temperature=None)
TOOLS = [{"type": "function", "function": {"name": "add"}}]
# Like Qwen3's: tools first, thinking dropped from earlier turns, trimmed text, optional thinking.
THINKING = (
    "{%- if tools %}<|system|>{{ tools | tojson }}<|end|>{% endif %}"
    "{%- for m in messages %}"
    "{%- set text = m.content.split('</think>')[-1] if m.role == 'assistant' and not loop.last"
    " else m.content %}"
    "<|{{ m.role }}|>{{ text | trim }}<|end|>"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}<|assistant|>"
    "{%- if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    "{%- endif %}"
)
HI = {"role": "user", "content": "hi"}


@pytest.fixture(scope="module")
def engine(tiny_model, tmp_path_factory):
    yield from tiny_engine(tiny_model, tmp_path_factory.mktemp("engine"))


@pytest.fixture
def sent(engine, tmp_path):
    """`sent(rows, **data)` returns the ids vLLM received for each row, or the refusal."""

    def send(rows, chat_template=None, kwargs=None, **data):
        path = write(tmp_path / "in.parquet", rows)
        model = Model(model_path="", chat_template=chat_template, chat_template_kwargs=kwargs or {})
        sampler = engine.sampler(SAMPLING, model, wants_logprobs=False)
        found = {}
        inner = engine._completion

        def completion(output):  # the ids as vLLM itself reports them
            done = inner(output)
            found[done.request.prompt.index] = output.prompt_token_ids, done
            return done

        engine._completion = completion
        try:
            for prompt in open_prompts(Data(input=path, **data)):
                try:
                    engine.submit(Request(prompt, 2, 7, 4, sampler=sampler))
                except RequestRefused as refusal:
                    found[prompt.index] = str(refusal), None
            while engine.num_unfinished:
                engine.step()
        finally:
            del engine._completion
        return [found[index] for index in sorted(found)]

    return send


@pytest.fixture
def texts(engine, sent):
    """The same, decoded."""
    decode = engine._encoder._tokenizer.decode

    def send(*args, **data):
        rows = sent(*args, **data)
        return [ids if done is None else decode(ids) for ids, done in rows]

    return send


def test_template_system_prompt_and_tools_reach_the_model_as_the_template_writes_them(texts):
    found = texts(
        ["hi", "yo"],
        THINKING,
        template="{{ prompt }}!",
        system_prompt="Be kind.",
        tools=json.dumps(TOOLS),
    )
    tools = json.dumps(TOOLS)
    head = f"<|system|>{tools}<|end|><|system|>Be kind.<|end|><|user|>"
    assert found == [f"{head}{text}!<|end|><|assistant|>" for text in ("hi", "yo")]


def test_chat_template_kwargs_switch_the_thinking_off(texts):
    plain, off = (texts([[HI]], THINKING, kwargs)[0] for kwargs in ({}, {"enable_thinking": False}))
    assert plain == "<|user|>hi<|end|><|assistant|>"
    assert off == f"{plain}<think></think>"


def test_a_prefill_is_continued_and_the_response_begins_after_it(engine, sent, texts):
    """Also if templates trim it, drop thinking of earlier turns, or close every turn."""
    early = {"role": "assistant", "content": "<think>hm</think>yes"}
    late = {"role": "assistant", "content": "<think>so, "}
    ask = [[HI, early, HI, late]]
    assert texts(ask, THINKING) == [
        "<|user|>hi<|end|><|assistant|>yes<|end|><|user|>hi<|end|><|assistant|><think>so,"
    ]
    assert texts(ask)[0].endswith("<|assistant|><think>so, ")
    ((ids, done),) = sent(ask)
    assert done.prompt_token_ids == list(ids) and done.opens_reasoning
    for sample in done.samples:
        assert sample.text == engine._encoder._tokenizer.decode(
            sample.token_ids, skip_special_tokens=True
        )


def test_a_prefill_that_the_template_drops_is_refused_and_not_sent_without_it(texts):
    cut = "{% for m in messages %}<|{{ m.role }}|>{{ m.content.split('</think>')[-1] }}{% endfor %}"
    kept = {"role": "assistant", "content": "So"}
    gone = {"role": "assistant", "content": "<think>hm</think>So"}
    found = texts([[HI, kept], [HI, gone]], cut)
    assert found[0] == "<|user|>hi<|assistant|>So"
    assert "final message does not appear" in found[1]


def test_token_ids_are_sent_exactly_and_unknown_ones_refused(sent):
    size = 263
    rows = [[0, 0, 5], [42], [size - 1], [size], [2**40]]
    found = sent(rows, prompt_format=PromptFormat.tokens)
    assert [ids for ids, done in found if done] == rows[:3]
    assert [ids for ids, done in found if not done] == [
        f"token id {token} is out of vocabulary: the model has {size}" for token in (size, 2**40)
    ]


def test_tools_are_refused_by_a_template_that_takes_none(texts):
    assert texts(["hi"], tools=json.dumps(TOOLS)) == ["the chat template takes no tools"]
