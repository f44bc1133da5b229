"""The status of a cell whose backend raises an exception."""

from __future__ import annotations

import pytest

from harness.worker.failures import explain

NO_MEMORY = {
    "pytorch": (
        "OutOfMemoryError",
        RuntimeError,
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 139.72 GiB",
    ),
    "tensorflow": (
        "ResourceExhaustedError",
        Exception,
        "OOM when allocating tensor with shape[64,224,224,64] on GPU:0",
    ),
    "jax": (
        "JaxRuntimeError",
        RuntimeError,
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 2147483648 bytes.",
    ),
}
"""The exceptions of frameworks when a GPU has no memory left: name, base class and message."""


@pytest.mark.parametrize("framework", NO_MEMORY)
def test_a_gpu_without_memory_has_the_same_status_on_all_frameworks(framework):
    name, base, message = NO_MEMORY[framework]
    assert explain(type(name, (base,), {})(message)) == ("oom", f"{name}: {message}")


def test_another_error_of_a_framework_is_no_lack_of_memory():
    with pytest.raises(RuntimeError) as error:
        raise RuntimeError("shapes do not match: the room for 3 rows has 2")
    status, reason = explain(error.value)
    assert (
        status == "failed" and reason.startswith("RuntimeError: shapes do not match") and "test_failures.py:" in reason
    )
