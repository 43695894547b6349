"""From an ONNX graph to a plan: strongly typed, with every complaint of the parser."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engines.api import Progress
from engines.backends.tensorrt.flavour import Flavour
from engines.backends.tensorrt.profiles import Profile, fitted
from engines.errors import PackageError

LOG_LINES = 200


@dataclass(frozen=True)
class BuildOptions:
    """What a build may use and do.

    Parameters
    ----------
    workspace_mb
        Scratch memory a layer may take, MiB. TensorRT's own limit is the whole GPU.
    level
        Effort of the search for fast kernels, 0 to 5.
    tf32
        Whether float32 convolutions may round their factors to 10 bits of mantissa.
    """

    workspace_mb: int = 4096
    level: int = 3
    tf32: bool = False


@dataclass(frozen=True)
class Built:
    """A finished plan.

    Parameters
    ----------
    plan
        What ``deserialize_cuda_engine`` takes.
    profile
        The shapes it accepts.
    log
        Last lines of the builder, ``SEVERITY: text``.
    """

    plan: bytes
    profile: Profile
    log: tuple[str, ...]


@dataclass(frozen=True)
class Names:
    """The input that is given and the output that is read, by name in the graph."""

    given: str
    wanted: str


def build(
    flavour: Flavour,
    model: bytes,
    names: Names,
    profiles: Sequence[Profile],
    options: BuildOptions,
    progress: Progress | None = None,
) -> Built:
    """Build a plan for the first profile the graph can be built for.

    Parameters
    ----------
    flavour
        The TensorRT to build with.
    model
        The ONNX graph; its types are the plan's types.
    names
        Other outputs of the graph are left out of the plan.
    profiles
        Shapes to accept, tried in turn.
    progress
        Told of every step; what it raises stops the build and is raised again.

    Raises
    ------
    PackageError
        If the graph cannot be parsed or built; the message has all the parser's errors or
        the builder's last ones.
    """
    problems: list[str] = []
    for profile in profiles:
        log = capture(flavour.api)
        network, builder, _parser = _network(flavour.api, model, log)
        shape = _check_tensors(flavour.api, network, names)
        fitting = fitted(profile, shape)
        plan = _plan(flavour.api, builder, network, names.given, fitting, options, progress)
        if plan is not None:
            return Built(plan, fitting, tuple(log.lines))
        problems.append(f"for {fitting}: {complaints(log.lines)}")
    raise PackageError(f"{flavour.name} {flavour.version} builds no plan " + "; ".join(problems))


def capture(api: Any) -> Any:
    """Make a logger that keeps the last lines in ``lines``; it must outlive what it is given to.

    Its class is made here because its base class is TensorRT's.
    """

    class Log(api.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            api.ILogger.__init__(self)
            self.lines: deque[str] = deque(maxlen=LOG_LINES)

        def log(self, severity: Any, message: str) -> None:
            # From TensorRT's own threads too: append is atomic.
            if severity.name != "VERBOSE":
                self.lines.append(f"{severity.name}: {message}")

    return Log()


def complaints(lines: Sequence[str]) -> str:
    """Join what a log says at the level of errors; else its last line."""
    errors = [
        line.split(": ", 1)[1] for line in lines if line.startswith(("ERROR", "INTERNAL_ERROR"))
    ]
    return "; ".join(errors) or (lines[-1] if lines else "no reason given")


def _network(api: Any, model: bytes, log: Any) -> tuple[Any, Any, Any]:
    """Parse the graph; the parser owns its weights and must live as long as the build."""
    builder = api.Builder(log)
    network = builder.create_network(1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = api.OnnxParser(network, log)
    if not parser.parse(model):
        errors = [str(parser.get_error(number)).strip() for number in range(parser.num_errors)]
        raise PackageError(
            "TensorRT cannot read the graph: " + ("; ".join(errors) or complaints(log.lines))
        )
    return network, builder, parser


def _check_tensors(api: Any, network: Any, names: Names) -> tuple[int, ...]:
    """Compare the network's tensors with the manifest's; returns the input's shape, -1 is any."""
    inputs = {(one := network.get_input(i)).name: one for i in range(network.num_inputs)}
    outputs = {(one := network.get_output(i)).name: one for i in range(network.num_outputs)}
    if set(inputs) != {names.given}:
        raise PackageError(f"has inputs {sorted(inputs)}; the manifest names {names.given!r}")
    if names.wanted not in outputs:
        raise PackageError(f"has outputs {sorted(outputs)}; the manifest names {names.wanted!r}")
    for name, output in outputs.items():
        if name != names.wanted:
            network.unmark_output(output)
    for tensor in (inputs[names.given], outputs[names.wanted]):
        if tensor.dtype != api.DataType.FLOAT:
            raise PackageError(f"tensor {tensor.name!r} is {tensor.dtype}, not float32")
    return tuple(inputs[names.given].shape)


def _plan(
    api: Any,
    builder: Any,
    network: Any,
    given: str,
    profile: Profile,
    options: BuildOptions,
    progress: Progress | None,
) -> bytes | None:
    config = builder.create_builder_config()
    config.builder_optimization_level = options.level
    config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    if not options.tf32:
        config.clear_flag(api.BuilderFlag.TF32)
    shapes = builder.create_optimization_profile()
    shapes.set_shape(given, profile.least, profile.usual, profile.most)
    if config.add_optimization_profile(shapes) < 0:
        return None
    monitor = _monitor(api, progress)
    if monitor is not None:
        config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if monitor is not None and monitor.error is not None:
        raise monitor.error
    return None if plan is None else bytes(plan)


def _monitor(api: Any, progress: Progress | None) -> Any:
    """Make a progress monitor; its class is made here because its base class is TensorRT's."""
    if progress is None:
        return None
    tell = progress

    class Monitor(api.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            api.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}
            self.error: BaseException | None = None

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps
            self._tell(phase_name, 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._tell(phase_name, step + 1)
            return self.error is None

        def phase_finish(self, phase_name: str) -> None:
            self._tell(phase_name, self.steps.get(phase_name, 0))

        def _tell(self, phase: str, done: int) -> None:
            try:
                tell(phase, done, self.steps.get(phase, 0))
            # An exception that leaves this method would end the process inside TensorRT.
            except BaseException as error:  # noqa: BLE001 - raised again after the build
                self.error = self.error or error

    return Monitor()


__all__ = ["BuildOptions", "Built", "Names", "build", "capture", "complaints"]
