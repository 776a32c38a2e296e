"""Split the reasoning off a response with vLLM's reasoning parsers."""

from rollout.config.sections.model import Model
from rollout.engines.vllm.faults import first_line
from rollout.errors import UserError, did_you_mean
from rollout.rows.reasoning import Split, Splitter


def reasoning_splitter(name: str, model_path: str, model: Model) -> Splitter:
    """Load vLLM's reasoning parser `name` with the tokenizer in `model_path`. Raises UserError.

    The parser receives the chat template's variables: enable_thinking=false turns some parsers
    off (https://docs.vllm.ai/en/latest/features/reasoning_outputs.html).
    """
    from transformers import AutoTokenizer
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.reasoning import ReasoningParserManager

    known, variables = _reasoning_parsers(), dict(model.chat_template_kwargs)
    if name not in known:
        raise UserError(
            f"output.reasoning_parser={name}: vLLM has no such parser.{did_you_mean(name, known)} "
            f"Choose from: {', '.join(known)}"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            model_path, trust_remote_code=model.trust_remote_code
        )
        kind = ReasoningParserManager.get_reasoning_parser(name)
        parser = kind(tokenizer, chat_template_kwargs=variables)
    except Exception as error:  # a parser may need tokens, templates or libraries that are missing
        raise UserError(
            f"output.reasoning_parser={name} does not fit {model_path}: {first_line(error)}; "
            "leave it out to split by model.reasoning_tags"
        ) from error
    request = ChatCompletionRequest(messages=[], model=model_path, chat_template_kwargs=variables)
    extract = getattr(parser, "extract_reasoning", None) or parser.extract_reasoning_content
    end = getattr(parser, "reasoning_end_str", None) or getattr(parser, "end_token", None)

    def by_parser(text: str, opened: bool) -> Split:
        try:
            reasoning, answer = extract(text, request)
        except Exception as error:  # the parser may raise anything on a model's text
            raise UserError(
                f"output.reasoning_parser={name} can't split a response ({first_line(error)}); "
                "leave it out, and type the same command again to split by model.reasoning_tags"
            ) from error
        has_ended = bool(answer) or reasoning is None or bool(end and end in text)
        return Split(reasoning, answer or "", has_ended)

    return by_parser


def _reasoning_parsers() -> list[str]:
    """Return the names of vLLM's reasoning parsers."""
    from vllm.reasoning import ReasoningParserManager as Manager

    registered = getattr(Manager, "list_registered", None)
    return sorted(registered() if registered else Manager.reasoning_parsers)
