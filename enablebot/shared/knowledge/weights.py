"""A model's weights out of a `.safetensors` file: a length, a JSON header of that length, then the numbers.

Format: https://github.com/huggingface/safetensors#format
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# A header is a few kilobytes; more is no model, or one that wants our memory.
_LONGEST_HEADER = 10_000_000
_KINDS = {"F32": np.float32, "F16": np.float16}


def read_weights(path: Path) -> dict[str, Floats]:
    """Return the float tensors of a file by name; those of 32 bits stay in the file until they are used.

    Raises ValueError when the file is no such file or is cut short, and OSError.
    """
    data = np.memmap(path, dtype=np.uint8, mode="r")
    if data.size < 8:
        raise ValueError("the file is too short")
    length = int.from_bytes(data[:8].tobytes(), "little")
    if not 2 <= length <= min(_LONGEST_HEADER, data.size - 8):
        raise ValueError("it has no header")
    header = json.loads(data[8 : 8 + length].tobytes())
    begin = 8 + length
    weights: dict[str, Floats] = {}
    for name, about in header.items():
        kind = _KINDS.get(about.get("dtype", ""))
        if kind is None:
            continue
        first, last = about["data_offsets"]
        shape = tuple(about["shape"])
        if not 0 <= first <= last <= data.size - begin or last - first != np.dtype(kind).itemsize * int(np.prod(shape)):
            raise ValueError(f"the tensor {name} does not fit into it")
        weights[name] = np.asarray(data[begin + first : begin + last].view(kind).reshape(shape), dtype=np.float32)
    return weights
