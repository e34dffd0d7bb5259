"""Where torch and transformers treat fake tensors differently from real ones, and must not while a step is traced."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor


def _convert_fake_module(module: nn.Module, convert: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """`module.to(...)` for fake parameters, which torch cannot swap in place."""
    for child in module.children() if recurse else ():
        _convert_fake_module(child, convert)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            converted = convert(parameter)
            if converted is not parameter:
                module._parameters[name] = nn.Parameter(converted.detach(), parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = convert(buffer)
    return module


@contextlib.contextmanager
def counting_as_tensors(
    working_on: Callable[[nn.Module], contextlib.AbstractContextManager[None]],
) -> Iterator[None]:
    """Let optimizers, clipping, conversions and transformers' masks treat fakes as they treat plain tensors.

    Torch uses multi-tensor kernels for plain tensors only and does not convert fake parameters in place; transformers
    leaves shortcuts out that read a mask, and draws a number to drop layers by (OPT before 5.23 even where none is).

    `working_on(module)` is entered while that module is converted.
    """
    from torch.utils import _foreach_utils
    from transformers.utils import import_utils

    optimizers = sys.modules["torch.optim.optimizer"]
    rand = torch.rand

    def drawn(*size: Any, **options: Any) -> Any:
        return 0.5 if size == ([],) else rand(*size, **options)

    def convert(module: nn.Module, function: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        with working_on(module):
            return _convert_fake_module(module, function, recurse)

    with (
        mock.patch.object(torch, "rand", drawn),
        mock.patch.object(import_utils, "is_fake_tensor", return_value=False),
        mock.patch.object(_foreach_utils, "_foreach_supported_types", [Tensor, FakeTensor]),
        mock.patch.object(optimizers, "_foreach_supported_types", [Tensor, nn.Parameter, FakeTensor]),
        mock.patch.object(nn.Module, "_apply", convert),
    ):
        yield
