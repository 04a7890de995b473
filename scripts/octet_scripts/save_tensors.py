"""Saves a layer's tensors, from .npy files, as one safetensors file. Needs no numpy: an array's
bytes are copied as they are.

  a     [batch, seq, model] or [tokens, model]: the activations that enter the layer
  w1    [hidden, model], w2 [model, hidden]: the weights, as torch.nn.Linear keeps them
  grad  shaped as a: the gradient of what leaves the layer
  b1    [hidden], b2 [model]: biases, both or none

Arrays of float16 and float32, and of the bfloat16 of ml_dtypes, which numpy saves as two bytes of
no type. In PyTorch: numpy.save("w1.npy", layer.weight.detach().float().cpu().numpy()).

Exit status: 0 written, 2 something does not fit, and nothing is written.
"""

import argparse
import ast
import json
import math
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

NAMES = ("a", "w1", "w2", "grad", "b1", "b2")
NEEDED = NAMES[:4]
# What numpy calls it: (safetensors' name, bytes).
TYPES = {"<f2": ("F16", 2), "<f4": ("F32", 4), "<V2": ("BF16", 2), "|V2": ("BF16", 2)}
MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 1 << 20
SHAPES = {"w1": "[hidden, model]", "w2": "[model, hidden]", "grad": "a's shape", "b1": "[hidden]",
          "b2": "[model]"}  # fmt: skip


class TensorError(ValueError):
    """What does not fit; one sentence."""


@dataclass
class Array:
    path: Path
    type: str
    shape: tuple
    begin: int  # of the data in the file
    bytes: int


def read_array(path):
    """What a .npy file says of itself."""

    def refuse(why):
        raise TensorError(f"{path}: {why}")

    with open(path, "rb") as file:
        start = file.read(8)
        if len(start) < 8 or start[:6] != MAGIC or start[6] not in (1, 2, 3):
            refuse("this is no .npy file: write it with numpy.save")
        length = int.from_bytes(file.read(2 if start[6] == 1 else 4), "little")
        text = file.read(length) if length <= LONGEST_HEADER else b""
        if len(text) != length or not length:
            refuse("its header is truncated: write the file again")
        begin = file.tell()
        size = file.seek(0, os.SEEK_END)
    try:
        header = ast.literal_eval(text.decode("utf-8" if start[6] == 3 else "latin-1").strip())
        descr, order, shape = header["descr"], header["fortran_order"], tuple(header["shape"])
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
        refuse("its header cannot be read: write the file again with numpy.save")
    if not isinstance(descr, str) or descr not in TYPES:
        refuse(f"its type is {descr}, but must be float16, float32 or bfloat16, little-endian: "
               "convert it with .astype(numpy.float32)")  # fmt: skip
    if not all(type(n) is int and n > 0 for n in shape):
        refuse(f"its shape is {list(shape)}, but every extent must be at least 1")
    if order:
        refuse("it lies in Fortran's order: save numpy.ascontiguousarray of it")
    name, width = TYPES[descr]
    needed = math.prod(shape) * width
    if size - begin != needed:
        refuse(f"its data are {size - begin} bytes, but shape and type make {needed}")
    return Array(Path(path), name, shape, begin, needed)


def check_shapes(arrays):
    def refuse(name, wanted):
        raise TensorError(f"{name} has the shape {list(arrays[name].shape)}, but must be {wanted}")

    missing = [name for name in NEEDED if name not in arrays]
    if missing:
        raise TensorError(f"{missing[0]} is missing: give NAME=FILE.npy for {', '.join(NEEDED)}")
    a, w1 = arrays["a"].shape, arrays["w1"].shape
    if len(a) not in (2, 3):
        refuse("a", "[batch, seq, model] or [tokens, model]")
    model = a[-1]
    if len(w1) != 2 or w1[1] != model:
        refuse("w1", f"[hidden, {model}], a being {model} wide")
    hidden = w1[0]
    flat = (math.prod(a[:-1]), model)
    wanted = {"w2": [(model, hidden)], "grad": [a, flat], "b1": [(hidden,)], "b2": [(model,)]}
    for name, shapes in wanted.items():
        if name in arrays and arrays[name].shape not in shapes:
            refuse(name, f"{SHAPES[name]}, which is {list(shapes[0])} here")
    if ("b1" in arrays) != ("b2" in arrays):
        raise TensorError("b1 and b2 go together: give both or none")


def write(output, arrays):
    header, at = {}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": array.type, "shape": list(array.shape),
                        "data_offsets": [at, at + array.bytes]}  # fmt: skip
        at += array.bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the data are aligned
    partial = output.with_name(output.name + ".partial")
    try:
        with open(partial, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for array in arrays.values():
                with open(array.path, "rb") as source:
                    source.seek(array.begin)
                    shutil.copyfileobj(source, file, 1 << 20)
            if file.tell() != 8 + len(text) + at:
                raise TensorError("a file changed while it was read: run this again")
        os.replace(partial, output)
    finally:
        partial.unlink(missing_ok=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="scripts/save_tensors", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("output", type=Path, metavar="LAYER.safetensors")
    parser.add_argument("arrays", nargs="+", metavar="NAME=FILE.npy")
    options = parser.parse_args(arguments)
    arrays = {}
    try:
        for text in options.arrays:
            name, equals, path = text.partition("=")
            if not equals or not path or name not in NAMES:
                raise TensorError(
                    f"'{text}' is not NAME=FILE.npy with a name of {', '.join(NAMES)}"
                )
            if name in arrays:
                raise TensorError(f"{name} is given twice")
            arrays[name] = read_array(path)
        check_shapes(arrays)
        write(options.output, arrays)
    except TensorError as error:
        print(f"scripts/save_tensors: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"scripts/save_tensors: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0
