"""Tokenize a row's text, messages or ids as the model sees them, without vLLM or torch.

Owns reading a checkpoint's tokenizer and chat template. Guarantees the token ids of
`VllmEngine._encode` with transformers 5 (tests keep the two equal), so a tokenizer that
transformers does not read from tokenizer.json raises NoTokenizer. A template that fails raises
RequestRefused for its row. Must not know about files of prompts, devices or where text is shown.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.config.sections.model import Model
from rollout.errors import RequestRefused, UserError
from rollout.inputs.chat_template import chat_template_text
from rollout.plan.prompts.chat_template import MARK, marked, rendered
from rollout.plan.prompts.prepared_chat import prepared
from rollout.plan.prompts.tokenizer_files import NoTokenizer, check_kind, read_json, read_text
from rollout.rows.prompt import Message, Prompt
from rollout.system.time_limit import OverLimit

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

BATCH_CHARS = 1 << 18  # tokenized at once
# Arguments of transformers' apply_chat_template itself, and those that the engine sets.
_NOT_FOR_TEMPLATE = (
    "padding", "truncation", "max_length", "return_tensors", "return_dict",
    "return_assistant_tokens_mask", "tokenizer_kwargs",
)  # fmt: skip
_GIVEN = (
    "messages", "conversation", "add_generation_prompt", "continue_final_message", "tokenize",
    "chat_template",
)  # fmt: skip
_SPLITTERS = {
    "GPT2Tokenizer": ("ByteLevel",),
    "LlamaTokenizer": ("Metaspace", "NoneType"),
    "GemmaTokenizer": ("Split",),
    "Qwen2Tokenizer": ("Sequence",),
}


@dataclass(frozen=True, slots=True)
class Count:
    """One prompt, measured."""

    num_tokens: int  # of its start only, if not is_whole
    num_bytes: int  # of the rendered text in UTF-8; for token ids, their number
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a prompt: text, or one special token."""

    text: str
    is_special: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PromptTokenizer:
    """A model's tokenizer and chat template. Opened by `open_tokenizer`; holds no open file."""

    backend: "Tokenizer"
    variables: dict[str, Any]  # of the template: special tokens by name, then the user's
    templates: dict[str, str]  # by name; "default" unless a chat has tools
    bos_token: str | None
    bos_id: int | None
    marked_ids: frozenset[int] = field(repr=False)  # special and added tokens, such as <think>
    warning: str | None = None  # why the engine's tokens may differ, one line

    @property
    def has_chat_template(self) -> bool:
        """Whether chats can be rendered."""
        return any(self.templates.values())

    @property
    def num_added(self) -> int:
        """Tokens that the tokenizer adds to a text prompt, such as BOS."""
        return self.backend.num_special_tokens_to_add(False)

    def text_of(self, prompt: Prompt) -> str:
        """Return the text to encode: a string unchanged, a chat rendered, token ids decoded.

        Raises RequestRefused with the reason to record on the row.
        """
        content = prompt.content
        if prompt.token_ids is not None:
            return self.backend.decode(self._known(prompt.token_ids), skip_special_tokens=False)
        if isinstance(content, str):
            return content
        if not self.has_chat_template:
            raise RequestRefused("the model has no chat template, so chats can't be sent to it")
        try:
            return self._render(content, prompt.tools)
        except (RequestRefused, UserError):
            raise
        except OverLimit as error:
            raise RequestRefused(f"the chat template {error}") from error
        except Exception as error:  # the template is the model's code and may raise anything
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise RequestRefused(f"the chat template refused it: {lines[0][:500]}") from error

    def encode(self, prompt: Prompt) -> list[int]:
        """Return the token ids; BOS is added to strings only. Raises RequestRefused."""
        if prompt.token_ids is not None:
            return self._known(prompt.token_ids)
        return self._encoding(prompt, self.text_of(prompt)).ids

    def _encoding(self, prompt: Prompt, text: str) -> "Encoding":
        return self.backend.encode(text, add_special_tokens=isinstance(prompt.content, str))

    def _known(self, token_ids: list[int]) -> list[int]:
        """Return the ids; the engine checks them against the model's vocabulary."""
        if max(token_ids) >= 1 << 31:
            raise RequestRefused(f"token id {max(token_ids)} is out of vocabulary")
        return token_ids

    def count_many(
        self, prompts: Iterable[Prompt], max_chars: int | None = None
    ) -> list[Count | str]:
        """Measure prompts, in order; a string is the reason why that prompt is refused.

        Texts longer than `max_chars` are tokenized up to that character.
        """
        results: list[Any] = []
        waiting: list[tuple[int, str, bool]] = []  # place, text, whether it is a string prompt
        num_chars = 0
        for place, prompt in enumerate(prompts):
            try:
                if prompt.token_ids is not None:
                    num_tokens = len(self._known(prompt.token_ids))
                    results.append(Count(num_tokens, num_tokens))
                    continue
                text = self.text_of(prompt)
            except RequestRefused as refusal:
                results.append(str(refusal))
                continue
            results.append(Count(0, num_bytes(text), max_chars is None or len(text) <= max_chars))
            waiting.append((place, text[:max_chars], isinstance(prompt.content, str)))
            num_chars += len(waiting[-1][1])
            if num_chars > BATCH_CHARS:
                self._count(waiting, results)
                waiting, num_chars = [], 0
        self._count(waiting, results)
        return results

    def pieces(self, prompt: Prompt) -> list[Piece]:
        """Split the prompt as the model sees it into text and special tokens, BOS included.

        Raises RequestRefused.
        """
        if prompt.token_ids is not None:
            return self._pieces_of(self._known(prompt.token_ids))
        text = self.text_of(prompt)
        found = self._encoding(prompt, text)
        pieces, shown, seen = [], 0, 0
        for token_id, (start, end) in zip(found.ids, found.offsets, strict=True):
            if token_id in self.marked_ids:
                start = start if end > start else seen  # added before or after the text
                pieces += [Piece(text[shown:start])] if start > shown else []
                pieces.append(Piece(self.backend.id_to_token(token_id), is_special=True))
                shown = max(shown, start, end)
            seen = max(seen, end)
        return pieces + ([Piece(text[shown:])] if shown < len(text) else [])

    def _pieces_of(self, token_ids: list[int]) -> list[Piece]:
        pieces = []
        for is_marked, group in groupby(token_ids, lambda i: i in self.marked_ids):
            if is_marked:
                pieces += [Piece(self.backend.id_to_token(i), is_special=True) for i in group]
            else:
                pieces.append(Piece(self.backend.decode(list(group), skip_special_tokens=False)))
        return pieces

    def _count(self, waiting: list[tuple[int, str, bool]], results: list[Any]) -> None:
        for is_string in (True, False):
            group = [(place, text) for place, text, kind in waiting if kind is is_string]
            texts = [text for _, text in group]
            found = self.backend.encode_batch_fast(texts, add_special_tokens=is_string)
            for (place, _), encoding in zip(group, found, strict=True):
                count = results[place]
                results[place] = Count(len(encoding), count.num_bytes, count.is_whole)

    def _render(self, messages: list[Message], tools: list[dict[str, Any]] | None) -> str:
        """Render a chat; a last message of the assistant is left open, to be continued."""
        own = {"tools": tools} if tools else {}
        source = self._template_for(tools or self.variables.get("tools"))
        if tools and "tools" not in source:
            raise RequestRefused("the chat template takes no tools")
        for name in _GIVEN:
            if name in self.variables:
                raise ValueError(f"model.chat_template_kwargs must not set {name}")
        messages = prepared(messages, source)
        is_continued = messages[-1]["role"] == "assistant"
        if is_continued:
            opened, last = marked(messages[-1], source)
            messages = [*messages[:-1], last]
        given = {"tools": None, "documents": None} | self.variables | own
        given |= {"messages": messages, "add_generation_prompt": not is_continued}
        text = rendered(source, given)
        if not is_continued:
            return text
        end = text.rfind(MARK.strip())
        if end < 0 or opened.strip() not in text:
            raise ValueError("it drops part of the assistant message to continue")
        is_kept = text.startswith(MARK, end)
        return text[:end] if is_kept else text[:end].rstrip()

    def _template_for(self, tools: Any) -> str:
        name = "tool_use" if tools is not None and "tool_use" in self.templates else "default"
        if name not in self.templates:
            raise ValueError(f"none of its templates ({', '.join(self.templates)}) is the default")
        return self.templates[name]


def open_tokenizer(directory: Path, model: Model) -> PromptTokenizer:
    """Read the tokenizer of a checkpoint directory, and the chat template that `model` names.

    Raises NoTokenizer if no tokenizer can be read, and UserError for a model.chat_template that
    is neither a file nor template text.
    """
    from tokenizers import Tokenizer

    config = read_json(directory / "tokenizer_config.json")
    check_kind(directory, config, model.trust_remote_code)
    try:
        backend = Tokenizer.from_file(str(directory / "tokenizer.json"))
        named = _add_tokens(backend, config, directory)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as fault:  # tokenizers raises plain Exceptions and panics
        raise NoTokenizer(f"{directory / 'tokenizer.json'} can't be read: {fault}") from fault
    backend.no_truncation()  # never cut or pad prompts, whatever the file says
    backend.no_padding()
    backend.encode_special_tokens = bool(config.get("split_special_tokens", False))
    own = {k: v for k, v in model.chat_template_kwargs.items() if k not in _NOT_FOR_TEMPLATE}
    given = chat_template_text(model.chat_template)
    templates = {"default": given} if given else _templates(directory, config)
    added = backend.get_added_tokens_decoder()
    bos = named.get("bos_token")
    return PromptTokenizer(
        backend,
        named | own,
        templates,
        bos,
        None if bos is None else backend.token_to_id(bos),
        frozenset(i for i, token in added.items() if token.special or token.content.strip()),
        _warning(backend, str(config.get("tokenizer_class"))),
    )


def num_bytes(text: str) -> int:
    """Return the length in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


# The checkpoint's files, as transformers 5 reads them (tokenization_utils_base, `from_pretrained`;
# tokenization_utils_tokenizers, `__init__`).


def _warning(backend: "Tokenizer", kind: str) -> str | None:
    """Return a warning if transformers 5 splits text differently.

    For a class in _SPLITTERS it takes vocabulary and merges from tokenizer.json, but the way to
    split text from the class.
    """
    kind = kind.removesuffix("Fast")
    found = type(backend.pre_tokenizer).__name__
    if found in _SPLITTERS.get(kind, (found,)):
        return None
    return (
        f"tokenizer_class={kind} splits text differently from tokenizer.json, which the planner "
        "uses: lengths may be off"
    )


def _add_tokens(backend: "Tokenizer", config: dict[str, Any], directory: Path) -> dict[str, str]:
    """Add the tokens that only tokenizer_config.json has; return the named tokens' texts."""
    from tokenizers import AddedToken

    def read(token: Any) -> AddedToken:
        if isinstance(token, str):
            return AddedToken(token, special=True)
        return AddedToken(**{name: value for name, value in token.items() if name != "__type"})

    if "added_tokens_decoder" not in config:  # older files
        config = config | read_json(directory / "special_tokens_map.json")
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    named = {name: token for name, token in config.items() if name.endswith("_token")}
    named |= extra if isinstance(extra, dict) else {}
    named = {name: read(token) for name, token in named.items() if isinstance(token, str | dict)}

    present = list(backend.get_added_tokens_decoder().values())
    known = {repr(token) for token in present}
    listed = sorted(config.get("added_tokens_decoder", {}).items(), key=lambda item: int(item[0]))
    wanted = [token for _, each in listed if repr(token := read(each)) not in known]
    texts = {token.content for token in (*present, *wanted)}
    for token in (*named.values(), *map(read, () if isinstance(extra, dict) else extra)):
        if token.content not in texts:
            token.special = True
            wanted.append(token)
            texts.add(token.content)
    backend.add_tokens(wanted)
    return {name: token.content for name, token in named.items()}


def _templates(directory: Path, config: dict[str, Any]) -> dict[str, str]:
    """Return the model's chat templates by name; files come before tokenizer_config.json.

    Ignores chat_template.json, which is the image processor's, as the engine's tokenizer does.
    """
    files = {"default": directory / "chat_template.jinja"} | {
        file.stem: file
        for file in sorted((directory / "additional_chat_templates").glob("*.jinja"))
    }
    if found := {name: read_text(file) for name, file in files.items() if file.is_file()}:
        return found
    known = config.get("chat_template")
    if isinstance(known, list):
        named = [each for each in known if isinstance(each, dict)]
        known = {str(each.get("name")): each.get("template") for each in named}
    if not isinstance(known, dict):
        known = {"default": known}
    return {name: text for name, text in known.items() if isinstance(text, str)}
