"""A container engine is found, told what to do, and believed only when it has done it."""

import pytest

from deploy.image import engine
from deploy.image.engine import Done, Engine, Failed, Layer, NoEngine
from tests.deploy.fake_engine import DOCKERS, HISTORY, FakeEngine

FAILS = Done(125, "", "no such thing")


def everywhere(name: str) -> str:
    return f"/usr/bin/{name}"


def test_the_first_engine_that_answers_is_taken() -> None:
    """Docker's program may be there without its daemon."""
    fake = FakeEngine({"podman info": FAILS})
    found = engine.find("", "--network=host", "--env 'A=b c'", fake, everywhere)

    assert (found.name, found.build_options, found.run_options) == ("docker", ["--network=host"], ["--env", "A=b c"])


def test_the_one_that_is_named_is_taken_with_its_options() -> None:
    fake = FakeEngine()
    found = engine.find("podman --runtime runc", run_command=fake, which=everywhere)

    assert found.name == "podman --runtime runc"
    assert fake.commands == ["podman --runtime runc info"]


@pytest.mark.parametrize(("wanted", "named"), [("", "podman or docker"), ("nerdctl", "nerdctl")])
def test_where_there_is_none_it_says_which_were_looked_for(wanted: str, named: str) -> None:
    with pytest.raises(NoEngine, match=f"^no container engine answers \\({named}\\)$"):
        engine.find(wanted, which=lambda _: None)


def test_an_image_is_built_with_this_machines_options() -> None:
    fake = FakeEngine()
    fake.engine().build(".", "actserve:gpu", {"BASE_IMAGE": "slim", "GPU": "1"}, "actserve")

    given = "--build-arg BASE_IMAGE=slim --build-arg GPU=1 --target actserve --tag actserve:gpu"
    assert fake.commands == [f"podman build --network=host {given} ."]


def test_a_command_that_fails_is_an_error_with_its_last_words() -> None:
    with pytest.raises(Failed, match="podman build: exit code 125\nno such thing"):
        FakeEngine({"build": FAILS}).engine().build(".", "a", {}, "b")
    assert not FakeEngine({"image inspect": FAILS}).engine().has("slim")
    assert FakeEngine().engine().has("slim")


def test_layers_come_in_the_order_of_the_dockerfile() -> None:
    layers = FakeEngine({"history": Done(0, HISTORY)}).engine().layers("actserve:cpu")

    assert layers[0] == Layer(176_000_000, "/bin/sh -c #(nop) ADD file:25ce in /")
    assert [layer.size for layer in layers] == [176_000_000, 3580, 276_000_000, 10_800_000, 3070, 0]
    assert FakeEngine({"history": Done(0, DOCKERS)}).engine().layers("a")[1].size == 2_000_000_000


@pytest.mark.parametrize("size", ["", "many", "3 PB"])
def test_what_is_no_size_is_an_error(size: str) -> None:
    with pytest.raises(Failed, match="is no size"):
        engine.in_bytes(size)


def test_a_container_is_removed_whatever_comes_of_it() -> None:
    """Its id is the last thing that is said: warnings may come before."""
    fake = FakeEngine({"run": Done(0, "warning: discarded ports\n5ce1\n"), "ExitCode": Done(0, "3\n")})
    with fake.engine().running("actserve:cpu", ["--read-only"], {"A": "b"}) as container:
        assert container.exit_code() == 3
        container.stop(40)

    assert fake.commands == [
        "podman run --detach --ulimit nofile=9 --read-only --env A=b actserve:cpu",
        "podman inspect --format {{.State.ExitCode}} 5ce1",
        "podman stop -t 40 5ce1",
        "podman rm --force 5ce1",
    ]


def test_commands_are_run_for_so_long_and_no_longer() -> None:
    done = engine.run(["sh", "-c", "echo $BUILDAH_FORMAT; echo no >&2; exit 3"], 60)

    assert done == Done(3, "docker\n", "no\n")
    with pytest.raises(Failed, match=r"sleep 60 takes more than 0\.01 s"):
        engine.run(["sleep", "60"], 0.01)


def test_an_engine_is_named_as_it_is_called() -> None:
    assert Engine(["podman", "--runtime", "runc"]).name == "podman --runtime runc"
