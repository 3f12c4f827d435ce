"""A scripted language model to test applications with: deterministic, fast, and able to fail in every way a real one
can.

`ScriptedModel` is a model inside the process; `serve_upstream` (or `python -m onward.testing.upstream`) is an
OpenAI-compatible server with the same script. Nothing of this is loaded by a server in production.
"""

from onward.testing.model import ScriptedModel
from onward.testing.script import Call, Fault, Reply, Rule, Script, TokenCount, When
from onward.testing.server import ScriptedUpstream, serve_upstream

__all__ = [
    "Call",
    "Fault",
    "Reply",
    "Rule",
    "Script",
    "ScriptedModel",
    "ScriptedUpstream",
    "TokenCount",
    "When",
    "serve_upstream",
]
