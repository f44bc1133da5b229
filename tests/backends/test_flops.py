"""The operations of each network, from its specification, are those that PyTorch counts."""

from __future__ import annotations

from typing import Any

import pytest

from harness import Adam, Attack, Conv, Model, Recipe
from harness.models.two_block_cnn import two_block_cnn
from harness.plugins import load_plugins

MODELS = load_plugins().models
ALL = Recipe(Adam())


@pytest.fixture
def count(backend: type):
    """A function that counts the operations of PyTorch for two pictures. The tensors have shapes and no values."""
    if backend.name != "pytorch":
        pytest.skip("PyTorch has the counter")
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from backends.pytorch.backend import Net

    def counted(model: Model, frozen: tuple[str, ...] | None = None, pixels: bool = False) -> float:
        with torch.device("meta"):
            net, pictures = Net(model, multiply_in_bfloat16=False).float(), torch.rand(2, *model.input_shape)
        net.train_all_but(frozen or ())
        pictures.requires_grad_(pixels)
        with FlopCounterMode(display=False) as counter:
            logits = net(pictures)
            if frozen is not None:
                logits.sum().backward()
        return counter.get_total_flops() / 2

    return counted


def has_groups(model: Model) -> bool:
    """Whether PyTorch counts too much in the backward pass: it ignores the groups of convolutions there."""
    return any(isinstance(node.layer, Conv) and node.layer.groups > 1 for node in model.nodes)


@pytest.mark.parametrize("name", list(MODELS))
def test_the_forward_pass_has_the_operations_that_pytorch_counts(count: Any, name: str) -> None:
    model = MODELS[name]()
    assert count(model) == pytest.approx(model.flops, rel=1e-3)


@pytest.mark.parametrize("name", list(MODELS))
def test_a_training_step_has_the_operations_that_pytorch_counts(count: Any, name: str) -> None:
    model = MODELS[name]()
    if has_groups(model):
        pytest.skip("PyTorch's counter ignores the groups of convolutions in the backward pass")
    assert count(model, frozen=()) == pytest.approx(ALL.flops(model), rel=1e-3)


def test_frozen_layers_only_compute_their_output(count: Any) -> None:
    model = two_block_cnn()
    recipe = Recipe(Adam(), rates=(("trunk", 0.0),))
    assert count(model, recipe.frozen(model)) == pytest.approx(recipe.flops(model), rel=1e-3)
    assert model.flops < recipe.flops(model) < ALL.flops(model) < 3 * model.flops
    block = Recipe(Adam(), rates=(("trunk", 0.0), ("trunk.conv2", 1.0)))
    assert count(model, block.frozen(model)) == pytest.approx(block.flops(model), rel=1e-3)


def test_each_step_of_an_attack_goes_to_the_pixels_and_back(count: Any) -> None:
    model = two_block_cnn()
    for steps in (1, 10):
        assert Attack(steps=steps).flops(model) == 2 * model.flops * steps
    both = count(model, frozen=tuple(node.name for node in model.nodes), pixels=True)
    assert both == pytest.approx(Attack(steps=1).flops(model), rel=1e-3)
