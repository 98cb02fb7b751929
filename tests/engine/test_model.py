@pytest.mark.parametrize(
    ("feeds", "text"),
    [
        ({}, "missing ['x']"),
        ({"x": np.zeros((1, 3), np.float32), "z": np.zeros(1)}, "unknown ['z']"),
        ({"x": np.zeros((1, 3))}, "expected FP32 [-1, 3], got FP64 [1, 3]"),
        ({"x": np.zeros((1, 4), np.float32)}, "expected FP32 [-1, 3], got FP32 [1, 4]"),
        ({"x": np.zeros(3, np.float32)}, "got FP32 [3]"),
        ({"x": np.array([[b"a"] * 3], object)}, "got BYTES [1, 3]"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_what_would(
    tmp_path: Path, feeds: dict[str, np.ndarray], text: str
) -> None:
    put(tmp_path, "m", "1", plain())
    with pytest.raises(BadRequest) as refusal:
        load(tmp_path).find("m").run(feeds)
    assert text in refusal.value.text


def test_strings_go_in_and_come_out(tmp_path: Path) -> None:
    ports = [helper.make_tensor_value_info(name, TensorProto.STRING, ["N"]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    put(tmp_path, "echo", "1", model.SerializeToString())

    answer = load(tmp_path).find("echo").run({"x": np.array([b"caf\xc3\xa9", b""], object)})["y"]
    assert answer.tolist() == ["café", ""]


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"labels": "cat, dog"}, ""),
        ({"labels": "[1, 2]"}, "'labels' is not a JSON list of strings"),
        ({"card": "[]"}, "'card' is not a JSON object"),
        ({"preprocessing": '{"size": [0, 0]}'}, "preprocessing"),
    ],
)
def test_malformed_metadata_is_a_reason_not_to_serve(tmp_path: Path, properties: dict[str, str], text: str) -> None:
    proto = onnx.load_from_string(plain())
    helper.set_model_props(proto, properties)
    put(tmp_path, "m", "1", proto.SerializeToString())

    assert text in load(tmp_path).entries["m"].reasons[1]


def test_our_metadata_is_read(tmp_path: Path) -> None:
    proto = onnx.load_from_string(plain())
    properties = {"kind": "classifier", "activation": "relu", "labels": json.dumps(["a", "b", "c"]), "card": "{}"}
    helper.set_model_props(proto, properties)
    put(tmp_path, "m", "1", proto.SerializeToString())

    assert load(tmp_path).find("m").description == Description("classifier", "relu", ("a", "b", "c"), None, {})


def test_a_plain_onnx_file_is_served_as_tensors(tmp_path: Path) -> None:
    put(tmp_path, "plus-one", "1", plain(1.0))
    model = load(tmp_path).find("plus-one")

    assert model.description == Description()
    np.testing.assert_array_equal(model.run({"x": np.zeros((2, 3), np.float32)})["y"], np.ones((2, 3)))
