"""Copies of served models with another activation, or with all of them told, are built once and kept within bounds."""

from pathlib import Path

import numpy as np
import pytest

from service.engine.model import Model
from service.engine.runtime.device import Device
from service.engine.variants import Variants
from service.errors import BadRequest, ModelUnavailable, NotFound
from tests.engine.making import load, plain, put
from tests.engine.networks import network, node

X = {"x": np.random.default_rng(1).standard_normal((2, 4, 5, 5)).astype(np.float32)}


@pytest.fixture
def model(tmp_path: Path) -> Model:
    put(tmp_path, "net", "1", network(node("Relu"), node("Relu")))
    return load(tmp_path).find("net")


@pytest.fixture
def variants() -> Variants:
    return Variants(Device.cpu(), threads=1, capacity=2)


def test_another_activation_gives_another_model(model: Model, variants: Variants) -> None:
    swapped = variants.swapped(model, "elu")
    assert (swapped.name, swapped.version, swapped.description.activation) == ("net~elu", 1, "elu")
    assert swapped.description.card is None
    assert not np.array_equal(swapped.run(X)["y"], model.run(X)["y"])
    np.testing.assert_array_equal(variants.swapped(model, "relu").run(X)["y"], model.run(X)["y"])
    assert swapped.statistics is not model.statistics


def test_an_alias_is_the_function(model: Model, variants: Variants) -> None:
    assert variants.swapped(model, "silu") is variants.swapped(model, "swish")


def test_looked_into_the_model_gives_the_same_and_more(model: Model, variants: Variants) -> None:
    tapped = variants.tapped(model)
    found = tapped.session.run(X)
    np.testing.assert_allclose(found["y"], model.run(X)["y"], rtol=1e-6)
    assert [site.function for site in tapped.sites] == ["relu", "relu"]
    for site in tapped.sites:
        np.testing.assert_array_equal(found[site.after], np.maximum(found[site.before], 0))


def test_looked_into_the_copy_the_other_function_is_seen(model: Model, variants: Variants) -> None:
    tapped = variants.tapped(model, "softmax")
    found = tapped.session.run(X)
    assert [(site.function, site.parameters) for site in tapped.sites] == [("softmax", {"axis": 1})] * 2
    for site in tapped.sites:
        np.testing.assert_allclose(found[site.after].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found["y"], variants.swapped(model, "softmax").run(X)["y"], rtol=1e-5)


def test_they_are_kept_and_the_oldest_goes(model: Model, variants: Variants) -> None:
    first = variants.swapped(model, "elu")
    tapped = variants.tapped(model)
    assert variants.swapped(model, "elu") is first
    variants.swapped(model, "tanh")
    assert variants.swapped(model, "elu") is first
    assert variants.tapped(model) is not tapped


def test_copies_of_what_is_no_longer_served_are_let_go(model: Model, variants: Variants) -> None:
    first = variants.swapped(model, "elu")
    variants.forget([model])
    assert variants.swapped(model, "elu") is first
    variants.forget([])
    assert variants.swapped(model, "elu") is not first


def test_a_model_without_activations_cannot_be_changed(tmp_path: Path, variants: Variants) -> None:
    put(tmp_path, "plain", "1", plain())
    with pytest.raises(BadRequest, match="'plain' has no hidden activation that is known"):
        variants.swapped(load(tmp_path).find("plain"), "elu")


def test_an_unknown_function_is_told(model: Model, variants: Variants) -> None:
    with pytest.raises(NotFound, match="Did you mean 'relu'"):
        variants.swapped(model, "rellu")


def test_a_file_that_has_changed_is_not_taken_for_the_model(tmp_path: Path, variants: Variants) -> None:
    put(tmp_path, "net", "1", network(node("Relu")))
    model = load(tmp_path).find("net")
    file = tmp_path / "net" / "1" / "model.onnx"
    file.write_bytes(network(node("Elu")))
    with pytest.raises(ModelUnavailable, match="has changed since"):
        variants.swapped(model, "tanh")
    file.unlink()
    with pytest.raises(ModelUnavailable, match="cannot be read again"):
        variants.swapped(model, "tanh")


def test_a_model_without_a_file_cannot_be_changed(model: Model) -> None:
    from service.engine.model import _no_file

    with pytest.raises(ModelUnavailable, match="without a file"):
        _no_file()
