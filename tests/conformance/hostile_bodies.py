"""Valid bodies that use as many fields as possible: what `hostile` spoils."""

from typing import Any

ITEMS: list[Any] = [
    {"role": "user", "content": "hi"},
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "be brief"}]},
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "see"},
            {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"},
            {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aGk="},
        ],
    },
    {
        "type": "message",
        "role": "assistant",
        "id": "msg_0123456789abcdef",
        "status": "completed",
        "content": [
            {
                "type": "output_text",
                "text": "yes",
                "annotations": [{"type": "file_citation", "index": 1, "file_id": "file-1", "filename": "a"}],
            }
        ],
    },
    {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}", "status": "completed"},
    {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "done"}]},
    {"type": "file_search_call", "id": "fs_1", "queries": ["q"], "status": "completed", "results": None},
    {"type": "brand_new_item", "payload": {"x": [1, 2.5, None]}},
]

FILTERS: Any = {
    "type": "and",
    "filters": [
        {"type": "eq", "key": "a", "value": "x"},
        {"type": "or", "filters": [{"type": "gt", "key": "n", "value": 1}, {"type": "in", "key": "a", "value": ["x"]}]},
    ],
}

SCHEMA: Any = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


def response(store: str) -> Any:
    """Return the body of a response that searches `store`."""
    return {
        "model": "gpt-5",
        "input": ITEMS,
        "instructions": "be kind",
        "store": True,
        "stream": False,
        "stream_options": {"include_obfuscation": False},
        "include": ["file_search_call.results"],
        "tools": [
            {"type": "function", "name": "f", "parameters": SCHEMA, "strict": True, "description": "d"},
            {
                "type": "file_search",
                "vector_store_ids": [store],
                "max_num_results": 5,
                "filters": FILTERS,
                "ranking_options": {"ranker": "auto", "score_threshold": 0.1},
            },
        ],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        "parallel_tool_calls": True,
        "max_tool_calls": 3,
        "max_output_tokens": 100,
        "temperature": 1,
        "top_p": 0.5,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "truncation": "auto",
        "token_budget": 100_000,
        "metadata": {"k": "v"},
        "service_tier": "auto",
        "user": "u",
    }


def configuration(store: str) -> Any:
    """Return what a prompt may hold."""
    shared = (
        "model",
        "tools",
        "tool_choice",
        "max_tool_calls",
        "temperature",
        "top_p",
        "text",
        "reasoning",
        "truncation",
    )
    whole = response(store)
    messages = [{"role": "developer", "content": "Help {{name}}."}, ITEMS[2], ITEMS[3]]
    return {name: whole[name] for name in shared} | {"instructions": messages}


def templates(store: str, file: str, conversation: str, prompt: str) -> dict[str, Any]:
    """Return path → a valid body, for every operation that takes JSON."""
    chunking: Any = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 10}}
    attached: Any = {"file_id": file, "attributes": {"a": "x", "n": 1, "b": True}, "chunking_strategy": chunking}
    return {
        "/responses": response(store),
        "/responses?beta=true": response(store) | {"stream": True},
        "/conversations": {"items": ITEMS[:4], "metadata": {"k": "v"}},
        "/responses/input_tokens": response(store),
        "/responses?prompt": {
            "input": "hi",
            "conversation": conversation,
            "concurrency": "fork",
            "prompt": {
                "id": prompt,
                "version": "1",
                "variables": {"name": {"type": "input_text", "text": "Ada"}, "other": ITEMS[2]["content"][1]},
            },
        },
        "/prompts": configuration(store) | {"name": "n", "metadata": {"k": "v"}},
        f"/prompts/{prompt}": configuration(store) | {"name": "n", "metadata": {"k": "v"}},
        f"/prompts/{prompt}/versions": configuration(store) | {"current": False},
        f"/conversations/{conversation}/fork": {"metadata": {"k": "v"}},
        f"/conversations/{conversation}": {"metadata": {"k": "v"}},
        f"/conversations/{conversation}/items": {"items": [ITEMS[0], ITEMS[2], ITEMS[7]]},
        "/vector_stores": {
            "name": "n",
            "description": "d",
            "file_ids": [],
            "expires_after": {"anchor": "last_active_at", "days": 1},
            "chunking_strategy": chunking,
            "metadata": {"k": "v"},
        },
        f"/vector_stores/{store}": {"name": "n", "metadata": {"k": "v"}, "expires_after": None},
        f"/vector_stores/{store}/files": attached,
        f"/vector_stores/{store}/files/{file}": {"attributes": {"a": "y"}},
        f"/vector_stores/{store}/file_batches": {"files": [attached], "attributes": {"a": "z"}},
        f"/vector_stores/{store}/search": {
            "query": ["words", "others"],
            "filters": FILTERS,
            "max_num_results": 3,
            "ranking_options": {
                "ranker": "auto",
                "score_threshold": 0.0,
                "hybrid_search": {"embedding_weight": 1.0, "text_weight": 0.5},
            },
            "rewrite_query": False,
        },
        "/embeddings": {"model": "m", "input": ["a", "b"], "encoding_format": "float", "dimensions": 8},
    }
