"""Users of every kind against a running service: `locust -f loadtests/locustfile.py`, from the project's folder.

docs/loadtests.md tells how to run it and how to read it. The requests and their checks are in `bodies` and `answers`,
which know nothing of Locust; here are only the users, the options and the end.
"""

import logging
import os
import random
import sys
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import gevent
import locust
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.dispatch import UsersDispatcher
from locust.env import Environment
from locust.runners import WORKER_REPORT_INTERVAL, MasterRunner, WorkerNode, WorkerRunner

from loadtests import bodies, routes, shape, steps, verdict
from loadtests.answers import Answer, fault
from loadtests.pacing import Pace, think

log = logging.getLogger("actserve.load")
SENT = bodies.kinds()


class Visitor(locust.FastHttpUser):
    """Sends requests of one kind, in random order, and checks each answer."""

    abstract = True
    host = "http://127.0.0.1:8000"
    kind = ""
    needs: ClassVar[Sequence[str]] = ()
    """Routes without which there are no such users."""
    pace: Pace | None = None

    def on_start(self) -> None:
        rate = self.environment.parsed_options.rate
        if rate > 0:
            self.pace = Pace(rate, time.perf_counter())
            gevent.sleep(self.wait_time())

    def wait_time(self) -> float:
        """Seconds until the next request."""
        if self.pace is None:
            return think(self.environment.parsed_options.think)
        return self.pace.wait(time.perf_counter())

    @locust.task
    def send(self) -> None:
        sent = random.choice(SENT[self.kind])
        body: Any = sent.body  # Locust's annotation forgets bytes, which its documentation names
        late_s = 0.0 if self.pace is None else self.pace.late(time.perf_counter())
        with self.client.request(
            sent.method, sent.path, name=sent.name, data=body, headers=dict(sent.headers), catch_response=True
        ) as response:
            response.request_meta["response_time"] += 1000 * late_s
            if response.status_code == 0:
                response.failure(response.error)
                return
            reason = fault(sent.check, Answer(response.status_code, response.headers, response.content or b""))
            response.success() if reason is None else response.failure(reason)


class TensorUser(Visitor):
    kind = "tensor"
    weight = 3


class BinaryUser(Visitor):
    kind = "binary"
    weight = 2


class ImageUser(Visitor):
    kind = "image"
    weight = 3


class CompareUser(Visitor):
    kind = "compare"
    weight = 1
    needs = (bodies.COMPARE_ACTIVATIONS, bodies.COMPARE_MODELS)


class BrowsingUser(Visitor):
    kind = "browse"
    weight = 2


class Dispatcher(UsersDispatcher):
    """Locust's, made at the start of each test, without the users that the service has no routes for."""

    def __init__(self, worker_nodes: list[WorkerNode], user_classes: list[type[locust.User]]) -> None:
        super().__init__(worker_nodes, served(user_classes))


def served(classes: list[type[locust.User]]) -> list[type[locust.User]]:
    """Those whose routes are there; all if that were none, so that the failures say what is the matter."""
    host = str(classes[0].host)
    try:
        document = routes.fetched(host)
    except (OSError, ValueError) as error:
        log.warning("%s/openapi.json cannot be read: %s", host, error)
        document = {}
    absent = {each: routes.missing(document, getattr(each, "needs", ())) for each in classes}
    for each, names in absent.items():
        if names:
            log.warning("%s left out: %s has no %s", each.__name__, host, ", ".join(names))
    return [each for each in classes if not absent[each]] or classes


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser, **_: Any) -> None:
    parser.add_argument(
        "--rate",
        type=float,
        default=0.0,
        env_var="ACTSERVE_LOAD_RATE",
        help="Requests/s of each user, at times that do not depend on the answers (open loop). 0: closed loop",
    )
    parser.add_argument(
        "--think",
        type=float,
        default=1.0,
        env_var="ACTSERVE_LOAD_THINK_S",
        help="Mean seconds between an answer and the user's next request, in a closed loop",
    )
    parser.add_argument(
        "--steps",
        action="store_true",
        env_var="ACTSERVE_LOAD_STEPS",
        include_in_web_ui=False,  # the shape is settled before the page is shown
        help="Add users step by step until the service is saturated; --users is then the most",
    )
    parser.add_argument("--step-users", type=int, default=10, include_in_web_ui=False, help="Users added by a step")
    parser.add_argument("--step-seconds", type=int, default=15, include_in_web_ui=False, help="Length of a step")


@events.init.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    # gevent's clock stood while all was imported, for seconds on a busy machine; --run-time would be shorter by that.
    gevent.get_hub().loop.update_now()
    if isinstance(environment.runner, WorkerRunner):
        environment.process_exit_code = 0  # the master judges
        return
    environment.dispatcher_class = Dispatcher
    options: Any = environment.parsed_options
    try:
        limits = verdict.limits(os.environ)
        if options.steps:
            environment.shape_class = climbing(environment, options, limits)
    except ValueError as error:
        sys.exit(str(error))


def climbing(environment: Environment, options: Any, limits: verdict.Limits) -> shape.Steps:
    """The shape that `--steps` asks for; with workers, requests are counted when they have reported."""
    lag_s = int(WORKER_REPORT_INTERVAL) + 1 if isinstance(environment.runner, MasterRunner) else 1
    environment.reset_stats = False  # the steps are differences of running totals
    most = options.num_users or sys.maxsize

    def make() -> steps.Ladder:
        return steps.Ladder(limits, options.step_users, options.step_seconds, most, lag_s)

    climb = shape.Steps(make, options.run_time)
    climb.runner = environment.runner
    return climb


@events.test_stop.add_listener
def tell(environment: Environment, **_: Any) -> None:
    """In the web UI the verdict on each test comes when it has stopped; else at the end, when all workers are heard."""
    if environment.web_ui is not None:
        conclude(environment)


@events.quitting.add_listener
def conclude(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, WorkerRunner):
        return
    climb, measured = environment.shape_class, measure(environment)
    lines = climbed(climb) if isinstance(climb, shape.Steps) else verdict.judge(verdict.limits(os.environ), measured)
    lines += verdict.unsound(measured)
    for line in lines:
        log.log(logging.INFO if line.kept else logging.ERROR, "%s", line)
    environment.process_exit_code = 0 if all(line.kept for line in lines) else 1


def measure(environment: Environment) -> verdict.Measured:
    assert environment.runner is not None
    total = environment.stats.total
    p95_ms = total.get_response_time_percentile(0.95)
    exceptions = sum(each["count"] for each in environment.runner.exceptions.values())
    return verdict.Measured(total.num_requests, total.num_failures, p95_ms, exceptions)


def climbed(climb: shape.Steps) -> list[verdict.Line]:
    """A climb is meant to end where the limits are missed; it passes if any step kept to them."""
    *rows, saturation = steps.table(climb.ladder)
    for row in rows:
        log.info("%s", row)
    return [verdict.Line(climb.ladder.best is not None, saturation)]
