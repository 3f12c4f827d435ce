"""The chat completions protocol, for any upstream that speaks it: vLLM, Ollama, llama.cpp, OpenAI and the like.

wire      what an upstream sends, only the fields that matter
render    items → messages, as bytes that are kept and concatenated
request   one model call → the request body
sse       bytes of a stream → decoded chunks
fold      chunks → model events
calls     fragments of tool calls → calls with dense numbers
constrained, salvage   tool calls for models without a native form
faults    what went wrong at the upstream → our errors
endpoint  where an upstream is, how long to wait, how often to retry
exchange  one HTTP exchange, from the request to the last byte
model     the `Model` made of these
"""

from onward.models.chat_completions.endpoint import Connections, Endpoint, Retries, Timeouts, Upstream
from onward.models.chat_completions.model import ChatModel

__all__ = ["ChatModel", "Connections", "Endpoint", "Retries", "Timeouts", "Upstream"]
