"""The model itself: tokenizing and running the graph. Loaded only in the embedder's child process.

It knows no sockets and no lanes.
"""

# onnxruntime ships no types for its sessions.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from tokenizers import Tokenizer

from onward.retrieval.embed.asset import DIMENSIONS, MAX_PIECES, read_asset

Floats = npt.NDArray[np.float32]
Pieces = npt.NDArray[np.int32]

CLS, SEP = 101, 102
CONTENT = MAX_PIECES - 2


class Session:
    """One loaded model; ``run`` may be called from several threads, each using one core."""

    def __init__(self) -> None:
        self._tokenizer = Tokenizer.from_str(read_asset("tokenizer.json").decode())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = ort.InferenceSession(read_asset("model.onnx"), options, providers=["CPUExecutionProvider"])

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the word pieces of each text, without special tokens and without a limit."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def run(self, sequences: Sequence[Sequence[int]]) -> Floats:
        """Return a unit vector for each sequence of at most ``CONTENT`` pieces, run as one padded batch."""
        width = max(len(sequence) for sequence in sequences) + 2
        ids: Pieces = np.zeros((len(sequences), width), np.int32)
        mask: Pieces = np.zeros((len(sequences), width), np.int32)
        for row, sequence in enumerate(sequences):
            end = len(sequence) + 1
            ids[row, 0] = CLS
            ids[row, 1:end] = sequence
            ids[row, end] = SEP
            mask[row, : end + 1] = 1
        (vectors,) = self._session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})
        return np.ascontiguousarray(vectors, np.float32)


def split_pieces(pieces: Sequence[int]) -> list[Sequence[int]]:
    """Split a text that is longer than the model's limit into even parts; an empty one stays one part."""
    parts = max(1, -(-len(pieces) // CONTENT))
    size = -(-len(pieces) // parts) if pieces else 0
    return [pieces[i * size : (i + 1) * size] for i in range(parts)]


def join_parts(vectors: Floats, weights: Sequence[int]) -> Floats:
    """Return the unit mean of a text's parts, weighted by their lengths."""
    if len(weights) == 1:
        return vectors[0]
    mean = (vectors * np.array(weights, np.float32)[:, None]).sum(axis=0)
    norm = float(np.linalg.norm(mean))
    return np.asarray(mean / norm if norm else vectors[0], np.float32).reshape(DIMENSIONS)
