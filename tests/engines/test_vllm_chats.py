"""Chats are encoded as by `LLM.chat` of the installed vLLM, with templates of every family."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from chat_shapes import CHATS, TOOLS
from processes import DATA, ROOT, environment
from tiny_engine import tiny_engine
from tiny_model import make_tiny_model

from rollout.config.sections.data import Data
from rollout.config.sections.model import Model
from rollout.config.sections.sampling import Sampling
from rollout.errors import RequestRefused
from rollout.inputs.chats import content_of
from rollout.inputs.models import resolve_model
from rollout.plan.prompts.tokenizer import open_tokenizer
from rollout.rows.prompt import Prompt
from rollout.rows.request import Request

pytestmark = pytest.mark.vllm
TEMPLATES = {f.stem: f.read_text() for f in sorted((DATA / "chat_templates").glob("*.jinja"))}
SAMPLING = Sampling(n_samples=1, max_tokens=1)


@cache
def embedded():
    """Return the chat template of the model that comes with rollout."""
    directory = Path(resolve_model(Model(model_path="embedded:smollm2-135m-instruct")).path)
    file = directory / "chat_template.jinja"
    text = (directory / "tokenizer_config.json").read_text()
    return file.read_text() if file.is_file() else json.loads(text)["chat_template"]


def cases():
    """Return every chat with every template, with and without tools, thinking on and off."""
    found = []
    for template in [None, embedded(), *TEMPLATES.values()]:
        for name, messages in CHATS.items():
            for tools in (None, TOOLS):
                found.append((name, messages, tools, template, {}))
    for variables in ({"enable_thinking": False}, {"reasoning_effort": "high"}):
        for template in TEMPLATES.values():
            found += [(n, CHATS[n], None, template, variables) for n in ("turns", "parts")]
    return found


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny", 4096)


@pytest.fixture(scope="module")
def reference(model_dir):
    """Return the token ids of LLM.chat for each case, from a separate process."""
    keys = ("name", "messages", "tools", "template", "variables")
    text = json.dumps([dict(zip(keys, case, strict=True)) for case in cases()])
    words = [sys.executable, str(ROOT / "tests/support/llm_chat.py"), str(model_dir)]
    env = environment() | {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    done = subprocess.run(words, input=text, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("ids "))
    return json.loads(line.removeprefix("ids "))


@pytest.fixture(scope="module")
def engine(model_dir, tmp_path_factory):
    yield from tiny_engine(model_dir, tmp_path_factory.mktemp("engine"))


def prompt_of(messages, tools):
    """Return the row as a run reads it."""
    return Prompt(0, 0, content_of(messages, Data()), tools=tools)


def sent(engine, messages, tools, template, variables):
    """Return the ids vLLM received, or None if the row is refused."""
    model = Model(model_path="", chat_template=template, chat_template_kwargs=variables)
    sampler = engine.sampler(SAMPLING, model, wants_logprobs=False)
    try:
        prompt = prompt_of(messages, tools)
        before = prompt.digest
        engine.submit(Request(prompt, 1, 7, 1, sampler=sampler))
    except (RequestRefused, ValueError):
        return None
    assert prompt.digest == before, "vLLM wrote into the row's messages"
    done = []
    while not done:
        done = engine.step()
    return done[0].prompt_token_ids


def differing(found, reference, may_refuse=()):
    """Return the cases whose ids differ; a row is refused if the template would drop its tools."""
    odd = []
    for case, ids, theirs in zip(cases(), found, reference, strict=True):
        name, _, tools, template, _ = case
        if ids is None and tools and "tools" not in (template or ""):
            continue
        if ids != theirs and not (ids is None and name in may_refuse):
            family = next((k for k, v in TEMPLATES.items() if v == template), "the model's own")
            odd.append((family, name, bool(tools)))
    return odd


def test_the_engine_sends_the_same_ids_as_llm_chat(engine, reference):
    found = [sent(engine, *case[1:]) for case in cases()]
    assert differing(found, reference) == []
    assert sum(ids is not None for ids in found) > 500


def test_the_planner_counts_the_same_ids_as_llm_chat(model_dir, reference):
    found = []
    for _, messages, tools, template, variables in cases():
        model = Model(chat_template=template, chat_template_kwargs=variables)
        tokenizer = open_tokenizer(model_dir, model)
        try:
            found.append(tokenizer.encode(prompt_of(messages, tools)))
        except (RequestRefused, ValueError):
            found.append(None)
    assert differing(found, reference) == []
