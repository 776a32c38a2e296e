"""Print the token ids that `LLM.chat` of the installed vLLM sends, for each case of a JSON file.

    python llm_chat.py MODEL_DIRECTORY < cases.json

A case has messages, tools, template and variables; a chat that ends with an assistant message is
continued. Prints a JSON list, with null where LLM.chat refuses.
"""

import json
import os
import sys


def main() -> None:
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR"}
    from vllm import LLM, SamplingParams

    arguments = {"enforce_eager": True, "kv_cache_memory_bytes": 1 << 28, "max_num_seqs": 4}
    arguments |= {"enable_chunked_prefill": False, "max_num_batched_tokens": 4096}
    llm = LLM(sys.argv[1], **arguments)
    params = SamplingParams(max_tokens=1, temperature=0.0)
    print("\nids", json.dumps([ids(llm, params, case) for case in json.load(sys.stdin)]))


def ids(llm, params, case):
    continued = case["messages"][-1]["role"] == "assistant"
    try:
        (output,) = llm.chat(
            case["messages"],
            params,
            use_tqdm=False,
            chat_template=case["template"],
            tools=case["tools"],
            chat_template_kwargs=case["variables"],
            add_generation_prompt=not continued,
            continue_final_message=continued,
        )
    except Exception as error:
        print(f"{type(error).__name__}: {error}"[:300], file=sys.stderr)
        return None
    return list(output.prompt_token_ids)


if __name__ == "__main__":
    main()
