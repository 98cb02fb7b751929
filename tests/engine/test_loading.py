def test_a_model_that_refuses_a_batch_of_one_is_served_all_the_same(tmp_path: Path) -> None:
    """The warm-up sends one zero; this model wants an even number of them."""
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", ["N"]), ("y", None))
    ]
    pairs = helper.make_tensor("pairs", TensorProto.INT64, [2], [-1, 2])
    graph = helper.make_graph([helper.make_node("Reshape", ["x", "pairs"], ["y"])], "g", ports[:1], ports[1:], [pairs])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    put(tmp_path, "pairs", "1", model.SerializeToString())
    found = load(tmp_path).find("pairs")

    assert found.run({"x": np.zeros(4, np.float32)})["y"].shape == (2, 2)
    with pytest.raises(BadRequest, match="the model fails on this input"):
        found.run({"x": np.zeros(3, np.float32)})
