"""Tensors and numpy's arrays as plain bytes, and back. Loads torch and numpy only to read them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from tuner.checkpoint.file import Array
from tuner.errors import InvalidInput

_TORCH = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}
_NUMPY = {name: code for name, code in _TORCH.items() if not name.startswith(("bfloat", "float8"))}


def is_tensor(value: object) -> bool:
    """Tell whether it is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_numpy(value: object) -> bool:
    """Tell whether it is an array or a number of numpy's."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray | numpy.generic)


def place(tensor: Any) -> tuple[Any, ...]:
    """Return what two tensors have in common that are the same memory seen the same way."""
    return (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)


def refuse_odd(tensor: Any, where: str) -> None:
    """Refuse a tensor without numbers of its own in rows, with a word on what to save instead.

    Raises:
        InvalidInput: it is such a tensor.
    """
    torch = sys.modules["torch"]
    what = None
    if tensor.is_meta:
        what = "on the device 'meta', where it has no numbers"
    elif torch.nn.parameter.is_lazy(tensor):
        what = "of a lazy module, which has not seen its first batch"
    elif tensor.is_nested:
        what = "nested: save its unbind()"
    elif hasattr(tensor, "full_tensor"):
        what = "distributed: save its full_tensor()"
    elif tensor.layout != torch.strided:
        what = f"sparse ({tensor.layout}): save its to_dense()"
    elif tensor.is_quantized:
        what = "quantised: save its int_repr(), scale and zero point"
    if what is not None:
        raise InvalidInput(f"{where} is a tensor that can't be saved: it is {what}")


def from_tensor(tensor: Any, where: str) -> Array:
    """Return a copy of a tensor's numbers; complex ones as pairs.

    Raises:
        InvalidInput: it is of a type that no file can hold.
    """
    torch = sys.modules["torch"]
    # A copy in any case: training may go on in another thread while the file is written.
    tensor = tensor.detach().to("cpu", copy=True).resolve_conj().resolve_neg().contiguous()
    shape = tuple(tensor.shape)
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
        shape = tuple(tensor.shape)
    code = _TORCH.get(_name(tensor.dtype))
    if code is None:
        raise InvalidInput(f"{where} is a tensor of {tensor.dtype}, which can't be saved")
    data = memoryview(tensor.reshape(-1).view(torch.uint8).numpy())
    return Array(dtype=code, shape=shape, data=data)


def to_tensor(array: Array, *, complex_pairs: bool = False) -> Any:
    """Return the array as a tensor of its own on the CPU."""
    import torch

    dtype = _known({code: getattr(torch, name) for name, code in _TORCH.items()}, array)
    if len(array.data) == 0:
        tensor = torch.empty(array.shape, dtype=dtype)
    else:
        tensor = torch.frombuffer(array.data, dtype=dtype).reshape(array.shape)
    return torch.view_as_complex(tensor) if complex_pairs else tensor


def moved(tensor: Any, device: str) -> Any:
    """Return a tensor on a device; on the CPU if this machine has no such device."""
    import torch

    kind, _, index = device.partition(":")
    module: Any = getattr(torch, kind, None)
    count = module.device_count() if hasattr(module, "device_count") else 0
    return tensor.to(device) if int(index or 0) < count else tensor


def from_numpy(value: Any, where: str) -> tuple[Array, str]:
    """Return a copy of a numpy array or number, complex ones as pairs, and its type's name.

    Raises:
        InvalidInput: it is no array of numbers.
    """
    numpy = sys.modules["numpy"]
    array = numpy.array(value, order="C", copy=True)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    kind: str = array.dtype.name
    shape = array.shape
    if array.dtype.kind == "c":
        array = array.reshape(-1).view(f"f{array.dtype.itemsize // 2}")
        shape = (*shape, 2)
    code = _NUMPY.get(array.dtype.name)
    if code is None:
        raise InvalidInput(f"{where} is a numpy array of {array.dtype}, which can't be saved")
    return Array(dtype=code, shape=shape, data=memoryview(array.tobytes())), kind


def to_numpy(array: Array, kind: str) -> Any:
    """Return the array as one of numpy's, of the type `kind`."""
    import numpy

    dtype = numpy.dtype(_known({code: name for name, code in _NUMPY.items()}, array))
    found = numpy.empty(array.shape, dtype)
    if len(array.data) > 0:
        found = numpy.frombuffer(array.data, dtype=dtype).reshape(array.shape)
    if kind.startswith("complex"):
        return found.view(kind).reshape(array.shape[:-1])
    return found


def _known(types: Mapping[str, Any], array: Array) -> Any:
    if array.dtype not in types:
        raise ValueError(f"an array of {array.dtype}")
    return types[array.dtype]


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
